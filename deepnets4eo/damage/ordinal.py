"""Small models that cannot learn nonsense: ridge logistic regressions whose signs are fixed beforehand.

Takes a table of evidence, grades 0–3 and the direction each evidence points in; one regression per grade border
(minor or worse, major or worse, destroyed). Refuses data without both sides of a border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError


@dataclass(frozen=True)
class Border:
    """log-odds of lying beyond a grade border: intercept + weights · standardised evidence."""

    intercept: float
    weights: Floats


def fit_border(
    evidence: Floats, beyond: NDArray[np.bool_], weight: Floats, points: NDArray[np.integer], ridge: float
) -> Border:
    """Ridge logistic regression with weights held to the signs of `points`.

    evidence : (N, K) standardised, no NaN; beyond : (N,) bool; weight : (N,), any scale;
    points : (K,) +1, −1, or 0 for no weight at all; ridge : penalty on squared weights against the mean log loss.
    Errors: InputError when all buildings lie on one side.
    """
    if beyond.all() or not beyond.any():
        raise InputError(
            f"all {len(beyond)} buildings lie on one side of the border. Give both damaged and intact ones."
        )
    share = weight / weight.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margin = evidence @ parameters[1:] + parameters[0]
        residual = share * (expit(margin) - beyond)
        gradient = np.concatenate([[residual.sum()], evidence.T @ residual + ridge * parameters[1:]])
        value = share @ (np.logaddexp(0, margin) - beyond * margin) + ridge / 2 * parameters[1:] @ parameters[1:]
        return float(value), gradient

    limits = [(None, None)] + [(0.0 if point >= 0 else None, 0.0 if point <= 0 else None) for point in points]
    best = minimize(loss, np.zeros(evidence.shape[1] + 1), jac=True, bounds=limits, method="L-BFGS-B").x
    return Border(float(best[0]), best[1:])


def balance_weights(beyond: NDArray[np.bool_], domain: NDArray[np.generic]) -> Floats:
    """Weights by which every domain counts the same, and in each both sides of the border do; (N,), mean 1."""
    weight = np.zeros(len(beyond))
    for name in np.unique(domain):
        for side in (True, False):
            rows = (domain == name) & (beyond == side)
            weight[rows] = 1.0 / max(rows.sum(), 1)
    return weight * len(weight) / weight.sum()


def grade_probabilities(beyond: Floats) -> Floats:
    """(N, 4) probabilities of the grades from (N, 3) probabilities of lying beyond each border, made to decrease.

    >>> grade_probabilities(np.array([[0.9, 0.6, 0.7]])).round(2).tolist()
    [[0.1, 0.25, 0.0, 0.65]]
    """
    ordered = np.minimum.accumulate(beyond, axis=1)
    raised = np.maximum.accumulate(beyond[:, ::-1], axis=1)[:, ::-1]
    limits = np.column_stack([np.ones(len(beyond)), (ordered + raised) / 2, np.zeros(len(beyond))])
    return limits[:, :-1] - limits[:, 1:]
