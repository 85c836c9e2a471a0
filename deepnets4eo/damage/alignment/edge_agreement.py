"""How well the edges of an image follow outlines, at many shifts at once.

Kernels on flat arrays: the points of all buildings of a block are one sparse matrix, applied once for each shift.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from deepnets4eo.arrays import Spectrum
from deepnets4eo.zonal.outline_points import OutlinePoints

TIE_PX = 1e-4  # points on a border of pixels belong to the later one, however their coordinates were rounded


def squared_normals(outlines: OutlinePoints) -> NDArray[np.complex64]:
    """(P,) normals as complex numbers, squared as `orientation_field` squares gradients: either side is the same."""
    normals = outlines.normals[:, 0] + 1j * outlines.normals[:, 1]
    return (normals * normals).astype(np.complex64)


def edge_agreement(field: Spectrum, outlines: OutlinePoints, radius_px: int) -> NDArray[np.float32]:
    """How well the edges of a field follow the outlines, moved by every shift up to ± radius.

    Parameters
    ----------
    field
        (h, w) complex64 from `orientation_field`; beyond it there are no edges.
    outlines
        Points along N outlines in the field's pixels.
    radius_px
        Largest shift along either axis.

    Returns
    -------
    (N, 2 · radius + 1, 2 · radius + 1) float32, shifts in rows × shifts in columns: mean over the outline's points of
    the edge component along the normal. 1: strong edges all along, 0: no relation, −1: edges across the outline.

    Peak memory: a few vectors of P values.
    """
    height, width = field.shape
    side = 2 * radius_px + 1
    padded = np.zeros((height + side - 1, width + side - 1), np.complex64)
    padded[radius_px : radius_px + height, radius_px : radius_px + width] = field
    col, row = np.floor(outlines.points + TIE_PX).astype(np.intp).T
    inside = (row >= 0) & (col >= 0) & (row < height) & (col < width)
    first = np.where(inside, row * padded.shape[1] + col, 0)
    normals = np.where(inside, squared_normals(outlines), 0).astype(np.complex64)
    flat = padded.view(np.float32).ravel()
    reach = ((side - 1) * padded.shape[1] + side - 1) * 2
    lengths = np.diff(outlines.starts)
    weights = (normals / np.repeat(np.maximum(outlines.whole, 1), lengths)).astype(np.complex64).view(np.float32)
    columns = np.repeat(2 * first, 2)
    columns[1::2] += 1
    along = csr_matrix((weights, columns, 2 * outlines.starts), shape=(len(lengths), len(flat) - reach))
    scores = np.empty((len(lengths), side, side), np.float32)
    for dy in range(side):
        for dx in range(side):
            start = 2 * (dy * padded.shape[1] + dx)
            scores[:, dy, dx] = along @ flat[start : start + along.shape[1]]
    return scores
