"""Labels without speckle: pixels take the class of most pixels in a square window or in their superpixel, and regions below a
smallest mapping unit take the label of their surroundings.

Pixels that are void (labels), or not known (NaN probabilities), have no vote and stay so."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_regions

from deepnets4eo.arrays import Codes, Indices, Mask
from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.tiling import best_class

SHIFTED_PX = 8  # up to this radius adding shifted images is faster than running sums

Connectivity = Literal[4, 8]


def majority_filter(values: NDArray[Any], radius_px: int) -> NDArray[Any]:
    """Replace each pixel by the majority of the (2 r + 1)² pixels around it; probabilities by their mean.

    A tie keeps the pixel's own label if it is among the winners. Memory: about 20 bytes per pixel in addition to values and result.

    Parameters
    ----------
    values : (h, w) uint8 labels, void 255; or (K, h, w) float32 probabilities; NaN marks unknown pixels
    radius_px : half side r of the window, 1 to 1000; other values raise InputError

    Examples
    --------
    >>> majority_filter(np.array([[1, 1, 1], [1, 0, 255]], np.uint8), 1).tolist()
    [[1, 1, 1], [1, 1, 255]]
    """
    check_radius(radius_px)
    return _majority_labels(values, radius_px) if values.ndim == 2 else _mean_probabilities(values, radius_px)


def vote_shares(labels: NDArray[np.uint8], num_classes: int, radius_px: int) -> NDArray[np.float32]:
    """Return each class's share of the votes in a window, (K, h, w) float32, sum 1.

    Pixels whose label (0 … K − 1) is void are NaN. A pixel's own vote counts one and a half times, which decides ties.
    """
    check_radius(radius_px)
    shares = np.empty((num_classes, *labels.shape), np.float32)
    total = 2 * window_sums((labels != VOID).astype(_votes_type(radius_px)), radius_px) + 1
    for class_index in range(num_classes):
        shares[class_index] = _votes(labels, class_index, radius_px) / total
    shares[:, labels == VOID] = np.nan
    return shares


def _votes(labels: NDArray[np.uint8], label: int, radius_px: int) -> Codes:
    """Return twice the number of pixels of a label in the window, and one more where the pixel itself has it."""
    own = (labels == label).astype(_votes_type(radius_px))
    votes = window_sums(own, radius_px)
    votes += votes
    votes += own
    return votes


def _votes_type(radius_px: int) -> type[np.unsignedinteger]:
    return np.uint16 if 2 * (2 * radius_px + 1) ** 2 + 1 < 2**16 else np.uint32


def _majority_labels(labels: NDArray[np.uint8], radius_px: int) -> NDArray[np.uint8]:
    winner, most = labels.copy(), np.zeros(labels.shape, _votes_type(radius_px))
    for label in np.unique(labels[labels != VOID]):
        votes = _votes(labels, int(label), radius_px)
        np.putmask(winner, votes > most, label)
        np.maximum(most, votes, out=most)
    winner[labels == VOID] = VOID
    return winner


def _mean_probabilities(proba: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    known = ~np.isnan(proba).any(axis=0)
    one = np.float32(2 ** fraction_bits(radius_px))
    means = np.empty_like(proba)
    for class_index, of_class in enumerate(proba):
        whole = np.rint(np.where(known, np.clip(of_class, 0, 1), 0) * one).astype(np.uint32)
        means[class_index] = window_sums(whole, radius_px)
    means[:, ~known] = np.nan
    means /= means.sum(axis=0)
    return means


def argmax_class(proba: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the class index of the largest probability, (h, w) uint8; void where probabilities are not known."""
    class_indices = best_class(proba)
    class_indices[np.isnan(proba).any(axis=0)] = VOID
    return class_indices


def window_sums(values: Codes, radius_px: int) -> Codes:
    """Return sums over rows and columns up to `radius_px` away, (…, h, w) of the same unsigned type.

    The sums are exact if they fit the type."""
    along = _shifted_sums if radius_px <= SHIFTED_PX else _running_sums
    return along(along(values, radius_px, -1), radius_px, -2)


def fraction_bits(radius_px: int) -> int:
    """Return the bits that fractions 0–1 may have as whole numbers so that their window sums stay below 2³²."""
    return min(24, 31 - int(np.ceil(np.log2((2 * radius_px + 1) ** 2))))


def check_radius(radius_px: int) -> None:
    """Errors: InputError unless 1 ≤ radius_px ≤ 1000."""
    if not 1 <= radius_px <= 1000:
        raise InputError(f"radius_px is {radius_px}, expected 1 to 1000 pixels.")


def _shifted_sums(values: Codes, radius_px: int, axis: int) -> Codes:
    sums = values.copy()
    line, total = np.moveaxis(values, axis, 0), np.moveaxis(sums, axis, 0)
    for shift in range(1, min(radius_px, len(line) - 1) + 1):
        total[shift:] += line[:-shift]
        total[:-shift] += line[shift:]
    return sums


def _running_sums(values: Codes, radius_px: int, axis: int) -> Codes:
    sums = np.empty_like(values)
    line, total = np.moveaxis(values, axis, 0), np.moveaxis(sums, axis, 0)
    length = len(line)
    running = np.zeros((length + 2 * radius_px + 1, *line.shape[1:]), values.dtype)
    np.cumsum(line, axis=0, dtype=values.dtype, out=running[radius_px + 1 : radius_px + 1 + length])
    running[radius_px + 1 + length :] = running[radius_px + length]
    np.subtract(running[2 * radius_px + 1 :], running[:length], out=total)
    return sums


