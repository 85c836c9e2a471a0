"""A few windows or items spread evenly over many: enough to measure a raster, a scene or a dataset, twice the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.grid import Window


def spread_windows(shape: tuple[int, int], window: tuple[int, int], per_axis: int) -> list[Window]:
    """Return windows of one size spread evenly over a raster from edge to edge, in row order; fewer than `per_axis`
    where several would begin at the same pixel, cut to the raster where it is small."""
    height, width = (min(side, length) for side, length in zip(window, shape, strict=True))
    rows, cols = (
        sorted({round(start) for start in np.linspace(0, length - side, per_axis)})
        for length, side in zip(shape, (height, width), strict=True)
    )
    return [Window(row, col, height, width) for row in rows for col in cols]


def spread_indices(count: int, most: int, *, round_down: bool = False) -> NDArray[np.intp]:
    """Return at most `most` ascending indices of `count` items, spread evenly from the first to the last; `round_down`
    takes the item before a position between two."""
    positions = np.linspace(0, count - 1, min(count, most))
    indices: NDArray[np.intp] = (np.floor if round_down else np.rint)(positions).astype(np.intp)
    return indices
