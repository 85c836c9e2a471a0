"""Probabilities that mean what they say: Platt and beta scaling, temperature, calibration error and Brier score.

Takes scores or probabilities per building with their truth; works after aggregation, on buildings. Refuses arrays that
do not belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import fit_sigmoid


def platt(score: Floats, truth: NDArray[np.bool_], weight: Floats | None = None) -> tuple[float, float]:
    """Slope and intercept that make expit(slope · score + intercept) a calibrated probability.

    score : (N,) log-odds or any increasing score; truth : (N,) bool; weight : (N,) or None for equal weights.
    Targets are pulled in by one pseudo-count per class (Platt 1999), so that separable data stay finite.
    """
    _check(score, truth)
    weight = np.ones(len(score)) if weight is None else weight
    positive, negative = float(weight[truth].sum()), float(weight[~truth].sum())
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    return fit_sigmoid(score, target, weight)


@dataclass(frozen=True)
class BetaCalibration:
    """Log-odds with one slope below 0, another above, and a shift (Kull, Silva Filho & Flach 2017).

    With p = expit(score): log-odds = a · ln p − b · ln(1 − p) + c. Platt scaling is the case a = b; a = b = 1, c = 0
    changes nothing. a and b are at least 0, so that the order is kept.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __call__(self, score: Floats) -> Floats:
        """Calibrated log-odds of scores of any shape."""
        return np.asarray(self.b * np.logaddexp(0, score) - self.a * np.logaddexp(0, -score) + self.c)

    def to_dict(self) -> dict[str, float]:
        """Plain values for the model file."""
        return {"a": round(self.a, 4), "b": round(self.b, 4), "c": round(self.c, 4)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> BetaCalibration:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError or ValueError for anything else."""
        return cls(float(content["a"]), float(content["b"]), float(content["c"]))


def fit_beta(score: Floats, truth: NDArray[np.bool_], weight: Floats | None = None) -> BetaCalibration:
    """The beta calibration of least log loss.

    score : (N,) log-odds; truth : (N,) bool; weight : (N,) or None for equal weights.
    One building of either kind at a score of 0 is added, so that separable data stay finite.
    """
    _check(score, truth)
    weight = np.ones(len(score)) if weight is None else weight * len(weight) / weight.sum()
    score, target = np.append(score, [0.0, 0.0]), np.append(truth, [True, False])
    weight = np.append(weight, [1.0, 1.0])
    below, above = -np.logaddexp(0, -score), np.logaddexp(0, score)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margin = parameters[0] * below + parameters[1] * above + parameters[2]
        residual = weight * (expit(margin) - target)
        value = float(np.sum(weight * (np.logaddexp(0, margin) - target * margin)))
        return value, np.array([residual @ below, residual @ above, residual.sum()])

    limits = [(0.0, None), (0.0, None), (None, None)]
    best = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=limits, method="L-BFGS-B").x
    return BetaCalibration(*map(float, best))


def temperature(logits: Floats, truth: NDArray[np.integer]) -> float:
    """Temperature T > 0 that minimises the log loss of softmax(logits / T); logits (N, K), truth (N,) class index."""
    _check(logits, truth)

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(truth)), truth].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: mean over equal-width bins (low, high] of |accuracy − confidence|, by bin size.

    >>> confidence = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.55])
    >>> round(calibration_error(confidence, np.array([1, 1, 0, 1, 0, 1], bool), bins=5), 5)
    0.13333
    """
    _check(confidence, correct)
    number = np.clip(np.ceil(confidence * bins - 1e-12).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(number, confidence - correct, minlength=bins)
    return float(np.abs(gap).sum() / max(len(confidence), 1))


def brier_score(probabilities: Floats, grade: NDArray[np.integer]) -> float:
    """Mean squared difference from the truth, summed over classes: 0 for a perfect forecast, 2 for a wrong sure one.

    probabilities : (N, K); grade : (N,) class index.

    >>> round(brier_score(np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0, 1])), 2)
    0.13
    """
    _check(probabilities, grade)
    return float(np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[grade]) ** 2, axis=1)))


def calibration_table(probabilities: Floats, grade: NDArray[np.integer], group: NDArray[np.generic]) -> pd.DataFrame:
    """Calibration overall and by group, such as a style, a hazard or a site.

    Parameters
    ----------
    probabilities
        (N, K) of the grades; the upper half of the grades counts as damaged.
    grade
        (N,) true grade.
    group
        (N,) name of the group of each building.

    Returns
    -------
    DataFrame
        A row for "all" and one a group: buildings, damaged (true share), expected (mean probability of damage), ECE
        (of the probability of damage, ten bins), Brier (all grades), Brier damaged (two classes, one square), right
        (share whose likeliest grade is right).

    Examples
    --------
    >>> sure = np.eye(4)[[0, 3, 3]]
    >>> calibration_table(sure, np.array([0, 3, 3]), np.array(["flood", "wind", "wind"]))["ECE"].tolist()
    [0.0, 0.0, 0.0]
    """
    _check(probabilities, grade)
    half = probabilities.shape[1] // 2
    damaged, expected = grade >= half, probabilities[:, half:].sum(axis=1)
    rows = []
    for name in ("all", *np.unique(group)):
        part = np.ones(len(grade), bool) if name == "all" else group == name
        p, truth = expected[part], damaged[part]
        rows.append(
            {
                "group": name, "buildings": int(part.sum()), "damaged": float(truth.mean()), "expected": float(p.mean()),
                "ECE": calibration_error(p, truth), "Brier": brier_score(probabilities[part], grade[part]),
                "Brier damaged": float(np.mean((p - truth) ** 2)),
                "right": float((probabilities[part].argmax(axis=1) == grade[part]).mean()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _check(first: Floats, second: NDArray[np.generic]) -> None:
    if len(first) != len(second) or not len(first):
        raise InputError(
            f"got {len(first)} scores and {len(second)} truths, expected as many of both and at least one."
        )
