"""The sigmoid that turns scores into probabilities with the least log loss, as Platt scaling needs it.

Takes scores and the probability that each should have; returns a line of log-odds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

STEPS, HALVINGS = 100, 30
CLOSE = 1e-10  # of the standardised scores' line
LEAST_CURVATURE = 1e-9  # where all scores are equal every line's slope is as good


def fit_sigmoid(
    score: NDArray[np.floating], target: NDArray[np.floating], weight: NDArray[np.floating]
) -> tuple[float, float]:
    """Slope and intercept for which expit(slope · score + intercept) has the least log loss, by Newton's method.

    Parameters
    ----------
    score : (N,) of any unit, N at least 1
    target : (N,) probabilities, between 0 and 1 and not all at the ends, so that the line stays finite
    weight : (N,), 0 or more, not all 0

    Returns
    -------
    Slope, per unit of the score, and intercept. Where all scores are equal the slope is arbitrary and finite.

    Examples
    --------
    >>> slope, intercept = fit_sigmoid(np.array([0.0, 4.0]), np.array([0.25, 0.75]), np.ones(2))
    >>> round(slope, 4), round(intercept, 4)
    (0.5493, -1.0986)
    """
    score, weight = score.astype(np.float64), weight / weight.sum()
    centre, spread = score.mean(), score.std() or 1.0
    design = np.stack([(score - centre) / spread, np.ones_like(score)], axis=1)

    def loss(line: NDArray[np.float64]) -> float:
        margin = design @ line
        return float(weight @ (np.logaddexp(0, margin) - target * margin))

    line = np.array([1.0, 0.0])
    for _ in range(STEPS):
        guess = expit(design @ line)
        gradient = design.T @ (weight * (guess - target))
        curvature = design.T @ (design * (weight * guess * (1 - guess))[:, None]) + LEAST_CURVATURE * np.eye(2)
        before, line = line, _step_down(loss, line, np.linalg.solve(curvature, gradient))
        if np.allclose(before, line, rtol=0, atol=CLOSE):
            break
    return float(line[0] / spread), float(line[1] - line[0] * centre / spread)


def _step_down(
    loss: Callable[[NDArray[np.float64]], float], line: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The line after a step, halved until the loss falls: far from the best line Newton's steps are too long."""
    before = loss(line)
    for _ in range(HALVINGS):
        if loss(line - step) < before:
            return line - step
        step = step / 2
    return line
