"""The task `damage`: labelled pairs and a recipe in, a run folder out.

Takes a resolved recipe; writes the tree that every run has, its scores counted in buildings. Refuses networks that do
not take two dates, and pairs that leave nothing to validate on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.cards.legend import Legend
from deepnets4eo.damage.siamese.datasets import read_pairs
from deepnets4eo.damage.siamese.pairs import LEGEND
from deepnets4eo.damage.siamese.recipe import SiameseRecipe
from deepnets4eo.damage.siamese.scaling import measure_pairs
from deepnets4eo.damage.siamese.split import BuildingSplit, split_buildings
from deepnets4eo.evaluation import report
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.training.fit import build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.tasks import Task, TrainOptions


def train_grader(recipe: SiameseRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a Siamese network on labelled pairs; returns the run folder."""
    check_extra("deep")
    from deepnets4eo.damage.siamese.criterion import GradingCriterion
    from deepnets4eo.damage.siamese.samples import PairSamples
    from deepnets4eo.damage.siamese.scoring import full_scores, grade_validation, validation_scores

    split = split_buildings(read_pairs(recipe.data, recipe.train.seed), recipe.data, recipe.train.seed)
    samples = PairSamples(split, measure_pairs(split.training_pairs), recipe)
    segmenter = _untrained(recipe, samples.inputs)
    criterion = GradingCriterion(recipe.train, segmenter.legend, split.counts(split.train).tolist())

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        return validation_scores(grade_validation(segmenter, samples))

    notes = fit_segmenter(segmenter, samples, criterion.step, score, recipe, out, options)
    scores = full_scores(grade_validation(segmenter, samples), split)
    scores["synthetic"] = any(pair.synthetic for pair in split.scenes)
    notes = _notes(recipe, split, scores) | notes
    return write_run(segmenter, recipe, out, split=split, scores=scores, notes=notes)


def _untrained(recipe: SiameseRecipe, inputs: InputSpec) -> NetworkSegmenter:
    model, predict = recipe.model, recipe.predict
    network = {"name": model.network, "encoder": model.encoder, "decoder_channels": list(model.decoder_channels)}
    tiling = Tiling(predict.tile_px, predict.halo_px)  # logits of buildings are pooled over cores that abut
    return build_segmenter(recipe, network, inputs, Legend.load(LEGEND), tiling)


def _notes(recipe: SiameseRecipe, split: BuildingSplit, scores: dict[str, Any]) -> dict[str, Any]:
    """What the card says about the training, beside what prediction needs."""
    counts = split.describe()["buildings"]
    shares = np.array(list(counts["train"].values()), float)
    return {
        "scaling": recipe.data.scaling,
        "temperature": scores["temperature"],
        "pairs": {pair.name: pair.sources for pair in split.scenes},
        "ignored_buildings": {pair.name: pair.ignored for pair in split.scenes if pair.ignored},
        "split": split.describe(),
        "leaky": False,
        "synthetic": scores["synthetic"],
        "training_shares": dict(zip(counts["train"], (shares / max(shares.sum(), 1)).round(6).tolist(), strict=True)),
        "validation": {name: scores[name] for name in (*report.OVERALL, "auc_major_or_worse", "calibration_error")},
    }


TASK = Task(train_grader, SiameseRecipe)
