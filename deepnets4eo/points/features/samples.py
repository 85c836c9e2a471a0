"""Labelled points drawn at random from clouds that are seen one after the other, equally many of each class.

Takes features and class indices; memory: the samples that are kept, and those of one cloud.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Vectors
from deepnets4eo.cards.legend import VOID


class PointSamples:
    """The points with the lowest random numbers of each class, a sample without knowing how many there are. Each class
    that occurs has an equal part of `most_samples`, or all its points where these are fewer; `counts` (K,) are the
    points seen.

    >>> samples = PointSamples(2, 4)
    >>> samples.add(np.eye(6, dtype=np.float32), np.array([0, 0, 0, 1, 1, 255], np.uint8), np.arange(6))
    >>> samples.counts.tolist(), samples.classes.tolist()
    ([3, 2], [0, 0, 1, 1])
    """

    def __init__(self, num_classes: int, most_samples: int, seed: int = 0) -> None:
        self.counts = np.zeros(num_classes, np.int64)
        self._most = most_samples
        self._rng = np.random.default_rng(seed)
        self._kept: list[tuple[NDArray[np.float64], Vectors, Indices]] = [
            (np.empty(0), np.empty((0, 0), np.float32), np.empty(0, np.int64)) for _ in range(num_classes)
        ]

    def add(self, vectors: Vectors, classes: NDArray[np.uint8], blocks: Indices) -> None:
        """Take further points: features (n, F), class indices (n,) with void 255, and the number (n,) of their block of
        ground."""
        order = self._rng.random(len(classes))
        self.counts += np.bincount(classes[classes != VOID], minlength=len(self.counts))
        for index, (lowest, before, ground) in enumerate(self._kept):
            rows = np.flatnonzero(classes == index)
            if not len(rows):
                continue
            rows = rows[np.argsort(order[rows])[: self._most]]
            keys = np.append(lowest, order[rows])
            chosen = np.sort(np.argsort(keys, kind="stable")[: self._most])
            joined = np.concatenate([before.reshape(-1, vectors.shape[1]), vectors[rows]])
            self._kept[index] = (keys[chosen], joined[chosen], np.append(ground, blocks[rows])[chosen])

    @property
    def vectors(self) -> Vectors:
        """(n, F) float32 features of the samples, class by class."""
        return np.concatenate(
            [vectors[rows] for (_, vectors, _), rows in zip(self._kept, self._rows(), strict=True) if len(rows)]
        )

    @property
    def classes(self) -> NDArray[np.uint8]:
        """(n,) class indices of the samples."""
        return np.repeat(np.arange(len(self._kept), dtype=np.uint8), [len(rows) for rows in self._rows()])

    @property
    def blocks(self) -> Indices:
        """(n,) number of the block of ground of each sample."""
        return np.concatenate([ground[rows] for (_, _, ground), rows in zip(self._kept, self._rows(), strict=True)])

    def _rows(self) -> list[Indices]:
        """The points kept of each class that are samples."""
        each = max(self._most // max(int((self.counts > 0).sum()), 1), 1)
        return [np.sort(np.argsort(keys, kind="stable")[:each]) for keys, _, _ in self._kept]
