"""The task `segmentation`: scenes and a recipe in, a run folder out.

Takes a resolved recipe; writes the tree that every run has. Refuses recipes without legend or model.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.segmenters.checksums import CARD
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import LEGEND, save_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter, Segmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.tiling.sampling import ClassCells
from deepnets4eo.training.curves import draw_curves, write_log
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.scenes import open_scenes
from deepnets4eo.training.splits import DataSplit, make_split
from deepnets4eo.training.statistics import class_cells, measure_inputs, warn_of_lacking
from deepnets4eo.training.tasks import Task, TrainOptions

if TYPE_CHECKING:
    from deepnets4eo.device import Compute
    from deepnets4eo.training.data import ValidationLoader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What both kinds of model learn from."""

    recipe: Recipe
    legend: Legend
    parts: DataSplit
    inputs: InputSpec
    cells: list[ClassCells]

    @property
    def pixels(self) -> list[int]:
        """K counts: training pixels of each class."""
        return [int(count) for count in np.sum([one.counts for one in self.cells], axis=0)]

    @property
    def synthetic(self) -> bool:
        """Whether any scene shows a made-up place."""
        return any(named.scene.synthetic for named in self.parts.scenes)


def train_segmentation(recipe: Recipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on labelled scenes; returns the run folder."""
    if not recipe.model.network:
        raise InputError("the recipe names no model. Set model.network, e.g. to unet.")
    check_extra("deep")
    prepared = prepare(recipe)
    segmenter, notes = train_network(prepared, out, options)
    return write_run(segmenter, prepared, out, notes)


def prepare(recipe: Recipe) -> Prepared:
    """Open the scenes, split them, and measure the training part."""
    legend = load_legend(recipe)
    scenes = open_scenes(recipe.data, recipe.model.layers, legend)
    parts = make_split(scenes, recipe.data)
    if parts.leaky:
        log.warning("data.split=random: neighbours of training pixels are validated on, so the scores are leaky.")
    inputs = measure_inputs(parts, recipe.model.layers).with_optional(recipe.train.modality_dropout)
    return Prepared(recipe, legend, parts, inputs, class_cells(parts))


def write_run(segmenter: Segmenter, prepared: Prepared, out: Path, notes: dict[str, Any]) -> Path:
    """Score a trained segmenter on the validation part and seal its run; returns the folder."""
    write_json(out / "split.geojson", prepared.parts.to_geojson())
    scores = score_segmenter(segmenter, prepared)
    write_json(out / "metrics.json", scores)
    write_text(out / "confusion.csv", report.confusion_csv(scores))
    if "epochs" not in notes:  # learned in one go
        row = {"epoch": 1, "seconds": notes["seconds"], **{name: scores[name] for name in report.OVERALL}}
        write_log(out / "log.csv", [row])
        draw_curves(out / "curves.png", [row])
    return save_run(
        segmenter, out, recipe=prepared.recipe.to_dict(), seed=prepared.recipe.train.seed,
        notes=_notes(prepared, scores) | notes,
    )  # fmt: skip


def load_legend(recipe: Recipe) -> Legend:
    """The legend that a recipe names, points to, or holds; of two classes at least."""
    if not recipe.legend:
        known = ", ".join(Legend.available())
        raise InputError(
            f"the recipe names no legend. Set legend to one of {known}, or to a YAML file of your own; `deepnets4eo "
            "datasets --legends minicity` shows how one is written."
        )
    named = recipe.legend
    legend = Legend.from_dict(named, "the recipe's legend") if isinstance(named, dict) else Legend.load(named)
    if legend.num_classes < 2:
        raise InputError(f"legend {legend.name!r} has one class; at least two are needed to tell apart. Add one.")
    return legend


def score_segmenter(segmenter: Segmenter, prepared: Prepared) -> dict[str, Any]:
    """All scores over the validation part, with the split that they were reached under.

    The overall ones also without each optional layer, as scenes that lack it are predicted.
    """
    inputs = segmenter.inputs
    optional = [name for name, layer in inputs.layers.items() if layer.optional]
    matrices = {left_out: ConfusionMatrix(prepared.legend.num_classes) for left_out in [None, *optional]}
    core_px, halo_px = prepared.recipe.data.tile_px, segmenter.halo_px
    for batch in _validation(prepared, core_px + 2 * halo_px, halo_px):
        inner = batch["mask"][:, halo_px : halo_px + core_px, halo_px : halo_px + core_px]
        for left_out, matrix in matrices.items():
            shown = [np.zeros_like(batch[name]) if name == left_out else batch[name] for name in inputs.names]
            matrix.update(inner, segmenter.predict_classes(np.concatenate(shown, axis=1), margin_px=halo_px))
    split = prepared.parts.describe()
    protocol = {"name": "validation part of the training scenes", "leaky": split["leaky"], "split": split}
    without = {name: {score: getattr(matrices[name], score) for score in report.OVERALL} for name in optional}
    return report.scores(matrices[None], prepared.legend.names) | {
        "legend": prepared.legend.name, "protocol": protocol, "synthetic": prepared.synthetic,
    } | ({"without_layer": without} if optional else {})  # fmt: skip


def _validation(prepared: Prepared, tile_px: int, halo_px: int) -> ValidationLoader:
    from deepnets4eo.training.data import SampleReader, ValidationLoader

    reader = SampleReader(prepared.parts, prepared.inputs)
    recipe = prepared.recipe
    return ValidationLoader(reader, tile_px, halo_px, recipe.train.batch_size, recipe.data.num_workers)


def train_network(prepared: Prepared, out: Path, options: TrainOptions) -> tuple[NetworkSegmenter, dict[str, Any]]:
    """Train the recipe's network; returns it, and notes for the card."""
    import torch

    from deepnets4eo.device import Compute, choose
    from deepnets4eo.training.augmentation import Augmentation
    from deepnets4eo.training.criterion import SegmentationCriterion
    from deepnets4eo.training.data import SampleReader, TrainLoader, WindowPlan
    from deepnets4eo.training.loop import Fit, fit_network

    recipe, train = prepared.recipe, prepared.recipe.train
    warn_of_lacking(prepared.parts, prepared.pixels)
    compute = choose(options.device, train.precision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        segmenter = _untrained(prepared)
    if not any(parameter.requires_grad for parameter in segmenter.module.parameters()):
        return _as_it_is(segmenter, recipe, compute)
    segmenter.module.to(memory_format=torch.channels_last)  # quicker convolutions
    plan = WindowPlan(prepared.parts, prepared.cells, recipe)
    augment = Augmentation(train.flips, train.rotations, train.photometric, train.modality_dropout)
    reader = SampleReader(prepared.parts, prepared.inputs)
    loader = TrainLoader(reader, plan, augment, train.batch_size, recipe.data.num_workers)
    criterion = SegmentationCriterion(train, prepared.legend, prepared.inputs.names, prepared.pixels)
    validation = _validation(prepared, recipe.data.tile_px, min(recipe.predict.halo_px, recipe.data.tile_px // 8))
    fit = Fit(train, out, recipe.hash, compute.device, compute.precision, options.resume)
    progress = fit_network(
        segmenter.module, criterion.step, loader, lambda network: criterion.validate(network, validation), fit
    )
    segmenter.to(Compute(compute.device, "float32", compute.threads))
    epochs = {"epochs": progress.epochs_done, "best_epoch": progress.best_epoch, "kept": train.keep}
    seconds = round(sum(row["seconds"] for row in progress.history), 3)
    return segmenter, {**epochs, "compute": compute.to_dict(), "seconds": seconds}


def _as_it_is(segmenter: NetworkSegmenter, recipe: Recipe, compute: Compute) -> tuple[NetworkSegmenter, dict[str, Any]]:
    """A network in which nothing learns: no step is taken, so that not even statistics of normalisation move."""
    if not recipe.model.encoder_weights:
        raise InputError(
            f"nothing in the network {recipe.model.network} learns, and it has no weights to keep. Set "
            "model.encoder_weights to the runs that it puts together, or leave out frozen."
        )
    log.info("nothing in the network %s learns: its weights stay as they are", recipe.model.network)
    segmenter.to(replace(compute, precision="float32"))
    return segmenter, {"compute": compute.to_dict(), "seconds": 0.0}


def _untrained(prepared: Prepared) -> NetworkSegmenter:
    from deepnets4eo.segmenters.networks import create_model

    model, predict = prepared.recipe.model, prepared.recipe.predict
    _refuse_other_streams(model.options.get("streams"), prepared.inputs)
    _refuse_other_runs(model.first_weights, prepared.legend, prepared.inputs)
    named = {"name": model.network, "encoder": model.encoder}
    spec: dict[str, Any] = {key: value for key, value in named.items() if value is not None} | model.options
    sizes: dict[str, Any] = {"in_channels": prepared.inputs.in_channels, "num_classes": prepared.legend.num_classes}
    network = create_model(**spec, **sizes, weights=model.encoder_weights)
    tiling = Tiling(predict.tile_px, predict.halo_px, predict.overlap_px, predict.scores)
    return NetworkSegmenter(spec, prepared.inputs, prepared.legend, tiling=tiling, module=network)


def _refuse_other_runs(sources: Sequence[str], legend: Legend, inputs: InputSpec) -> None:
    """Runs to start from of other classes, or in another order than their layers: all they learned would be mixed up."""
    runs = [source for source in map(Path, sources) if (source / CARD).is_file()]
    for folder in runs:
        names = Legend.load(folder / LEGEND).names
        if names != legend.names:
            raise InputError(
                f"model.encoder_weights: the run {folder} tells {', '.join(names)} apart, this one {', '.join(legend.names)}. "
                "Start from runs of the same classes in the same order."
            )
    seen = [name for folder in runs for name in read_json(folder / CARD)["inputs"]["layers"]]
    if sorted(seen) == sorted(inputs.names) and seen != inputs.names:
        raise InputError(
            f"model.encoder_weights: the runs saw {', '.join(seen)}, the layers are {', '.join(inputs.names)}. "
            "Name the runs in the order of model.layers."
        )


def _refuse_other_streams(streams: Any, inputs: InputSpec) -> None:
    """Streams of a fusion network that are not those of the layers, where a network could not tell which is which."""
    if not isinstance(streams, (list, tuple)):
        return
    bands = [len(layer.bands) for layer in inputs.layers.values()]
    if sum(streams) != sum(bands) or (len(streams) == len(bands) and list(streams) != bands):
        listed = ", ".join(f"{name} {count}" for name, count in zip(inputs.names, bands, strict=True))
        raise InputError(
            f"model.options has streams={list(streams)}, but the bands of the layers are: {listed}. "
            f"Choose bands with data.bands={{LAYER: [1, …]}}, or set streams to {bands}."
        )


def _notes(prepared: Prepared, scores: dict[str, Any]) -> dict[str, Any]:
    """What the card says about the training, beside what prediction needs."""
    return {
        "task": prepared.recipe.task,
        "scenes": {named.name: named.sources for named in prepared.parts.scenes},
        "split": prepared.parts.describe(),
        "leaky": prepared.parts.leaky,
        "synthetic": prepared.synthetic,
        "training_pixels": dict(zip(prepared.legend.names, prepared.pixels, strict=True)),
        "validation": {name: scores[name] for name in report.OVERALL},
    }


TASK = Task(train_segmentation)
