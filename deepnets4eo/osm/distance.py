"""Signed distance to the border of a mask, truncated: exact within the truncation, and fast because of it.

Takes masks (h, w); pixels beyond the array are unknown, so give a margin as wide as the truncation and cut it off.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIP_PX = 1 << 16  # pixels computed at once: they fit the processor's cache
FAR = 1 << 30  # rows, more than any raster has
SAME = 1e-4  # share by which the sides of square pixels may differ


def signed_distance(
    mask: NDArray[np.bool_], clip_m: float, step_m: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.float32]:
    """Distance in metres (h, w) float32 from pixel centre to the nearest centre of the other kind, ± clip_m at most.

    Positive inside, negative outside; never 0, it jumps across the border. step_m : along rows and columns.
    A mask without a border is ± clip_m throughout. Memory: 20 bytes a pixel; time grows with clip_m / step_m.

    >>> mask = np.zeros((7, 7), bool)
    >>> mask[2:5, 2:5] = True
    >>> signed_distance(mask, 9)[3].tolist()
    [-2.0, -1.0, 1.0, 2.0, 1.0, -1.0, -2.0]
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, clip_m if mask.any() else -clip_m, np.float32)
    unit_m, steps, dtype = _units(clip_m, step_m)
    limit = clip_m / unit_m
    squared = _squared_runs(mask, steps[0], limit, dtype)
    least = np.minimum(_squared_runs(mask.T, steps[1], limit, dtype).T, squared)
    distance = np.empty(mask.shape, np.float32)
    rows = max(1, STRIP_PX // mask.shape[1])
    for top in range(0, mask.shape[0], rows):
        strip = slice(top, top + rows)
        squares = _across(np.ascontiguousarray(squared[strip]), np.ascontiguousarray(least[strip]), steps[1])
        distance[strip] = np.minimum(np.sqrt(squares, dtype=np.float32) * np.float32(unit_m), np.float32(clip_m))
    return np.negative(distance, out=distance, where=~mask)


def _units(clip_m: float, step_m: tuple[float, float]) -> tuple[float, tuple[float, float], type[np.generic]]:
    """Unit in metres, steps along rows and columns in it, and the type of squares: small integers where they do."""
    square = abs(step_m[0] - step_m[1]) <= SAME * step_m[0]
    if square and 2 * math.ceil(clip_m / step_m[0]) ** 2 <= np.iinfo(np.uint16).max:
        return math.sqrt(step_m[0] * step_m[1]), (1, 1), np.uint16
    return 1.0, step_m, np.float32


def _squared_runs(mask: NDArray[np.bool_], step: float, limit: float, dtype: type[np.generic]) -> NDArray[Any]:
    """Squared distance to the nearest pixel of the other kind in the same column, about limit² at most."""
    row = np.arange(len(mask), dtype=np.int32)[:, None]
    change = np.zeros(mask.shape, bool)
    np.not_equal(mask[1:], mask[:-1], out=change[1:])
    above = np.maximum.accumulate(np.where(change, row, -FAR), axis=0)  # the row where its run began
    change[:-1], change[-1] = change[1:].copy(), False
    below = np.minimum.accumulate(np.where(change, row, FAR)[::-1], axis=0)[::-1]  # … and where it ends
    nearest = np.minimum(row - above, below - row) + 1
    return (np.minimum(nearest, math.ceil(limit / step)) * step).astype(dtype) ** 2


def _across(squared: NDArray[Any], least: NDArray[Any], step: float) -> NDArray[Any]:
    """Smallest squared distance over each row: one along it, then one along a column.

    Of which kind the pixel at the turn is does not matter: were it of the other kind, it would be nearer itself.
    """
    total = np.empty_like(squared)
    for offset in range(1, squared.shape[1]):
        along = squared.dtype.type((offset * step) ** 2)
        if along >= least.max():
            break
        np.add(squared, along, out=total)
        np.minimum(least[:, offset:], total[:, :-offset], out=least[:, offset:])
        np.minimum(least[:, :-offset], total[:, offset:], out=least[:, :-offset])
    return least
