"""A few windows or items spread evenly over many: enough to measure a raster, a scene or a dataset.

Pure functions; the choice follows from the sizes alone, so that measuring twice gives the same bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.grid import Window


def spread_windows(shape: tuple[int, int], window: tuple[int, int], per_axis: int) -> list[Window]:
    """Return windows of one size spread evenly over a raster from edge to edge, in row order; fewer than `per_axis`
    where several would begin at the same pixel, cut to the raster where it is small.

    >>> spread_windows((100, 20), (40, 40), 3)
    [Window(row=0, col=0, height=40, width=20), Window(row=30, col=0, height=40, width=20), Window(row=60, col=0, height=40, width=20)]
    """
    height, width = (min(side, length) for side, length in zip(window, shape, strict=True))
    rows, cols = (
        sorted({round(start) for start in np.linspace(0, length - side, per_axis)})
        for length, side in zip(shape, (height, width), strict=True)
    )
    return [Window(row, col, height, width) for row in rows for col in cols]


def spread_indices(count: int, most: int, *, round_down: bool = False) -> NDArray[np.intp]:
    """Return at most `most` ascending indices of `count` items, spread evenly from the first to the last; `round_down`
    takes the item before a position between two.

    >>> spread_indices(10, 4).tolist(), spread_indices(10, 3, round_down=True).tolist(), spread_indices(2, 4).tolist()
    ([0, 3, 6, 9], [0, 4, 9], [0, 1])
    """
    positions = np.linspace(0, count - 1, min(count, most))
    indices: NDArray[np.intp] = (np.floor if round_down else np.rint)(positions).astype(np.intp)
    return indices
