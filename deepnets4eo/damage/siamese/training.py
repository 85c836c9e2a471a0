"""The task `damage`: labelled pairs and a recipe in, a run folder out.

Takes a resolved recipe; writes the tree that every run has, its scores counted in buildings. Refuses networks that do
not take two dates, and pairs that leave nothing to validate on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.siamese.datasets import read_pairs
from deepnets4eo.damage.siamese.pairs import LEGEND
from deepnets4eo.damage.siamese.recipe import SiameseRecipe
from deepnets4eo.damage.siamese.scaling import measure_pairs
from deepnets4eo.damage.siamese.split import BuildingSplit, split_buildings
from deepnets4eo.evaluation import report
from deepnets4eo.files import write_json, write_text
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.training.tasks import Task, TrainOptions

if TYPE_CHECKING:
    from deepnets4eo.damage.siamese.samples import PairReader


def train_grader(recipe: SiameseRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a Siamese network on labelled pairs; returns the run folder."""
    check_extra("deep")
    from deepnets4eo.damage.siamese.samples import PairReader
    from deepnets4eo.damage.siamese.scoring import full_scores, grade_validation

    division = split_buildings(read_pairs(recipe.data, recipe.train.seed), recipe.data, recipe.train.seed)
    write_json(out / "split.geojson", division.to_geojson())
    inputs = measure_pairs(_learnt_from(division))
    reader = PairReader(division, inputs, by_scene=recipe.data.scaling == "scene")
    segmenter, notes = _fit(recipe, reader, out, options)
    scores = full_scores(grade_validation(segmenter, reader, segmenter.tiling), division)
    scores["synthetic"] = any(pair.synthetic for pair in division.pairs)
    write_json(out / "metrics.json", scores)
    write_text(out / "confusion.csv", report.confusion_csv(scores))
    return save_run(
        segmenter, out, recipe=recipe.to_dict(), seed=recipe.train.seed, notes=_notes(recipe, division, scores) | notes
    )


def _learnt_from(division: BuildingSplit) -> list[Any]:
    """Pairs with a training building."""
    return [pair for pair, grades in zip(division.pairs, division.train, strict=True) if (grades != VOID).any()]


def _fit(
    recipe: SiameseRecipe, reader: PairReader, out: Path, options: TrainOptions
) -> tuple[NetworkSegmenter, dict[str, Any]]:
    import torch

    from deepnets4eo.damage.siamese.criterion import GradingCriterion
    from deepnets4eo.damage.siamese.samples import WindowPlan
    from deepnets4eo.damage.siamese.scoring import grade_validation, validation_scores
    from deepnets4eo.device import Compute, choose
    from deepnets4eo.training.augmentation import Augmentation
    from deepnets4eo.training.data import TrainLoader
    from deepnets4eo.training.loop import Fit, fit_network

    train, division = recipe.train, reader.division
    compute = choose(options.device, train.precision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        segmenter = _untrained(recipe, reader.inputs)
    segmenter.module.to(memory_format=torch.channels_last)  # quicker convolutions
    segmenter.compute = Compute(compute.device, "float32", compute.threads)
    augment = Augmentation(train.flips, train.rotations, train.photometric)
    loader = TrainLoader(reader, WindowPlan(division, recipe), augment, train.batch_size, recipe.data.num_workers)
    criterion = GradingCriterion(train, segmenter.legend, division.counts(division.train).tolist())
    fit = Fit(train, out, recipe.hash, compute.device, compute.precision, options.resume)
    progress = fit_network(
        segmenter.module, criterion.step, loader,
        lambda _: validation_scores(grade_validation(segmenter, reader, segmenter.tiling)), fit,
    )  # fmt: skip
    segmenter.to(segmenter.compute)
    epochs = {"epochs": progress.epochs_done, "best_epoch": progress.best_epoch, "kept": train.keep}
    seconds = round(sum(row["seconds"] for row in progress.history), 3)
    return segmenter, {**epochs, "compute": compute.to_dict(), "seconds": seconds}


def _untrained(recipe: SiameseRecipe, inputs: InputSpec) -> NetworkSegmenter:
    from deepnets4eo.segmenters.networks import create_model

    model, predict, legend = recipe.model, recipe.predict, Legend.load(LEGEND)
    spec: dict[str, Any] = {
        "name": model.network,
        "encoder": model.encoder,
        "decoder_channels": list(model.decoder_channels),
    }
    sizes: dict[str, Any] = {"in_channels": inputs.in_channels, "num_classes": legend.num_classes}
    network = create_model(**spec, **sizes, weights=model.encoder_weights)
    return NetworkSegmenter(spec, inputs, legend, tiling=Tiling(predict.tile_px, predict.halo_px), module=network)


def _notes(recipe: SiameseRecipe, division: BuildingSplit, scores: dict[str, Any]) -> dict[str, Any]:
    """What the card says about the training, beside what prediction needs."""
    counts = division.describe()["buildings"]
    shares = np.array(list(counts["train"].values()), float)
    return {
        "task": recipe.task,
        "scaling": recipe.data.scaling,
        "temperature": scores["temperature"],
        "pairs": {pair.name: pair.sources for pair in division.pairs},
        "ignored_buildings": {pair.name: pair.ignored for pair in division.pairs if pair.ignored},
        "split": division.describe(),
        "leaky": False,
        "synthetic": scores["synthetic"],
        "training_shares": dict(zip(counts["train"], (shares / max(shares.sum(), 1)).round(6).tolist(), strict=True)),
        "validation": {name: scores[name] for name in (*report.OVERALL, "auc_major_or_worse", "calibration_error")},
    }


TASK = Task(train_grader, SiameseRecipe)
