"""How well buildings are graded: confusion over the four grades, F1, area under the curve of major-or-worse.

Takes pooled logits and grades; buildings without a grade or without a visible pixel do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.calibration import calibration_error, temperature
from deepnets4eo.damage.siamese.pairs import LEGEND
from deepnets4eo.damage.siamese.pooling import pool_scene
from deepnets4eo.damage.siamese.samples import PairSamples
from deepnets4eo.damage.siamese.split import BuildingSplit
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.segmenters.segmenter import Segmenter

MAJOR = 2  # index of major-damage: this and worse counts as damaged


@dataclass(frozen=True)
class Graded:
    """Buildings with their reference: mean logits (N, 4), grades (N,) uint8."""

    logits: NDArray[np.float64]
    grades: NDArray[np.uint8]

    @property
    def matrix(self) -> ConfusionMatrix:
        """Reference grade against the likeliest one, a count a building."""
        matrix = ConfusionMatrix(Legend.load(LEGEND).num_classes)
        if len(self.grades):
            matrix.update(self.grades, self.logits.argmax(axis=1).astype(np.uint8))
        return matrix

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of the grades; NaN without buildings."""
        if not len(self.grades):
            return float("nan")
        return float(-log_softmax(self.logits, axis=1)[np.arange(len(self.grades)), self.grades].mean())

    @property
    def auc(self) -> float:
        """Area under the ROC curve of major damage or worse; NaN where all buildings are damaged, or none."""
        from sklearn.metrics import roc_auc_score

        damaged = self.grades >= MAJOR
        if damaged.all() or not damaged.any():
            return float("nan")
        return float(roc_auc_score(damaged, damage_probability(softmax(self.logits, axis=1))))

    @property
    def temperature(self) -> float:
        """What the logits must be divided by to be calibrated on these buildings; 1 where there are none."""
        return temperature(self.logits, self.grades.astype(np.int64)) if len(self.grades) else 1.0


def damage_probability(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) probability of major damage or worse from (N, 4) probabilities of the grades."""
    return np.asarray(probabilities[:, MAJOR:].sum(axis=1))


def grade_validation(segmenter: Segmenter, samples: PairSamples) -> Graded:
    """Pool the validation buildings of all pairs, whole, as the main job does."""
    split = samples.split
    logits, grades = [], []
    for number, (pair, of_pair) in enumerate(zip(split.scenes, split.val, strict=True)):
        chosen = np.flatnonzero(of_pair != VOID)
        if not len(chosen):
            continue
        inputs = samples.scaling(number)
        pooled = pool_scene(segmenter, pair.scene, pair.outlines, inputs, segmenter.tiling, only=chosen)
        seen = pooled.pixels[chosen] > 0
        logits.append(pooled.mean[chosen][seen])
        grades.append(of_pair[chosen][seen])
    if not logits:
        return Graded(np.zeros((0, segmenter.legend.num_classes)), np.zeros(0, np.uint8))
    return Graded(np.concatenate(logits), np.concatenate(grades))


def validation_scores(graded: Graded) -> dict[str, float]:
    """What the log shows after an epoch."""
    matrix = graded.matrix
    names = ("overall_accuracy", "kappa", "mean_f1")
    return {"val_loss": graded.loss, "auc": graded.auc} | {name: float(getattr(matrix, name)) for name in names}


def full_scores(graded: Graded, split: BuildingSplit) -> dict[str, Any]:
    """All scores, counted in buildings, with the split they were reached under."""
    probabilities = softmax(graded.logits / graded.temperature, axis=1)
    scores = report.scores(graded.matrix, Legend.load(LEGEND).names)
    scores["buildings"] = scores.pop("pixels")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == graded.grades
    error = calibration_error(confidence, right) if len(right) else float("nan")
    protocol = {"name": "validation buildings, one count each", "leaky": False, "split": split.describe()}
    return scores | {
        "auc_major_or_worse": graded.auc, "temperature": graded.temperature, "calibration_error": error,
        "legend": LEGEND, "protocol": protocol,
    }  # fmt: skip
