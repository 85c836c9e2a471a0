"""One vote per superpixel: all its pixels take the label of the majority.

Takes labels (h, w) or probabilities (K, h, w), and ids of superpixels. Pixels without an id keep their value; pixels
that are void, or not known (NaN), have no vote and stay so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError


def superpixel_vote(values: NDArray[Any], ids: NDArray[np.integer]) -> NDArray[Any]:
    """Replace labels by the majority in each superpixel, or probabilities by their mean.

    Parameters
    ----------
    values
        (h, w) uint8 labels, void 255, or (K, h, w) float32 probabilities, NaN where not known.
    ids
        (h, w) whole numbers, negative for none; best without gaps, as memory grows with the largest.

    Returns
    -------
    array of the same shape and type
        Labels, the lowest of equals, or probabilities.

    Raises
    ------
    InputError
        Where the numbers of pixels differ.

    Notes
    -----
    Memory: about 24 bytes a pixel, 8 K bytes a superpixel.

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
    return _majority_labels(values, region_numbers) if values.ndim == 2 else _mean_probabilities(values, region_numbers)


def region_shares(labels: NDArray[np.uint8], ids: NDArray[np.integer], num_classes: int) -> NDArray[np.float32]:
    """Return the share of each class in the votes of a pixel's superpixel, (K, h, w) float32 summing to 1; NaN where void.

    labels : class indices 0 … K − 1. A pixel without superpixel has only its own vote.
    """
    own = (labels == np.arange(num_classes, dtype=np.uint8)[:, None, None]).astype(np.float32)
    own[:, labels == VOID] = np.nan
    return np.asarray(superpixel_vote(own, ids), np.float32)


def _majority_labels(labels: NDArray[np.uint8], region_numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    flat = labels.ravel()
    voting = (flat != VOID) & (region_numbers > 0)
    classes, code = np.unique(flat[voting], return_inverse=True)
    if not classes.size:
        return labels.copy()
    count = int(region_numbers.max()) + 1
    votes = np.bincount(region_numbers[voting] * classes.size + code, minlength=count * classes.size)
    winner = classes[votes.reshape(count, classes.size).argmax(axis=1)]
    return np.where(voting, winner[region_numbers], flat).reshape(labels.shape).astype(np.uint8)


def _mean_probabilities(proba: NDArray[np.float32], region_numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    known = ~np.isnan(proba).any(axis=0).ravel()
    voting = known & (region_numbers > 0)
    pixels = np.maximum(np.bincount(region_numbers[voting], minlength=int(region_numbers.max()) + 1), 1)
    voted = proba.copy()
    for of_class in voted.reshape(len(proba), -1):
        sums = np.bincount(region_numbers[voting], of_class[voting], pixels.size)
        of_class[voting] = (sums / pixels)[region_numbers[voting]]
    voted.reshape(len(proba), -1)[:, ~known] = np.nan
    return voted
