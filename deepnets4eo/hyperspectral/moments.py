"""What reductions are fitted on, window by window: sums of products of bands, a bounded sample, differences of neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask, Vectors


class Moments:
    """Count, mean and covariance of spectra that come in portions; float64, about the first portion's mean.

    Memory: O(B²), whatever the number of spectra.
    """

    def __init__(self) -> None:
        self.count = self.bands = 0

    def add(self, spectra: Vectors) -> None:
        """Count a portion. spectra : (n, B)"""
        if not len(spectra):
            return
        if not self.count:
            self.bands = spectra.shape[1]
            self._origin: Floats = spectra.mean(axis=0, dtype=np.float64)
            self._sum, self._products = np.zeros(self.bands), np.zeros((self.bands, self.bands))
        rows = spectra - self._origin
        self.count += len(rows)
        self._sum += rows.sum(axis=0)
        self._products += rows.T @ rows

    def mean(self) -> Floats:
        """(B,)"""
        return self._origin + self._sum / self.count

    def covariance(self) -> Floats:
        """(B, B), of a sample: divided by one less than the count."""
        offset = self._sum / self.count
        return (self._products - self.count * np.outer(offset, offset)) / max(self.count - 1, 1)

    def mean_square(self) -> Floats:
        """(B, B), the mean of the products of all pairs of bands, about zero."""
        offset, mean = self._sum / self.count, self.mean()
        return self._products / self.count - np.outer(offset, offset) + np.outer(mean, mean)


class SpectraSample:
    """At most `size` spectra, each of those added with the same chance, by random keys; the same for the same seed."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._rng = np.random.default_rng(seed)
        self._rows: list[Vectors] = []
        self._keys: list[NDArray[np.float64]] = []

    def add(self, spectra: Vectors) -> None:
        """Take a portion into account. spectra : (n, B)"""
        rows = np.concatenate([*self._rows, spectra])
        keys = np.concatenate([*self._keys, self._rng.random(len(spectra))])
        if len(keys) > self.size:
            smallest = np.sort(np.argpartition(keys, self.size)[: self.size])
            rows, keys = rows[smallest], keys[smallest]
        self._rows, self._keys = [rows], [keys]

    def spectra(self) -> Vectors:
        """(n, B), n at most `size`."""
        return self._rows[0] if self._rows else np.zeros((0, 0), np.float32)


def neighbour_differences(cube: FloatImage, mask: Mask) -> Vectors:
    """Differences between pixels of the mask and their right and lower neighbours in it. (B, h, w), (h, w) → (pairs, B)"""
    right = (cube[:, :, 1:] - cube[:, :, :-1])[:, mask[:, 1:] & mask[:, :-1]]
    lower = (cube[:, 1:] - cube[:, :-1])[:, mask[1:] & mask[:-1]]
    return np.concatenate([right, lower], axis=1).T
