"""Means and deviations of pixels: weighted ones with covariances, summed block by block, and those in a moving square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats
from deepnets4eo.errors import InputError

Vector = Floats
Matrix = Floats


@dataclass(frozen=True)
class Moments:
    """Sum of weights, mean (B,) and covariance (B, B), divided by the weight, of weighted pixels."""

    weight: float
    mean: Vector
    covariance: Matrix

    @property
    def mean_square(self) -> Matrix:
        """Return (B, B), the mean of the products of all pairs of bands, about zero."""
        return self.covariance + np.outer(self.mean, self.mean)


class MomentSums:
    """Sums of values (B, n) by weights (n,) for computing `Moments`; taken about the first block's mean to keep digits.

    count, weight : pixels, and the sum of their weights

    >>> sums = MomentSums()
    >>> sums.add(np.array([[1.0, 2.0]]), np.array([1.0, 3.0]))
    >>> sums.moments().mean.tolist()
    [1.75]
    """

    def __init__(self) -> None:
        self.count = self.bands = 0
        self.weight = 0.0

    def add(self, values: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> None:
        """Count pixels. values : (B, n); weights : (n,) from 0, none: 1 each"""
        if not values.shape[1]:
            return
        if not self.count:
            self.bands = len(values)
            self._centre = values.mean(axis=1, dtype=float)
            self._sum, self._products = np.zeros(self.bands), np.zeros((self.bands, self.bands))
        centred = values - self._centre[:, None]
        roots = np.ones(values.shape[1]) if weights is None else np.sqrt(weights, dtype=float)
        if weights is not None:
            centred *= roots  # a matrix by its own transpose costs BLAS half
        self.count += values.shape[1]
        self.weight += values.shape[1] if weights is None else float(np.sum(weights, dtype=float))
        self._sum += centred @ roots
        self._products += centred @ centred.T

    def moments(self) -> Moments:
        """Mean and covariance of all that was counted. Errors: InputError where nothing was, or all weights are 0."""
        if self.weight <= 0:
            raise InputError("there is no valid pixel to take means of. Check nodata, masks and the common extent.")
        offset = self._sum / self.weight
        covariance = self._products / self.weight - np.outer(offset, offset)
        return Moments(self.weight, self._centre + offset, covariance)


class BandMoments:
    """Mean and variance per band of values that come in pieces (Chan, Golub and LeVeque 1979)."""

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(bands)
        self._squares: NDArray[np.float64] = np.zeros(bands)

    def update(self, pixels: NDArray[np.float32]) -> None:
        """pixels : (C, n)."""
        count = pixels.shape[1]
        if not count:
            return
        mean = pixels.mean(axis=1, dtype=np.float64)
        squares = np.square(pixels - mean[:, None]).sum(axis=1)
        delta, total = mean - self.mean, self.count + count
        self._squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count = total

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of all values so far."""
        return np.sqrt(self._squares / max(self.count, 1))


def moving_variance(
    values: NDArray[Any], side_px: int | tuple[int, ...], mode: str = "reflect"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and variance of `values` (…, h, w) in a moving square of `side_px`; take values about their mean for precision."""
    from scipy.ndimage import uniform_filter

    mean = uniform_filter(values, side_px, mode=mode)
    return mean, uniform_filter(values * values, side_px, mode=mode) - mean * mean


def moving_moments(
    values: FloatImage, side_px: int | tuple[int, ...], mode: str = "reflect"
) -> tuple[FloatImage, FloatImage]:
    """Mean and standard deviation of `values` (…, h, w) in a moving square."""
    mean, variance = moving_variance(values, side_px, mode)
    return mean, np.sqrt(np.maximum(variance, 0))
