"""What reductions are fitted on, window by window: a bounded sample, differences of neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask, Vectors


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
