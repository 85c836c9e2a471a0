"""Histograms of gradient directions over cells that start at any rows and columns, computed only there.

Takes a grey image; gives one plane for each direction. A cell is a box or a tent: of pixels counted whole, or shared
between neighbouring cells by distance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Image = NDArray[np.float32]
Places = NDArray[np.int64]


def site_places(length: int, stride_px: int) -> Places:
    """Rows (or columns) of the sites of a stride along an edge of `length` pixels.

    >>> site_places(10, 4).tolist()
    [2, 6]
    """
    return np.arange(stride_px // 2, length, stride_px)


def central_differences(padded: Image) -> tuple[Image, Image]:
    """Differences of the next and the last pixel, down and right; the border of one pixel is used up."""
    return padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]


def tents(starts: Places, cell_px: int, length: int) -> sparse.csr_array:
    """(len(starts), length) weights of pixels in cells: 1 in a cell's middle, falling to 0 one cell further."""
    distance = np.arange(2 * cell_px) - cell_px + (0.5 if cell_px % 2 == 0 else 0)
    first = starts - (cell_px + 1) // 2
    return _bands(first, 1 - np.abs(distance) / cell_px, length)


def boxes(starts: Places, cell_px: int, length: int) -> sparse.csr_array:
    """(len(starts), length) weights of pixels in cells: one inside, zero outside."""
    return _bands(starts, np.ones(cell_px), length)


def histograms(
    direction: NDArray[np.int64], magnitude: Image, rows: sparse.csr_array, cols: sparse.csr_array, num_directions: int
) -> Image:
    """Sums of magnitude for each direction over cells, (num_directions, R, C), in the type of `magnitude`.

    direction : (h, w) from 0; others than 0 … num_directions - 1 are left out. rows : (R, h) weights; cols : (C, w).
    Memory: one plane (h, w) beside the result.
    """
    sums = np.empty((num_directions, rows.shape[0], cols.shape[0]), magnitude.dtype)
    across = cols.T.astype(magnitude.dtype).tocsc()
    down = rows.astype(magnitude.dtype)
    for one in range(num_directions):
        sums[one] = (down @ np.where(direction == one, magnitude, 0)) @ across
    return sums


def _bands(first: Places, weights: NDArray[np.float64], length: int) -> sparse.csr_array:
    """A row for each start with the same weights from there on; what would lie outside is left out."""
    at = first[:, None] + np.arange(len(weights))
    inside = (at >= 0) & (at < length)
    counts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    values = np.broadcast_to(weights, at.shape)[inside]
    return sparse.csr_array((values, at[inside], counts), shape=(len(first), length))