def superpixel_vote(values: NDArray[Any], ids: NDArray[np.integer]) -> NDArray[Any]:
    """Replace labels by the majority in each superpixel (the lowest of equals), or probabilities by their mean.

    Memory: about 24 bytes per pixel, 8 K bytes per superpixel.

    Parameters
    ----------
    values : (h, w) uint8 labels, void 255; or (K, h, w) float32 probabilities; NaN marks unknown pixels
    ids : (h, w) whole numbers, negative for pixels without superpixel, which keep their value. Another shape raises InputError.

    Examples
    --------
    >>> superpixel_vote(np.array([[1, 1, 0, 0]], np.uint8), np.array([[0, 0, 0, -1]])).tolist()
    [[1, 1, 1, 0]]
    """
    if values.shape[-2:] != ids.shape:
        raise InputError(
            f"values have {values.shape[-2:]} pixels, superpixels {ids.shape}. Give those of the same image."
        )
    region_numbers = np.where(ids < 0, 0, ids.astype(np.int64) + 1).ravel()
    return (
        _superpixel_majority(values, region_numbers) if values.ndim == 2 else _superpixel_means(values, region_numbers)
    )


def region_shares(labels: NDArray[np.uint8], ids: NDArray[np.integer], num_classes: int) -> NDArray[np.float32]:
    """Return each class's share of the votes in a pixel's superpixel, (K, h, w) float32, sum 1.

    Pixels with a void label are NaN. A pixel without superpixel has only its own vote."""
    own = (labels == np.arange(num_classes, dtype=np.uint8)[:, None, None]).astype(np.float32)
    own[:, labels == VOID] = np.nan
    return np.asarray(superpixel_vote(own, ids), np.float32)


def _superpixel_majority(labels: NDArray[np.uint8], region_numbers: Indices) -> NDArray[np.uint8]:
    flat = labels.ravel()
    voting = (flat != VOID) & (region_numbers > 0)
    classes, code = np.unique(flat[voting], return_inverse=True)
    if not classes.size:
        return labels.copy()
    count = int(region_numbers.max()) + 1
    votes = np.bincount(region_numbers[voting] * classes.size + code, minlength=count * classes.size)
    winner = classes[votes.reshape(count, classes.size).argmax(axis=1)]
    return np.where(voting, winner[region_numbers], flat).reshape(labels.shape).astype(np.uint8)


def _superpixel_means(proba: NDArray[np.float32], region_numbers: Indices) -> NDArray[np.float32]:
    known = ~np.isnan(proba).any(axis=0).ravel()
    voting = known & (region_numbers > 0)
    pixels = np.maximum(np.bincount(region_numbers[voting], minlength=int(region_numbers.max()) + 1), 1)
    voted = proba.copy()
    for of_class in voted.reshape(len(proba), -1):
        sums = np.bincount(region_numbers[voting], of_class[voting], pixels.size)
        of_class[voting] = (sums / pixels)[region_numbers[voting]]
    voted.reshape(len(proba), -1)[:, ~known] = np.nan
    return voted


def minimum_area(labels: NDArray[np.uint8], area_px: int, *, connectivity: Connectivity = 4) -> NDArray[np.uint8]:
    """Merge regions below an area into their neighbours, except regions that only void surrounds.

    A small region takes the label of its longest shared border, among regions that stay in that round.

    The regions that stay are the large regions, and the largest of the small regions without a large neighbour. A tie goes to the
    lowest label.

    Memory: about 60 bytes per pixel.

    Parameters
    ----------
    labels : (h, w) uint8, void 255
    area_px : smallest area in pixels, at least 1; other values raise InputError
    connectivity : 4, or 8 if touching corners connect pixels of a region

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


def _borders(regions: Indices, small: Mask) -> tuple[Indices, Indices]:
    """Return pairs (small region, its neighbour), one for each pixel side between them; never void, number 0."""
    pairs = [(regions[:-1], regions[1:]), (regions[:, :-1], regions[:, 1:])]
    one, other = [], []
    for first, second in pairs:
        border = (first != second) & (small[first] | small[second]) & (first > 0) & (second > 0)
        a, b = first[border], second[border]
        one += [a[small[a]], b[small[b]]]
        other += [b[small[a]], a[small[b]]]
    return np.concatenate(one), np.concatenate(other)


def _is_kept(one: Indices, other: Indices, sizes: Indices, small: Mask) -> Mask:
    """Return whether a region stays: large ones, and small ones larger than all their neighbours, or as large with a lower number."""
    rank = np.empty(sizes.size, np.int64)
    rank[np.lexsort([-np.arange(sizes.size), sizes])] = np.arange(sizes.size)
    highest = np.full(sizes.size, -1, np.int64)
    np.maximum.at(highest, one, rank[other])
    return ~small | (rank > highest)


def _longest_border(one: Indices, label: NDArray[np.uint8], label_of: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the label of each region after regions `one` took the label of their longest border."""
    keys, lengths = np.unique(one * 256 + label, return_counts=True)
    region, neighbour_label = keys // 256, (keys % 256).astype(np.uint8)
    order = np.lexsort([-neighbour_label.astype(np.int64), lengths, region])  # the last of each region is its longest
    last = np.flatnonzero(np.append(np.diff(region[order]) != 0, True))
    new_label = label_of.copy()
    new_label[region[order][last]] = neighbour_label[order][last]
    return new_label
