"""Regions made 4-connected, numbered without gaps and not smaller than a minimum.

Takes (h, w) whole numbers; returns ids 0 … N − 1 in the order of first pixels, −1 (none) stays −1. Inputs are not checked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, RegionIds


def connected_regions(codes: NDArray[np.integer]) -> RegionIds:
    """Number the 4-connected parts of equal code, (h, w) int32 from 0 in the order of first pixels; −1 stays −1.

    >>> connected_regions(np.array([[7, 5], [5, 7], [-1, 7]])).tolist()
    [[0, 1], [2, 3], [-1, 3]]
    """
    from skimage.measure import label

    ids: RegionIds = label(codes, background=-1, connectivity=1).astype(np.int32)
    ids -= 1
    return ids


def renumber(ids: RegionIds) -> tuple[RegionIds, int]:
    """Number the regions from 0 in the order of first pixels, −1 stays −1; returns the new ids and their number."""
    flat = ids.ravel()
    values, first = np.unique(flat, return_index=True)
    first, values = first[values >= 0], values[values >= 0]
    numbers = np.full(int(values.max(initial=-1)) + 2, -1, np.int32)  # the last entry is for −1
    numbers[values[np.argsort(first)]] = np.arange(values.size, dtype=np.int32)
    return numbers[ids], values.size


def count_pairs(
    one: NDArray[np.integer], other: NDArray[np.integer], times: Indices | None = None
) -> tuple[NDArray[np.int64], Indices]:
    """Return unordered pairs of different ids ≥ 0, (n, 2) sorted, and how often each occurs, (n,).

    times : how often each entry counts, by default once.

    >>> pairs, counts = count_pairs(np.array([3, 1, 1, -1]), np.array([1, 3, 1, 0]))
    >>> pairs.tolist(), counts.tolist()
    ([[1, 3]], [2])
    """
    meets = (one != other) & (one >= 0) & (other >= 0)
    low, high = (choose(one[meets], other[meets]).astype(np.int64) for choose in (np.minimum, np.maximum))
    codes, inverse = np.unique(low << 32 | high, return_inverse=True)
    weights = None if times is None else times[meets]
    counts = np.bincount(inverse, weights, codes.size).astype(np.int64)
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1), counts


def shared_borders(ids: RegionIds) -> tuple[NDArray[np.int64], Indices]:
    """Return pairs of regions that share sides of pixels, and how many sides each pair shares."""
    across, down = (ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])
    one, other = (np.concatenate([across[side].ravel(), down[side].ravel()]) for side in (0, 1))
    return count_pairs(one, other)


def group_pairs(count: int, pairs: NDArray[np.int64]) -> Indices:
    """Return the group 0 … of each of `count` items, (count,) int64, where both items of a pair have the same group.

    >>> group_pairs(4, np.array([[0, 2]])).tolist()
    [0, 1, 0, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def small_region_groups(sizes: Indices, pairs: NDArray[np.int64], sides: Indices, min_px: int) -> Indices:
    """Return the group (N,) of each region, after regions below `min_px` pixels join the neighbour with most shared sides.

    sizes : (N,) pixels of each region. pairs, sides : as `shared_borders` returns them; those of small regions suffice.
    A region without neighbours stays small.
    """
    group = np.arange(len(sizes))
    while True:
        one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
        both = np.concatenate([sides, sides])
        small = sizes[one] < min_px
        if not small.any():
            return group
        one, other, both = one[small], other[small], both[small]
        order = np.lexsort([other, -both, one])
        best = order[np.flatnonzero(np.diff(one[order], prepend=-1))]
        step = group_pairs(len(sizes), np.stack([one[best], other[best]], axis=1))
        group = step[group]
        sizes = np.bincount(step, sizes).astype(np.int64)
        pairs, sides = count_pairs(step[pairs[:, 0]], step[pairs[:, 1]], sides)


def merge_small_regions(ids: RegionIds, min_px: int) -> RegionIds:
    """Merge the regions of an image by `small_region_groups` and number them anew."""
    flat = ids.ravel()
    sizes = np.bincount(flat[flat >= 0])
    if (sizes >= min_px).all():
        return ids
    group = small_region_groups(sizes, *shared_borders(ids), min_px)
    return renumber(np.append(group, -1).astype(np.int32)[ids])[0]
