"""Touching objects in a connected mask separated: at necks of the distance map, or into pieces of a known area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from deepnets4eo.arrays import Floats, Indices, Mask

Pieces = NDArray[np.int32]  # (h, w): 0 outside, then 1, 2 … without gaps

DEPTH = 0.3  # a neck is one that narrows the distance map by this share of the region's largest distance
MIN_OBJECTS = 1.5  # objects in a piece from which on it is cut by its area
MAX_ROUNDS = 25  # of k-means
LEVELS = 1000  # steps of the distance map


def split_at_necks(
    mask: Mask, sides_m: tuple[float, float], *, min_area_m2: float = 0.0, depth: float = DEPTH
) -> Pieces:
    """Split a region (h, w) by the watershed of its distance, from maxima `depth` of the largest distance above saddles.

    Soille, Morphological Image Analysis, 2003, chapters 6 and 9. Pieces below `min_area_m2` are merged."""
    distance = distance_transform_edt(np.pad(mask, 1), sides_m)[1:-1, 1:-1]
    height = max(depth * float(distance.max()), 0.5 * min(sides_m))
    levels = np.round(distance * (LEVELS / distance.max())).astype(np.int32)  # whole numbers are compared exactly
    lowered = reconstruction(levels - max(1, round(height * LEVELS / distance.max())), levels)
    seeds = label(local_maxima(lowered) & mask, connectivity=2)
    while True:  # with fewer seeds the flood has another order, and pieces may lose a pixel of their border
        pieces = watershed(-distance, seeds, mask=mask)
        area_m2 = np.bincount(pieces.ravel(), minlength=2)[1:] * sides_m[0] * sides_m[1]
        small = (area_m2 > 0) & (area_m2 < min_area_m2)
        if not small.any():
            return _renumber(pieces)
        if np.array_equal(small, area_m2 > 0):
            return mask.astype(np.int32)
        seeds = np.where(np.isin(seeds, np.flatnonzero(small) + 1), 0, seeds)


def split_by_area(
    mask: Mask, sides_m: tuple[float, float], object_area_m2: float, *, min_area_m2: float = 0.0
) -> Pieces:
    """Cut a region into as many equal pieces as objects of `object_area_m2` fit, by k-means from slices of its long axis."""
    rows, cols = np.nonzero(mask)
    count = len(rows) * sides_m[0] * sides_m[1] / object_area_m2
    smallest_px = min_area_m2 / (sides_m[0] * sides_m[1])
    most = len(rows) / smallest_px if smallest_px else len(rows)
    parts = max(1, min(round(count), int(most))) if count >= MIN_OBJECTS else 1
    pieces = np.zeros(mask.shape, np.int32)
    points = np.column_stack([rows * sides_m[0], cols * sides_m[1]])
    of = _kmeans_from_slices(points - points.mean(axis=0), parts)
    pieces[rows, cols] = 1 + _merge_small(points, of, parts, smallest_px)
    return _renumber(pieces)


def split_both(
    mask: Mask, sides_m: tuple[float, float], object_area_m2: float, *, min_area_m2: float = 0.0, depth: float = DEPTH
) -> Pieces:
    """Split at necks first; then cut pieces that are still several objects large by their area."""
    pieces = split_at_necks(mask, sides_m, min_area_m2=min_area_m2, depth=depth)
    out, count = np.zeros_like(pieces), 0
    for number in range(1, int(pieces.max()) + 1):
        here = pieces == number
        parts = split_by_area(here, sides_m, object_area_m2, min_area_m2=min_area_m2)
        out[here] = parts[here] + count
        count += int(parts.max())
    return out


def _kmeans_from_slices(points: Floats, parts: int) -> Indices:
    """Return the cluster (N,) of each point (N, 2)."""
    _, axes = np.linalg.eigh(points.T @ points)
    along = points @ axes[:, -1]
    order = np.argsort(along, kind="stable")
    of = np.empty(len(points), np.int64)
    of[order] = np.arange(len(points)) * parts // len(points)
    for _ in range(MAX_ROUNDS if parts > 1 else 0):
        fresh = cKDTree(_cluster_centres(points, of, parts)).query(points)[1]
        if np.array_equal(fresh, of):
            break
        of = fresh
    return of


def _merge_small(points: Floats, of: Indices, parts: int, smallest_px: float) -> Indices:
    """Return clusters where the points of too small ones belong to the nearest of the others; one is large enough."""
    small = np.bincount(of, minlength=parts) < smallest_px
    if not small.any() or small.all():
        return of
    in_small, large = small[of], np.flatnonzero(~small)
    of = of.copy()
    of[in_small] = large[cKDTree(_cluster_centres(points, of, parts)[large]).query(points[in_small])[1]]
    return of


def _cluster_centres(points: Floats, of: Indices, parts: int) -> Floats:
    """Return the centres of the clusters, (parts, 2)."""
    count = np.maximum(np.bincount(of, minlength=parts), 1)
    return np.column_stack([np.bincount(of, points[:, axis], parts) / count for axis in (0, 1)])


def _renumber(pieces: NDArray[np.int32]) -> Pieces:
    """Return the pieces numbered 1, 2 … in the order of their first pixels."""
    values, first, inverse = np.unique(pieces, return_index=True, return_inverse=True)
    rank = np.zeros(len(values), np.int32)
    real = values > 0
    rank[np.flatnonzero(real)[np.argsort(first[real])]] = np.arange(1, int(real.sum()) + 1)
    return rank[inverse].reshape(pieces.shape)
