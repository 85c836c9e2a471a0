"""Probabilities that hold: the sigmoid of Platt scaling, the temperature of scores, and the expected calibration error.

Takes scores or probabilities and what is true. Refuses arrays that do not belong together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError

STEPS, HALVINGS = 100, 30
ROUNDING = 1e-6  # of probabilities in single precision
CLOSE = 1e-10  # of the standardised scores' line
MIN_CURVATURE = 1e-9  # where all scores are equal every line's slope is as good


def fit_sigmoid(
    score: NDArray[np.floating], target: NDArray[np.floating], weight: NDArray[np.floating]
) -> tuple[float, float]:
    """Return slope and intercept that minimise the log loss of expit(slope · score + intercept), by Newton's method.

    Parameters
    ----------
    score : (N,) of any unit, N at least 1
    target : (N,) probabilities, between 0 and 1 and not all at the ends, so that the line stays finite
    weight : (N,), 0 or more, not all 0

    Returns
    -------
    Slope, per unit of the score, and intercept. If all scores are equal, the slope is arbitrary and finite.

    Examples
    --------
    >>> slope, intercept = fit_sigmoid(np.array([0.0, 4.0]), np.array([0.25, 0.75]), np.ones(2))
    >>> round(slope, 4), round(intercept, 4)
    (0.5493, -1.0986)
    """
    check_same_number(score, target)
    check_same_number(score, weight)
    if (
        not np.isfinite(score).all()
        or not ((target >= 0) & (target <= 1)).all()
        or (weight < 0).any()
        or not weight.any()
    ):
        raise InputError(
            f"the scores are from {score.min():g} to {score.max():g}, the targets from {target.min():g} to {target.max():g} and the weights from "
            f"{weight.min():g}; expected finite scores, targets from 0 to 1 and weights of 0 or more. Leave out what has no label."
        )
    score, weight = score.astype(np.float64), weight / weight.sum()
    centre, spread = score.mean(), score.std() or 1.0
    design = np.stack([(score - centre) / spread, np.ones_like(score)], axis=1)

    def loss(line: Floats) -> float:
        margin = design @ line
        return float(weight @ (np.logaddexp(0, margin) - target * margin))

    line = np.array([1.0, 0.0])
    for _ in range(STEPS):
        guess = scipy.special.expit(design @ line)
        gradient = design.T @ (weight * (guess - target))
        curvature = design.T @ (design * (weight * guess * (1 - guess))[:, None]) + MIN_CURVATURE * np.eye(2)
        before, line = line, _step_down(loss, line, np.linalg.solve(curvature, gradient))
        if np.allclose(before, line, rtol=0, atol=CLOSE):
            break
    return float(line[0] / spread), float(line[1] - line[0] * centre / spread)


def _step_down(loss: Callable[[Floats], float], line: Floats, step: Floats) -> Floats:
    """Return the line after a step, halved until the loss falls: far from the best line Newton's steps are too long."""
    before = loss(line)
    for _ in range(HALVINGS):
        if loss(line - step) < before:
            return line - step
        step = step / 2
    return line


def calibration_error(confidence: Floats, correct: Mask, bins: int = 10) -> float:
    """Compute the expected calibration error: mean over equal-width bins (low, high] of |accuracy − confidence|, by bin size.

    Errors: InputError for arrays of different lengths, empty arrays, confidences that are not from 0 to 1, choices that are neither
    right nor wrong, and fewer than one bin.

    Parameters
    ----------
    confidence : (N,) probabilities of the choices, 0 to 1
    correct : (N,) whether the choice was right
    bins : number of bins between 0 and 1

    Returns
    -------
    The error, a fraction.

    Examples
    --------
    >>> confidence = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.55])
    >>> round(calibration_error(confidence, np.array([1, 1, 0, 1, 0, 1], bool), bins=5), 5)
    0.13333
    """
    check_same_number(confidence, correct)
    confidence, right = np.asarray(confidence, np.float64), np.asarray(correct)
    if bins < 1:
        raise InputError(f"bins is {bins}; expected at least 1.")
    if confidence.ndim != 1 or not ((confidence >= 0) & (confidence <= 1 + ROUNDING)).all():
        raise InputError(
            f"the confidences have the shape {confidence.shape} and hold {_range(confidence)}; expected (N,) "
            "probabilities from 0 to 1. Take the largest softmax of scores, and leave pixels without a label out."
        )
    if right.shape != confidence.shape or not np.isin(right, (0, 1)).all():
        raise InputError(
            f"`correct` has the shape {right.shape} and values other than right (1) and wrong (0); expected one of both for each confidence. "
            "Leave pixels without a label out."
        )
    number = np.clip(np.ceil(confidence * bins - 1e-12).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(number, confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / max(len(confidence), 1))


def temperature(logits: Floats, truth: NDArray[np.integer]) -> float:
    """Temperature T > 0 that minimises the log loss of softmax(logits / T) (Guo et al. 2017); above 1 for scores that are too sure.

    Errors: InputError for arrays of different lengths, empty ones, logits that are not finite, and labels that are no class indices.

    Parameters
    ----------
    logits : (N, K) scores before normalisation
    truth : (N,) class indices

    Returns
    -------
    T; above 1 where the scores are surer than they are right.

    Examples
    --------
    >>> logits = np.log(np.array([[0.75, 0.25]] * 4))
    >>> round(temperature(2 * logits, np.array([0, 0, 0, 1])), 3)
    2.0
    """
    from scipy.optimize import minimize_scalar  # takes a third of a second

    check_same_number(logits, truth)
    logits, truth = np.asarray(logits, np.float64), np.asarray(truth)
    if logits.ndim != 2 or not np.isfinite(logits).all():
        raise InputError(
            f"the logits have the shape {logits.shape}, or are not all finite; expected (N, K) finite numbers."
        )
    if truth.ndim != 1 or truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= logits.shape[1]:
        raise InputError(
            f"the labels ({truth.dtype}) hold {_range(truth)}; expected class indices 0 to {logits.shape[1] - 1}. Leave "
            "pixels without a label, such as -1 or 255, out of both arrays."
        )

    def loss(log_t: float) -> float:
        return float(-scipy.special.log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(truth)), truth].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def check_same_number(first: NDArray[np.floating], second: NDArray[np.generic]) -> None:
    """Refuse arrays of different lengths, or empty ones. Errors: InputError."""
    if len(first) != len(second) or not len(first):
        raise InputError(
            f"got {len(first)} scores and {len(second)} truths, expected as many of both and at least one."
        )


def _range(values: NDArray[Any]) -> str:
    """Return the lowest and highest of values of any type, for messages."""
    if not values.size or values.dtype.kind not in "biuf":
        return "none" if not values.size else "no numbers"
    return f"{values.min():g} to {values.max():g}"
