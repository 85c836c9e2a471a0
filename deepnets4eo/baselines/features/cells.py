"""Histograms of gradient directions over cells that start at any rows and columns, computed only there.

Takes a grey image; returns one plane for each direction. A cell is a box, whose pixels count fully, or a tent, whose
pixels are shared between neighbouring cells by distance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from deepnets4eo.arrays import FloatImage, Indices


def site_places(length: int, stride_px: int) -> Indices:
    """Return rows (or columns) of the sites of a stride along an edge of `length` pixels.

    >>> site_places(10, 4).tolist()
    [2, 6]
    """
    return np.arange(stride_px // 2, length, stride_px)


def region_centres(ids: NDArray[np.int32], count: int, step_px: int) -> tuple[Indices, Indices]:
    """Return rows and columns (count,) of the centres of regions, rounded to whole steps; 0 for a region without pixels.

    Rounding keeps the number of distinct rows and columns, and so of distinct cells, small.
    """
    inside = np.nonzero(ids >= 0)
    region = ids[inside]
    sizes = np.maximum(np.bincount(region, minlength=count), 1)
    means = [np.bincount(region, weights=positions, minlength=count) / sizes for positions in inside]
    rows, cols = (np.rint(mean / step_px).astype(np.int64) * step_px for mean in means)
    return rows, cols


def central_differences(padded: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return differences of the next and the previous pixel, down and right; both lose the border of one pixel."""
    return padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]


def tents(starts: Indices, cell_px: int, length: int) -> sparse.csr_array:
    """Return (len(starts), length) weights of pixels in cells: 1 in a cell's centre, falling to 0 one cell further."""
    distance = np.arange(2 * cell_px) - cell_px + (0.5 if cell_px % 2 == 0 else 0)
    weights = np.broadcast_to(1 - np.abs(distance) / cell_px, (len(starts), 2 * cell_px))
    return bands_of(starts - (cell_px + 1) // 2, weights, length)


def bands_of(first: Indices, weights: NDArray[np.float64] | NDArray[np.bool_], length: int) -> sparse.csr_array:
    """Return a (n, length) matrix whose row k has weights[k] from column first[k] on; what would lie outside is left out."""
    at = first[:, None] + np.arange(weights.shape[1])
    inside = (at >= 0) & (at < length) & (weights != 0)
    counts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    return sparse.csr_array((weights[inside].astype(np.float32), at[inside], counts), shape=(len(first), length))


def weighted_sums(image: FloatImage, rows: sparse.csr_array, cols: sparse.csr_array) -> FloatImage:
    """Return sums over rows and columns, (R, C): rows (R, h) and cols (C, w) are weights."""
    across: FloatImage = cols @ (rows @ image).T
    return across.T


def histograms(
    direction: NDArray[np.uint8],
    magnitude: FloatImage,
    rows: sparse.csr_array,
    cols: sparse.csr_array,
    num_directions: int,
) -> FloatImage:
    """Return sums of magnitude for each direction over cells, (num_directions, R, C) float32.

    direction : (h, w); numbers from num_directions on are left out. rows : (R, h) weights; cols : (C, w).
    Memory: one plane (h, w) beside the result.
    """
    sums = np.empty((num_directions, rows.shape[0], cols.shape[0]), np.float32)
    for one in range(num_directions):
        sums[one] = weighted_sums(np.where(direction == one, magnitude, np.float32(0)), rows, cols)
    return sums
