"""Regions made 4-connected, compact in number and not smaller than wanted.

Takes (h, w) whole numbers; gives ids 0 … N − 1 in the order of first pixels, −1 staying none. Trusts its input.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, RegionIds


def connected(codes: NDArray[np.integer]) -> RegionIds:
    """4-connected parts of equal code, (h, w) int32 from 0 in the order of first pixels; −1 stays −1.

    >>> connected(np.array([[7, 5], [5, 7], [-1, 7]])).tolist()
    [[0, 1], [2, 3], [-1, 3]]
    """
    from skimage.measure import label

    found: RegionIds = label(codes, background=-1, connectivity=1).astype(np.int32)
    found -= 1
    return found


def in_order_of_first(ids: RegionIds) -> tuple[RegionIds, int]:
    """The same regions numbered from 0 in the order of first pixels, −1 staying −1; and how many there are."""
    flat = ids.ravel()
    found, first = np.unique(flat, return_index=True)
    first, found = first[found >= 0], found[found >= 0]
    numbers = np.full(int(found.max(initial=-1)) + 2, -1, np.int32)  # the last place serves −1
    numbers[found[np.argsort(first)]] = np.arange(found.size, dtype=np.int32)
    return numbers[ids], found.size


def count_pairs(
    one: NDArray[np.integer], other: NDArray[np.integer], times: Indices | None = None
) -> tuple[NDArray[np.int64], Indices]:
    """Unordered pairs of different ids, none of them negative, (n, 2) sorted, and how often each occurs, (n,).

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


def borders(ids: RegionIds) -> tuple[NDArray[np.int64], Indices]:
    """Pairs of regions that share sides of pixels, and how many sides each pair shares."""
    across, down = (ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])
    one, other = (np.concatenate([across[side].ravel(), down[side].ravel()]) for side in (0, 1))
    return count_pairs(one, other)


def union_find_labels(count: int, pairs: NDArray[np.int64]) -> Indices:
    """The group 0 … of each of `count` things when those of a pair belong together, (count,) int64.

    >>> union_find_labels(4, np.array([[0, 2]])).tolist()
    [0, 1, 0, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def absorbed(sizes: Indices, pairs: NDArray[np.int64], sides: Indices, least_px: int) -> Indices:
    """Join every region of fewer than `least_px` pixels to the neighbour it shares most sides with.

    sizes : (N,) pixels of each region. pairs, sides : as `borders` gives them; those of small regions suffice.
    returns : (N,) the group of each region. A region without neighbours stays small.
    """
    group = np.arange(len(sizes))
    while True:
        one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
        both = np.concatenate([sides, sides])
        small = sizes[one] < least_px
        if not small.any():
            return group
        one, other, both = one[small], other[small], both[small]
        order = np.lexsort([other, -both, one])
        best = order[np.flatnonzero(np.diff(one[order], prepend=-1))]
        step = union_find_labels(len(sizes), np.stack([one[best], other[best]], axis=1))
        group = step[group]
        sizes = np.bincount(step, sizes).astype(np.int64)
        pairs, sides = count_pairs(step[pairs[:, 0]], step[pairs[:, 1]], sides)


def merge_small_regions(ids: RegionIds, least_px: int) -> RegionIds:
    """The regions of an image after `absorbed`, numbered anew."""
    flat = ids.ravel()
    sizes = np.bincount(flat[flat >= 0])
    if (sizes >= least_px).all():
        return ids
    group = absorbed(sizes, *borders(ids), least_px)
    return in_order_of_first(np.append(group, -1).astype(np.int32)[ids])[0]
