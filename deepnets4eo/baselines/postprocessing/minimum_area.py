"""Small regions take the label of their surroundings: a smallest mapping unit. Void is no region, and stays."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_regions

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError

Connectivity = Literal[4, 8]


def minimum_area(labels: NDArray[np.uint8], area_px: int, *, connectivity: Connectivity = 4) -> NDArray[np.uint8]:
    """Merge regions below an area into their neighbours. Memory: about 60 bytes a pixel.

    Parameters
    ----------
    labels : (h, w) uint8, void 255
    area_px : smallest area in pixels, at least 1
    connectivity : 4, or 8 where touching corners connect pixels of a region

    Returns
    -------
    (h, w) uint8
        Labels whose regions all have `area_px` pixels at least, except those that only void surrounds. A small region
        takes the label with which it shares the longest border, among regions that stay in that round: large ones, and
        the largest of small ones without a large neighbour. A tie goes to the lowest label.

    Raises
    ------
    InputError
        For an area below 1.

    Examples
    --------
    >>> minimum_area(np.array([[1, 1, 1], [1, 0, 2], [1, 1, 2]], np.uint8), 2).tolist()
    [[1, 1, 1], [1, 1, 2], [1, 1, 2]]
    """
    if area_px < 1:
        raise InputError(f"area_px is {area_px}, expected at least 1 pixel.")
    labels = labels.copy()
    while area_px > 1 and _merge_small_regions(labels, area_px, connectivity):
        pass
    return labels


def area_in_px(area_m2: float, gsd_m: float | None) -> int:
    """Return the pixels that an area covers, rounded up. Errors: InputError where the ground size of a pixel is not known."""
    if gsd_m is None:
        raise InputError(
            f"an area of {area_m2:g} m² needs the ground size of a pixel, which is not known for scenes without CRS. Give "
            "area_px instead."
        )
    return max(1, int(np.ceil(area_m2 / gsd_m**2 - 1e-6)))


def _merge_small_regions(labels: NDArray[np.uint8], area_px: int, connectivity: Connectivity) -> bool:
    """Do one round, in place; returns whether anything changed."""
    regions = connected_regions(labels.astype(np.int16) + 1, background=0, connectivity=connectivity // 4)
    regions[labels == VOID] = 0
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    small = sizes < area_px
    small[0] = False
    if not small.any():
        return False
    one, other = _borders(regions, small)
    label_of = np.zeros(sizes.size, np.uint8)
    label_of[regions.ravel()] = labels.ravel()
    stays = _is_kept(one, other, sizes, small)
    taken = ~stays[one] & stays[other]
    if not taken.any():
        return False
    new_label = _longest_border(one[taken], label_of[other[taken]], label_of)
    labels[:] = new_label[regions]
    return True


def _borders(regions: NDArray[np.int64], small: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs (small region, its neighbour), one for each pixel side between them; never void, number 0."""
    pairs = [(regions[:-1], regions[1:]), (regions[:, :-1], regions[:, 1:])]
    one, other = [], []
    for first, second in pairs:
        border = (first != second) & (small[first] | small[second]) & (first > 0) & (second > 0)
        a, b = first[border], second[border]
        one += [a[small[a]], b[small[b]]]
        other += [b[small[a]], a[small[b]]]
    return np.concatenate(one), np.concatenate(other)


def _is_kept(
    one: NDArray[np.int64], other: NDArray[np.int64], sizes: NDArray[np.int64], small: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return whether a region stays: large ones, and small ones larger than all their neighbours, or as large with a lower number."""
    rank = np.empty(sizes.size, np.int64)
    rank[np.lexsort([-np.arange(sizes.size), sizes])] = np.arange(sizes.size)
    highest = np.full(sizes.size, -1, np.int64)
    np.maximum.at(highest, one, rank[other])
    return ~small | (rank > highest)


def _longest_border(one: NDArray[np.int64], label: NDArray[np.uint8], label_of: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the label of each region, where regions `one` take the label with which they share most sides."""
    keys, lengths = np.unique(one * 256 + label, return_counts=True)
    region, neighbour_label = keys // 256, (keys % 256).astype(np.uint8)
    order = np.lexsort([-neighbour_label.astype(np.int64), lengths, region])  # the last of each region is its longest
    last = np.flatnonzero(np.append(np.diff(region[order]) != 0, True))
    new_label = label_of.copy()
    new_label[region[order][last]] = neighbour_label[order][last]
    return new_label
