"""A border between two sides: a ridge logistic regression whose weights keep to given signs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError


@dataclass(frozen=True)
class Border:
    """The log-odds of being beyond a grade border: intercept + weights · standardised evidence."""

    intercept: float
    weights: Floats


def fit_border(evidence: Floats, beyond: Mask, weight: Floats, points: NDArray[np.integer], ridge: float) -> Border:
    """Fit a ridge logistic regression with weights of the signs `points`; evidence (N, K) standardised. Errors: InputError."""
    if beyond.all() or not beyond.any():
        raise InputError(
            f"all {len(beyond)} buildings lie on one side of the border. Give both damaged and intact ones."
        )
    share = weight / weight.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margin = evidence @ parameters[1:] + parameters[0]
        residual = share * (scipy.special.expit(margin) - beyond)
        gradient = np.concatenate([[residual.sum()], evidence.T @ residual + ridge * parameters[1:]])
        value = share @ (np.logaddexp(0, margin) - beyond * margin) + ridge / 2 * parameters[1:] @ parameters[1:]
        return float(value), gradient

    limits = [(None, None)] + [(0.0 if point >= 0 else None, 0.0 if point <= 0 else None) for point in points]
    best = scipy.optimize.minimize(loss, np.zeros(evidence.shape[1] + 1), jac=True, bounds=limits, method="L-BFGS-B").x
    return Border(float(best[0]), best[1:])


def balance_weights(beyond: Mask, domain: NDArray[np.generic]) -> Floats:
    """Return weights (N,) with mean 1 that balance the domains, and both sides of the border within each domain."""
    weight = np.zeros(len(beyond))
    for name in np.unique(domain):
        for side in (True, False):
            rows = (domain == name) & (beyond == side)
            weight[rows] = 1.0 / max(rows.sum(), 1)
    return weight * len(weight) / weight.sum()
