"""Majority in a square window: isolated pixels take the class of their surroundings.

Takes labels (h, w) or probabilities (K, h, w). Pixels that are void, or not known (NaN), have no vote and stay so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Codes
from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.tiling.scores import best_class

SHIFTED_PX = 8  # up to this radius adding shifted images is faster than running sums


def majority_filter(values: NDArray[Any], radius_px: int) -> NDArray[Any]:
    """Replace each pixel by the majority of the (2 r + 1)² pixels around it; probabilities by their mean.

    Parameters
    ----------
    values
        (h, w) uint8 labels, void 255, or (K, h, w) float32 probabilities, NaN where not known.
    radius_px
        Half side r of the window in pixels, 1 to 1000.

    Returns
    -------
    array of the same shape and type
        Labels, where a tie keeps the pixel's own label if it is among the winners; or mean probabilities.

    Raises
    ------
    InputError
        For a radius out of range.

    Notes
    -----
    Memory: about 20 bytes a pixel beside values and result.

    Examples
    --------
    >>> majority_filter(np.array([[1, 1, 1], [1, 0, 255]], np.uint8), 1).tolist()
    [[1, 1, 1], [1, 1, 255]]
    """
    check_radius(radius_px)
    return _majority_labels(values, radius_px) if values.ndim == 2 else _mean_probabilities(values, radius_px)


def vote_shares(labels: NDArray[np.uint8], num_classes: int, radius_px: int) -> NDArray[np.float32]:
    """Return the share of each class in the votes of a window, (K, h, w) float32 summing to 1; NaN where the label is void.

    labels : class indices 0 … K − 1. A pixel's own vote counts one and a half times, which decides ties.
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
    return counting_type(2 * (2 * radius_px + 1) ** 2 + 1)


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
    """Return the sum over rows and columns up to `radius_px` away, (…, h, w) of the same unsigned type, exact where it fits in.

    >>> window_sums(np.ones((3, 3), np.uint16), 1).tolist()
    [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    """
    along = _shifted_sums if radius_px <= SHIFTED_PX else _running_sums
    return along(along(values, radius_px, -1), radius_px, -2)


def counting_type(largest: int) -> type[np.unsignedinteger]:
    """Return the smaller of two types that can represent a number."""
    return np.uint16 if largest < 2**16 else np.uint32


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
