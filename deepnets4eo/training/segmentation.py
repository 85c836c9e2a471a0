"""The task `segmentation`: scenes and a recipe in, a run folder out.

Takes a resolved recipe; writes the tree that every run has. Refuses recipes without legend or model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.files import read_json
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, RunFolder, Segmenter
from deepnets4eo.segmenters.clicks import with_clicks
from deepnets4eo.tiling import BlockSplit, ClassCells
from deepnets4eo.training.fit import build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.scenes import LabelledScene, open_scenes
from deepnets4eo.training.splits import DataSplit, make_split, windows_by_area
from deepnets4eo.training.statistics import class_cells, measure_inputs, warn_of_lacking
from deepnets4eo.training.tasks import Task, TrainOptions

if TYPE_CHECKING:
    from deepnets4eo.training.data import ClassSamples, ValidationLoader

log = logging.getLogger(__name__)

NOT_VALIDATED = "not validated"
VALIDATED = {
    False: "validation part of the training scenes",
    True: "validation part of the training scenes, by the same training without it; the run then learned from all",
}
REFIT = "refit"  # folder in a run


def protocol_name(validated: bool, counted: str = VALIDATED[False]) -> str:
    """Return how scores of a training were made, as the protocol in scores.json names it. counted : what was counted."""
    return counted if validated else NOT_VALIDATED


@dataclass(frozen=True)
class Prepared:
    """Training data that both kinds of model learn from."""

    recipe: Recipe
    legend: Legend
    split: DataSplit[LabelledScene]
    inputs: InputSpec
    cells: list[ClassCells]

    @property
    def pixels(self) -> list[int]:
        """K counts: training pixels of each class."""
        return [int(count) for count in np.sum([scene.counts for scene in self.cells], axis=0)]

    @property
    def synthetic(self) -> bool:
        """Return whether any scene is simulated."""
        return any(named.scene.synthetic for named in self.split.scenes)

    def samples(self) -> ClassSamples:
        """Windows of the scenes with their labels."""
        from deepnets4eo.training.data import ClassSamples

        return ClassSamples(self.split, self.inputs, self.recipe, self.cells)

    def validation(
        self,
        samples: ClassSamples,
        core_px: int,
        halo_px: int,
        batch_size: int | None = None,
        *,
        labelled: bool = False,
        most: int | None = None,
    ) -> ValidationLoader:
        """Tiles, `most` or all, that show each validation pixel once, with a halo; `labelled`: only those with labels."""
        from deepnets4eo.training.data import ValidationLoader

        batch_size = batch_size or self.recipe.train.usual_batch_size
        workers = self.recipe.data.num_workers
        return ValidationLoader(samples, core_px + 2 * halo_px, halo_px, batch_size, workers, labelled, most)

    def notes(self, scores: dict[str, Any], pixels: list[int] | None = None) -> dict[str, Any]:
        """Return the card's notes on the training; `pixels` are (K,) counts to write, by default the training split's."""
        return {
            "scenes": {named.name: named.sources for named in self.split.scenes},
            "split": self.split.describe(),
            "leaky": self.split.leaky,
            "synthetic": self.synthetic,
            "training_pixels": dict(zip(self.legend.names, pixels or self.pixels, strict=True)),
            "validation": {name: scores[name] for name in report.ScoreNames.overall},
        }

    def initial_segmenter(self) -> NetworkSegmenter:
        """Return the recipe's network with its first weights. Errors: InputError if streams, first weights or losses do not fit."""
        from deepnets4eo.training.losses import set_contrastive_loss

        segmenter = build_segmenter(self.recipe, _network_spec(self), self.inputs, self.legend)
        set_contrastive_loss(segmenter.module, self.recipe.train, self.legend)
        return segmenter

    def score(self, segmenter: Segmenter, *, batch_size: int | None = None) -> dict[str, Any]:
        """All scores over the validation split with that split; the overall ones also without each optional layer."""
        inputs = segmenter.inputs
        optional = [name for name, layer in inputs.layers.items() if layer.optional and name != InputSpec.click_layer]
        matrices = {left_out: ConfusionMatrix(self.legend.num_classes) for left_out in [None, *optional]}
        core_px, halo_px = self.recipe.data.tile_px, segmenter.halo_px
        if getattr(segmenter, "any_tile", False):  # no tile reaches further than the block that is validated
            blocks_px = [split.block_px for split in self.split.splits if isinstance(split, BlockSplit)]
            core_px = min(core_px, max(blocks_px, default=core_px))
        for batch in self.validation(self.samples(), core_px, halo_px, batch_size, labelled=True):
            inner = batch["mask"][:, halo_px : halo_px + core_px, halo_px : halo_px + core_px]
            for left_out, matrix in matrices.items():
                stack = [np.zeros_like(batch[name]) if name == left_out else batch[name] for name in inputs.names]
                matrix.update(inner, segmenter.predict_classes(np.concatenate(stack, axis=1), margin_px=halo_px))
        split = self.split.describe()
        name = protocol_name(self.split.validated, VALIDATED[self.recipe.train.refit])
        protocol = {"name": name, "leaky": split["leaky"], "split": split}
        without = {
            name: {score: getattr(matrices[name], score) for score in report.ScoreNames.overall} for name in optional
        }
        return report.scores(matrices[None], self.legend.names) | {
            "legend": self.legend.name, "protocol": protocol, "synthetic": self.synthetic,
        } | ({"without_layer": without} if optional else {})  # fmt: skip

    def score_and_write(self, segmenter: Segmenter, out: Path, notes: dict[str, Any]) -> Path:
        """Score a trained segmenter on the validation part and write its run; returns the folder."""
        scores = self.score(segmenter)
        notes = self.notes(scores) | notes
        return write_run(segmenter, self.recipe, out, split=self.split, scores=scores, notes=notes)

    def fit(self, segmenter: NetworkSegmenter, validated: Prepared, out: Path, options: TrainOptions) -> dict[str, Any]:
        """Train a network on these scenes and validate it on the scenes of `validated`; return notes for the card."""
        from deepnets4eo.training.losses import SegmentationCriterion

        recipe, samples = self.recipe, self.samples()
        criterion = SegmentationCriterion(recipe.train, self.legend, self.inputs.names, self.pixels)
        halo_px = min(recipe.predict.halo_px, recipe.data.tile_px // 8)
        withheld = samples if validated is self else validated.samples()
        most = recipe.data.windows_per_epoch  # after an epoch; at the end all is scored
        validation = validated.validation(withheld, recipe.data.tile_px - 2 * halo_px, halo_px, most=most)

        def score(segmenter: NetworkSegmenter) -> dict[str, float]:
            if not validated.split.validated:
                return {recipe.train.monitor: float("nan")}  # undefined, so that the last epoch's weights are kept
            return criterion.validate(segmenter.module, validation)

        return fit_segmenter(segmenter, samples, criterion.step, score, recipe, out, options)

    def train(self, out: Path, options: TrainOptions) -> tuple[NetworkSegmenter, dict[str, Any]]:
        """Train the recipe's network; returns it, and notes for the card."""
        warn_of_lacking(self.split, self.pixels)
        segmenter = self.initial_segmenter()
        notes = self.fit(segmenter, self, out, options)
        if not self.split.validated:
            notes |= {"kept": "last"} if "kept" in notes else {}
        return segmenter, notes


Fit = Callable[[Prepared, Path, TrainOptions], tuple[Segmenter, dict[str, Any]]]  # → the segmenter, notes for the card


def train_segmentation(recipe: Recipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on labelled scenes; returns the run folder."""
    if not recipe.model.network:
        raise InputError("the recipe names no model. Set model.network, e.g. to unet.")
    check_extra("deep")
    return fit_and_write(recipe, out, options, Prepared.train)


def fit_and_write(recipe: Recipe, out: Path, options: TrainOptions, fit: Fit) -> Path:
    """Fit to the training part, validate, and write the run; with `train.refit` fit once more to everything, for as many epochs."""
    prepared = prepare(recipe)
    refit = recipe.train.refit and prepared.split.validated and not options.finish
    segmenter, notes = fit(prepared, out, replace(options, followed=refit))
    if not refit:
        return prepared.score_and_write(segmenter, out, notes)
    scores = prepared.score(segmenter) if Rank.current().is_first else {}
    log.info("train.refit=true: validated; now once more, on everything.")
    whole = prepare(recipe.without_validation())
    epochs = notes["best_epoch"] if notes.get("kept") == "best" else None
    segmenter, again = fit(whole, out / REFIT, replace(options, epochs=epochs))
    notes = prepared.notes(scores, whole.pixels) | notes | {"refit": again}
    return write_run(segmenter, recipe, out, split=prepared.split, scores=scores, notes=notes)


def prepare(recipe: Recipe, further: Sequence[str] = ()) -> Prepared:
    """Open the scenes, split them, and measure the training part. further : layers needed in addition to the inputs."""
    return prepare_split(recipe, *open_labelled(recipe, further))


def open_labelled(recipe: Recipe, further: Sequence[str] = ()) -> tuple[Legend, list[LabelledScene]]:
    """Open the legend of a recipe, and its scenes. further : layers that they need in addition to the inputs."""
    legend = load_legend(recipe)
    return legend, open_scenes(recipe.data, (*recipe.model.layers, *further), legend)


def prepare_split(recipe: Recipe, legend: Legend, scenes: Sequence[LabelledScene]) -> Prepared:
    """Split scenes, and measure the training part."""
    split = make_split(scenes, recipe.data)
    recipe = windows_by_area(split, recipe)
    if split.mixes_neighbours:
        log.warning(
            "data.split=%s: neighbours of training pixels are validated on, so the scores are leaky.", split.kind
        )
    if not split.validated:
        log.info("data.val_share=0: all is learnt from, nothing is validated, and the last weights are kept.")
    inputs = measure_inputs(split, recipe.model.layers, scaling=recipe.data.scaling, gain_only=recipe.compares_shapes)
    inputs = inputs.with_optional(recipe.train.modality_dropout).with_nodata(recipe.data.nodata)
    if recipe.train.clicks:
        inputs = with_clicks(inputs, legend)
    return Prepared(recipe, legend, split, inputs, class_cells(split))


def load_legend(recipe: Recipe) -> Legend:
    """Load the legend that a recipe names, points to, or contains; it needs at least two classes."""
    if not recipe.legend:
        known = ", ".join(Legend.available())
        raise InputError(
            f"the recipe names no legend. Set legend to one of {known}, or to a YAML file of your own; `deepnets4eo "
            "datasets --legends minicity` shows how one is written."
        )
    named = recipe.legend
    legend = Legend.from_dict(named, "the recipe's legend") if isinstance(named, dict) else Legend.load(named)
    if legend.num_classes < 2:
        raise InputError(f"legend {legend.name!r} has one class; at least two are needed. Add one.")
    return legend


def _network_spec(prepared: Prepared) -> dict[str, Any]:
    """Name and options of the recipe's network. Errors: InputError where streams or first weights do not fit the layers."""
    model = prepared.recipe.model
    _check_streams(model.options.get("streams"), prepared.inputs)
    _check_runs(model.first_weights, prepared.legend, prepared.inputs)
    named = {"name": model.network, "encoder": model.encoder}
    return {key: value for key, value in named.items() if value is not None} | model.options


def _check_runs(sources: Sequence[str], legend: Legend, inputs: InputSpec) -> None:
    """Refuse first weights from runs of other classes, or in another order than the layers: they would be mixed up."""
    runs = [source for source in map(Path, sources) if RunFolder(source).legend.is_file()]
    for folder in runs:
        names = Legend.load(RunFolder(folder).legend).names
        if names != legend.names:
            raise InputError(
                f"model.encoder_weights: the run {folder} has the classes {', '.join(names)}, this one {', '.join(legend.names)}. "
                "Start from runs of the same classes in the same order."
            )
    seen = [name for folder in runs for name in read_json(RunFolder(folder).card)["inputs"]["layers"]]
    if sorted(seen) == sorted(inputs.names) and seen != inputs.names:
        raise InputError(
            f"model.encoder_weights: the runs have the layers {', '.join(seen)}, this one has {', '.join(inputs.names)}. "
            "Name the runs in the order of model.layers."
        )


def _check_streams(streams: Any, inputs: InputSpec) -> None:
    """Refuse streams of a fusion network that do not match the layers: the network would mistake bands for another layer's."""
    if not isinstance(streams, (list, tuple)):
        return
    bands = [len(layer.bands) for layer in inputs.layers.values()]
    if sum(streams) != sum(bands) or (len(streams) == len(bands) and list(streams) != bands):
        listed = ", ".join(f"{name} {count}" for name, count in zip(inputs.names, bands, strict=True))
        raise InputError(
            f"model.options has streams={list(streams)}, but the bands of the layers are: {listed}. "
            f"Choose bands with data.bands={{LAYER: [1, …]}}, or set streams to {bands}."
        )


TASK = Task(train_segmentation)
