"""Offsets of single buildings, used only where those of the neighbours agree.

A single building's best match may be a car park or a shadow; its neighbours' median is right more often.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deepnets4eo.arrays import Indices, Points
from deepnets4eo.zonal.outlines import chunks

NEIGHBOURS = 8
RADIUS_M = 150.0
MIN_NEIGHBOURS = 3
SAME_DIGITS = 2  # of metres: outlines that agree so far are copies of one
CHUNK = 50_000  # buildings whose neighbours are compared at the same time


def regularise(
    points: Points,
    offsets: Points,
    reliable: NDArray[np.bool_],
    fallback: Points,
    tolerance_m: float,
    chunk: int = CHUNK,
) -> tuple[Points, NDArray[np.bool_]]:
    """Keep an offset where it is reliable and the neighbours' median agrees, else take that median.

    points : (N, 2) metres. offsets : (N, 2) metres, own best match. reliable : (N,) bool, which of them may be used.
    fallback : (2,) or (N, 2) metres, where there are fewer than three reliable neighbours.
    tolerance_m : smallest distance from the median that still agrees; twice the neighbours' spread does too.
    returns : (N, 2) offsets to use; (N,) bool, True where the building's own one was kept. Copies of an outline count once.
    """
    first, copy_of = _distinct(points, offsets)
    if len(first) < len(points):
        around = np.array(np.broadcast_to(fallback, offsets.shape), float)[first]
        used, kept = regularise(points[first], offsets[first], reliable[first], around, tolerance_m, chunk)
        return used[copy_of], kept[copy_of]
    result = np.array(np.broadcast_to(fallback, offsets.shape), float)
    own = np.zeros(len(points), bool)
    if not reliable.any():
        return result, own
    index = np.flatnonzero(reliable)
    tree = cKDTree(points[index])
    for part in chunks(len(points), chunk):
        distance, nearest = tree.query(points[part], NEIGHBOURS + 1, distance_upper_bound=RADIUS_M)
        here = np.arange(len(points))[part]
        neighbour = index[np.minimum(nearest, len(index) - 1)]
        known = np.isfinite(np.asarray(distance, float)) & (neighbour != here[:, None])
        middle, spread = _median(np.where(known[..., None], offsets[neighbour], np.nan), known)
        enough = known.sum(axis=1) >= MIN_NEIGHBOURS
        result[here[enough]] = middle[enough]
        off = np.hypot(*(offsets[part] - result[part]).T)
        own[part] = reliable[part] & (off <= np.where(enough, np.maximum(tolerance_m, 2 * spread), tolerance_m))
    result[own] = offsets[own]
    return result, own


def _distinct(points: Points, offsets: Points) -> tuple[Indices, Indices]:
    """Rows that differ in their position or offset, and for each row which of them it is a copy of."""
    rows = np.round(np.nan_to_num(np.hstack([points, offsets])), SAME_DIGITS)
    _, first, copy_of = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, copy_of.reshape(-1)


def _median(offsets: NDArray[np.float64], known: NDArray[np.bool_]) -> tuple[Points, NDArray[np.float64]]:
    """Median over the neighbours, (n, 2), and their median distance from it, (n,); 0 where there are none."""
    filled = np.where(np.expand_dims(known.any(axis=1), (1, 2)), offsets, 0.0)
    middle = np.nanmedian(filled, axis=1)
    away = np.hypot(*(filled - middle[:, None, :]).transpose(2, 0, 1))
    return middle, np.nanmedian(away, axis=1)
