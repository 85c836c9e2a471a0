"""Scores of classes: probabilities, best class, entropy, and fractions as bytes; float32, classes along one axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.tiling.lattice import Scores

NOT_FINITE = 255  # index in place of a class; a legend has at most 255 classes
FEW_ROWS = 32  # at once: so many rows of all classes stay in the cache


class Packed:
    """Fractions 0–1 as bytes 0–254, as rasters of one byte per value store them; 255 for none."""

    one: ClassVar[int] = 254  # the byte of fraction 1
    nodata: ClassVar[int] = 255
    tag: ClassVar[str] = "PACKED_ONE"  # of such rasters, with the byte of fraction 1

    @classmethod
    def pack(cls, fraction: FloatImage) -> ByteImage:
        """Return fractions 0–1 as bytes 0–254, rounded to the nearest."""
        return np.rint(np.clip(fraction, 0, 1) * cls.one).astype(np.uint8)

    @classmethod
    def tags(cls, meaning: str) -> dict[str, str]:
        """Return the tags of a raster of such bytes, which state what a fraction means."""
        return {"MEANING": f"{meaning}; value / {cls.one}", cls.tag: str(cls.one)}


def log_probabilities(raw: FloatImage, axis: int = 0) -> FloatImage:
    """Logarithm of the softmax over `axis`."""
    shifted = raw - raw.max(axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted


def probabilities(raw: FloatImage, axis: int = 0) -> FloatImage:
    """Compute the softmax over `axis`, float32 summing to 1."""
    exponential = np.exp(raw - raw.max(axis=axis, keepdims=True))
    exponential /= exponential.sum(axis=axis, keepdims=True)
    return exponential


def map_classes(
    function: Callable[[FloatImage], FloatImage], scores: FloatImage, num_classes: int, axis: int = 0
) -> FloatImage:
    """Apply a function to the scores of the classes; channels that follow them, of a quantity, stay as they are.

    >>> map_classes(lambda scores: scores + 1, np.zeros(3, np.float32), 2).tolist()
    [1.0, 1.0, 0.0]
    """
    if num_classes == scores.shape[axis]:
        return function(scores)
    classes, values = np.split(scores, [num_classes], axis=axis)
    return np.concatenate([function(classes), values], axis=axis) if num_classes else scores


def to_blend_scores(raw: FloatImage, kind: Scores) -> FloatImage:
    """Convert raw scores to the named kind of scores, which is summed in the overlap of tiles."""
    if kind == "raw":
        return raw
    return probabilities(raw) if kind == "probabilities" else log_probabilities(raw)


def blended_probabilities(mean: FloatImage, kind: Scores) -> FloatImage:
    """Probabilities from a weighted mean of scores of the named kind."""
    return mean if kind == "probabilities" else probabilities(mean)


def best_class(scores: FloatImage) -> NDArray[np.uint8]:
    """Return the index (…) uint8 of the largest score, the first of equals, several times faster than argmax; NOT_FINITE (255) if a score is NaN or infinite."""
    if scores.strides[0] != scores.itemsize:
        return _best_plane(scores)
    tops = range(0, scores.shape[1], FEW_ROWS)  # channels last, as networks return them
    return np.concatenate([_best_plane(np.ascontiguousarray(scores[:, top : top + FEW_ROWS])) for top in tops])


def _best_plane(scores: FloatImage) -> NDArray[np.uint8]:
    index = np.zeros(scores.shape[1:], np.uint8)
    largest = scores[0]
    for class_index in range(1, len(scores)):
        better = (scores[class_index] > largest).view(np.uint8)  # 0 or 1; later classes have larger numbers
        np.maximum(index, better * np.uint8(class_index), out=index)
        largest = np.maximum(largest, scores[class_index])
    index[~np.isfinite(largest)] = NOT_FINITE  # NaN is larger than nothing, so that class 0 would be the best
    return index


def entropy(proba: FloatImage) -> FloatImage:
    """Compute the Shannon entropy over the first axis as a fraction of log K: 1 if all classes are equally probable."""
    if proba.shape[0] == 1:
        return np.zeros(proba.shape[1:], np.float32)
    smallest = np.finfo(np.float32).tiny
    total = -(proba * np.log(np.maximum(proba, smallest))).sum(axis=0)
    return np.asarray(total / np.float32(math.log(proba.shape[0])), np.float32)
