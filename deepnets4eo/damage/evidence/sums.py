"""Sums per building over pixels and outline samples, added up block by block.

Takes positions grouped by building in ascending order. A building that spans several blocks simply adds up; nothing
is ever cut out per building, so any size of building costs what its pixels cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import BuildingSums, FloatImage, Indices


@dataclass(frozen=True)
class Groups:
    """Positions grouped by building: `owner` ascending in 0 … count − 1."""

    owner: Indices
    count: int

    def __post_init__(self) -> None:
        new = np.flatnonzero(np.diff(self.owner, prepend=-1))
        object.__setattr__(self, "_begin", new)
        object.__setattr__(self, "_present", self.owner[new])

    def sum(self, values: Iterable[NDArray[np.generic]]) -> BuildingSums:
        """Sums of each of K value arrays per building: (count, K) float64."""
        begin, present = self._begin, self._present  # type: ignore[attr-defined]
        columns = []
        for value in values:
            column = np.zeros(self.count)
            if len(begin):
                column[present] = np.add.reduceat(value, begin, dtype=np.float64)
            columns.append(column)
        return np.column_stack(columns)


def correlation_sums(
    groups: Groups, flat: Indices, first: FloatImage, second: FloatImage, offsets: Indices
) -> BuildingSums:
    """What correlations of `first` with `second` under several shifts need, per building.

    flat : flat pixel numbers in both maps; offsets : (S,) to add to them for the second map.
    returns : (count, 2 + 3 S): Σx, Σx², then Σy, Σy², Σxy for each shift.
    """
    x, y_all = first.ravel()[flat], second.ravel()

    def values() -> Iterator[NDArray[np.generic]]:
        yield x
        yield x * x
        for offset in offsets:
            y = y_all[flat + offset]
            yield from (y, y * y, x * y)

    return groups.sum(values())


def correlations(pixels: NDArray[np.float64], sums: BuildingSums, floor: float) -> tuple[BuildingSums, BuildingSums]:
    """Correlation and structural similarity for each shift from `correlation_sums`.

    pixels : (N,) number of positions; floor : variance below which contrast counts as none.
    returns : two (N, S) arrays: Pearson correlation (0 where flat), and (2 σxy + floor) / (σx² + σy² + floor).
    """
    count = np.maximum(pixels, 1)[:, None]
    x, xx = sums[:, :1] / count, sums[:, 1:2] / count
    y, yy, xy = (sums[:, 2 + part :: 3] / count for part in range(3))
    var_x, var_y = np.maximum(xx - x * x, 0), np.maximum(yy - y * y, 0)
    cov = xy - x * y
    pearson = cov / np.sqrt((var_x + floor) * (var_y + floor))
    return pearson, (2 * cov + floor) / (var_x + var_y + floor)
