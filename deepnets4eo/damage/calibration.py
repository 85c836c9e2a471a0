"""Probabilities that mean what they say: Platt scaling, temperature, expected calibration error.

Takes scores or probabilities per building with their truth; works after aggregation, on buildings. Refuses arrays that
do not belong together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError


def platt(score: Floats, truth: NDArray[np.bool_], weight: Floats | None = None) -> tuple[float, float]:
    """Slope and intercept that make expit(slope · score + intercept) a calibrated probability.

    score : (N,) log-odds or any increasing score; truth : (N,) bool; weight : (N,) or None for equal weights.
    Targets are pulled in by one pseudo-count per class (Platt 1999), so that separable data stay finite.
    """
    _check(score, truth)
    weight = np.ones(len(score)) if weight is None else weight
    positive, negative = float(weight[truth].sum()), float(weight[~truth].sum())
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(parameters: Floats) -> float:
        margin = parameters[0] * score + parameters[1]
        return float(np.sum(weight * (np.logaddexp(0, margin) - target * margin)))

    slope, intercept = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead", options={"xatol": 1e-6}).x
    return float(slope), float(intercept)


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


def _check(first: Floats, second: NDArray[np.generic]) -> None:
    if len(first) != len(second) or not len(first):
        raise InputError(
            f"got {len(first)} scores and {len(second)} truths, expected as many of both and at least one."
        )
