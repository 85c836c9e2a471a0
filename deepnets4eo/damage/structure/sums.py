"""Sums per building over pixels and outline samples, for every shift, and means over the ground around."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import BuildingSums, FloatImage, Indices
from deepnets4eo.damage.structure.maps import box, cell_sums, minimum


@dataclass(frozen=True)
class Groups:
    """Positions grouped by building: `owner` ascending in 0 … count − 1."""

    owner: Indices
    count: int

    def __post_init__(self) -> None:
        new = np.flatnonzero(np.diff(self.owner, prepend=-1))
        object.__setattr__(self, "_begin", new)
        object.__setattr__(self, "_present", self.owner[new])

    def where(self, usable: NDArray[np.bool_], flat: Indices) -> tuple[Groups, Indices]:
        """Return the groups of usable positions, and their flat pixel numbers."""
        if usable.all():
            return self, flat
        return Groups(self.owner[usable], self.count), flat[usable]

    def sum(self, values: Iterable[NDArray[np.generic]]) -> BuildingSums:
        """Return sums of each of K value arrays per building: (count, K) float64."""
        # Positions are sorted by building once, so that one `reduceat` adds up all buildings for each value and shift; `bincount` would go over
        # the owners again for each. The sums are float64: variances are differences of Σx² and (Σx)² / n, and roofs of many pixels would lose
        # their last digits in float32.
        begin, present = self._begin, self._present  # type: ignore[attr-defined]
        columns = []
        for value in values:
            column = np.zeros(self.count)
            if len(begin):
                column[present] = np.add.reduceat(value, begin, dtype=np.float64)
            columns.append(column)
        return np.column_stack(columns)


def at_offsets(values: NDArray[Any], flat: Indices, offsets: Indices) -> Iterator[NDArray[Any]]:
    """Return (P,) values at flat pixel numbers plus each offset, in one array that the next call overwrites."""
    least, line = int(offsets.min()), values.ravel()
    first, moved = flat + least, np.empty(len(flat), values.dtype)
    for offset in offsets:
        yield line[offset - least :].take(first, out=moved, mode="clip")


def correlation_sums(
    groups: Groups, pixels: tuple[Indices, Indices], first: FloatImage, second: FloatImage, offsets: Indices
) -> BuildingSums:
    """Sum (count, 2 + 3 S) Σx, Σx², then Σy, Σy², Σxy for each of offsets (S,). pixels : flat numbers in both maps."""
    x = first.ravel()[pixels[0]]
    product = np.empty_like(x)

    def values() -> Iterator[NDArray[np.generic]]:
        yield x
        yield x * x
        for y in at_offsets(second, pixels[1], offsets):
            yield y
            for factor in (y, x):
                yield np.multiply(factor, y, out=product)

    return groups.sum(values())


def structural_similarity(pixels: NDArray[np.float64], sums: BuildingSums, floor: float) -> BuildingSums:
    """Return (N, S) structural similarity (2 σxy + floor) / (σx² + σy² + floor) from `correlation_sums` of pixels (N,)."""
    count = np.maximum(pixels, 1)[:, None]
    x, xx = sums[:, :1] / count, sums[:, 1:2] / count
    y, yy, xy = (sums[:, 2 + part :: 3] / count for part in range(3))
    var_x, var_y = np.maximum(xx - x * x, 0), np.maximum(yy - y * y, 0)
    return np.asarray((2 * (xy - x * y) + floor) / (var_x + var_y + floor))


FLAT_LIGHT = 1e-2  # variance below which there is nothing to correlate, contrast units²


def best_of_shifts(sums: dict[str, BuildingSums]) -> dict[str, BuildingSums]:
    """Return one number per building and name (M, 1): the largest edge strength or structural similarity."""
    best = {name: rows.max(axis=1, keepdims=True) for name, rows in sums.items() if name.endswith("_outline")}
    if "pair" in sums:
        structure = structural_similarity(sums["pair"][:, 0], sums["pair_light"], FLAT_LIGHT)
        best["pair_light"] = structure.max(axis=1, keepdims=True)
    return best


CELL_PX = 8
NEAR_M = 20.0
MIN_OPEN_SHARE = 1e-3  # share of open ground below which there is none
NO_GROUND = np.float32(1e9)


def open_means(
    values: Sequence[NDArray[np.generic]], open_ground: NDArray[np.bool_], cells: tuple[Indices, Indices], gsd_m: float
) -> NDArray[np.float64]:
    """Return (N, K) means over open ground in squares around N cells, NaN without open ground."""
    side = window_cells(gsd_m)
    share = box(cell_sums(open_ground, CELL_PX), side)[cells].astype(np.float64)
    columns = [box(cell_sums(value * open_ground, CELL_PX), side)[cells] for value in values]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share[:, None] > MIN_OPEN_SHARE * CELL_PX**2, np.column_stack(columns) / share[:, None], np.nan)


def lowest_ground(
    height: FloatImage, open_ground: NDArray[np.bool_], cells: tuple[Indices, Indices], gsd_m: float
) -> NDArray[np.float64]:
    """Return the height of the lowest fully open cell within 20 m: (N,), NaN without such a cell."""
    full = cell_sums(open_ground, CELL_PX) == CELL_PX**2
    mean = cell_sums(np.where(open_ground, height, 0), CELL_PX) / np.float32(CELL_PX**2)
    lowest = minimum(np.where(full, mean, NO_GROUND), window_cells(gsd_m))[cells].astype(np.float64)
    return np.where(lowest < NO_GROUND, lowest, np.nan)


def window_cells(gsd_m: float) -> int:
    """Return the odd number of cells across a square that reaches 20 m."""
    return 2 * max(1, round(NEAR_M / (CELL_PX * gsd_m))) + 1
