"""Weighted means and covariances of pixels, summed block by block.

Takes values (P, n) and weights (n,); memory does not grow with the number of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of weighted pixels.

    Parameters
    ----------
    weight
        Sum of the weights.
    mean
        (P,)
    covariance
        (P, P)
    """

    weight: float
    mean: Vector
    covariance: Matrix


@dataclass
class MomentSums:
    """Sums from which `Moments` follow, in double precision about the first block's mean, so that digits are kept.

    Parameters
    ----------
    size
        P, values of a pixel.

    Examples
    --------
    >>> sums = MomentSums(1)
    >>> sums.add(np.array([[1.0, 2.0]]), np.array([1.0, 3.0]))
    >>> sums.moments().mean.tolist()
    [1.75]
    """

    size: int
    _weight: float = 0.0
    _centre: Vector | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._sum, self._products = np.zeros(self.size), np.zeros((self.size, self.size))

    def add(self, values: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> None:
        """Count pixels. values : (P, n); weights : (n,), none: 1 each"""
        if not values.shape[1]:
            return
        values = np.asarray(values, float)
        if self._centre is None:
            self._centre = values.mean(axis=1)
        centred = values - self._centre[:, None]
        weighted = centred if weights is None else centred * weights
        self._weight += values.shape[1] if weights is None else float(np.sum(weights, dtype=float))
        self._sum += weighted.sum(axis=1)
        self._products += weighted @ centred.T

    def moments(self) -> Moments:
        """Mean and covariance of all that was counted. Errors: InputError where all weights are 0."""
        if self._centre is None or self._weight <= 0:
            raise InputError("no valid pixel is in both images. Check nodata, masks and the common extent.")
        offset = self._sum / self._weight
        covariance = self._products / self._weight - np.outer(offset, offset)
        return Moments(self._weight, self._centre + offset, covariance)
