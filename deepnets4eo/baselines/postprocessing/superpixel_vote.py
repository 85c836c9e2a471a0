"""One vote per superpixel: all its pixels take what most of them are.

Takes labels (h, w) or probabilities (K, h, w), and ids of superpixels. Pixels without an id keep what they have; pixels
that are void, or not known (NaN), have no vote and stay so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError


def superpixel_vote(values: NDArray[Any], ids: NDArray[np.integer]) -> NDArray[Any]:
    """Labels by majority in each superpixel, the lowest of equals; or the mean of its probabilities.

    values : (h, w) uint8 labels, void 255, or (K, h, w) float32 probabilities, NaN where not known
    ids : (h, w) whole numbers, negative for none; best without gaps, as memory grows with the largest
    returns : labels or probabilities of the same shape
    Errors: InputError where shapes differ. Memory: about 24 bytes a pixel, 8 K bytes a superpixel.

    >>> superpixel_vote(np.array([[1, 1, 0, 0]], np.uint8), np.array([[0, 0, 0, -1]])).tolist()
    [[1, 1, 1, 0]]
    """
    if values.shape[-2:] != ids.shape:
        raise InputError(
            f"values have {values.shape[-2:]} pixels, superpixels {ids.shape}. Give those of the same image."
        )
    places = np.where(ids < 0, 0, ids.astype(np.int64) + 1).ravel()
    return _of_labels(values, places) if values.ndim == 2 else _of_probabilities(values, places)


def region_shares(labels: NDArray[np.uint8], ids: NDArray[np.integer], num_classes: int) -> NDArray[np.float32]:
    """Share of each class in the votes of a pixel's superpixel, (K, h, w) float32 summing to 1; NaN where void.

    labels : places in the legend, 0 … K − 1. A pixel without superpixel has its own vote alone.
    """
    own = (labels == np.arange(num_classes, dtype=np.uint8)[:, None, None]).astype(np.float32)
    own[:, labels == VOID] = np.nan
    return np.asarray(superpixel_vote(own, ids), np.float32)


def _of_labels(labels: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    flat = labels.ravel()
    voting = (flat != VOID) & (places > 0)
    classes, code = np.unique(flat[voting], return_inverse=True)
    if not classes.size:
        return labels.copy()
    count = int(places.max()) + 1
    votes = np.bincount(places[voting] * classes.size + code, minlength=count * classes.size)
    winner = classes[votes.reshape(count, classes.size).argmax(axis=1)]
    return np.where(voting, winner[places], flat).reshape(labels.shape).astype(np.uint8)


def _of_probabilities(proba: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
    known = ~np.isnan(proba).any(axis=0).ravel()
    voting = known & (places > 0)
    pixels = np.maximum(np.bincount(places[voting], minlength=int(places.max()) + 1), 1)
    voted = proba.copy()
    for of_class in voted.reshape(len(proba), -1):
        sums = np.bincount(places[voting], of_class[voting], pixels.size)
        of_class[voting] = (sums / pixels)[places[voting]]
    voted.reshape(len(proba), -1)[:, ~known] = np.nan
    return voted
