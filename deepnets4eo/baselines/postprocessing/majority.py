"""Majority in a square window: isolated pixels take the class of their surroundings.

Takes labels (h, w) or probabilities (K, h, w). Pixels that are void, or not known (NaN), have no vote and stay so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Codes
from deepnets4eo.baselines.postprocessing.windows import check_radius, counting_type, fraction_bits, window_sums
from deepnets4eo.cards.legend import VOID
from deepnets4eo.tiling.scores import best


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
    class_indices = best(proba)
    class_indices[np.isnan(proba).any(axis=0)] = VOID
    return class_indices
