"""Statistics per region: counts, means, deviations, ranges, majority labels and pooled features, one row per region.

Sums of parts of a scene add up. Inputs are not checked: ids must be below `count`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import RegionIds, Vectors
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature
from deepnets4eo.cards.legend import VOID


def region_deviations(values: NDArray[np.floating], ids: RegionIds, count: int) -> NDArray[np.float64]:
    """Return the standard deviation of the population of each band in each region. Peak memory: 24 bytes a pixel. values :
    (F, h, w) floats; ids : (h, w) int32, 0 … count − 1, −1 for none; count : number of regions N. Returns (N, F) float64,
    NaN for regions without pixels.

    >>> region_deviations(np.float32([[[1, 3, 8]]]), np.int32([[0, 0, 1]]), 2).tolist()
    [[1.0], [0.0]]
    """
    indices = _flat_indices(ids)
    pixels = np.bincount(indices, minlength=count + 1)[1:]
    total, squares = np.empty((count, len(values))), np.empty((count, len(values)))
    for column, band in enumerate(values):
        weights = band.ravel().astype(np.float64)
        total[:, column] = np.bincount(indices, weights, count + 1)[1:]
        np.multiply(weights, weights, out=weights)
        squares[:, column] = np.bincount(indices, weights, count + 1)[1:]
    return np.sqrt(np.maximum(_divide_by_pixels(squares, pixels) - _divide_by_pixels(total, pixels) ** 2, 0))


def region_means(values: NDArray[np.floating], ids: RegionIds, count: int) -> Vectors:
    """Return the mean of each band in each region. values : (F, h, w) floats; ids : (h, w) int32, 0 … count − 1, −1 for
    none; count : number of regions N. Returns (N, F) float32, NaN for regions without pixels.

    >>> region_means(np.float32([[[1, 3, 8]]]), np.int32([[0, 0, 1]]), 2).tolist()
    [[2.0], [8.0]]
    """
    indices = _flat_indices(ids)
    pixels = np.bincount(indices, minlength=count + 1)[1:]
    total = np.empty((count, len(values)))
    for column, band in enumerate(values):
        total[:, column] = np.bincount(indices, band.ravel(), count + 1)[1:]
    return _divide_by_pixels(total, pixels).astype(np.float32)


def region_ranges(values: NDArray[np.floating], ids: RegionIds, count: int) -> tuple[Vectors, Vectors]:
    """Return the lowest and the highest value of each band in each region. values : (F, h, w) floats; ids : (h, w)
    int32, 0 … count − 1, −1 for none; count : number of regions N. Returns tuple of two (N, F) float32, NaN for regions
    without pixels.

    >>> low, high = region_ranges(np.float32([[[1, 3, 8]]]), np.int32([[0, 0, 1]]), 2)
    >>> low.tolist(), high.tolist()
    ([[1.0], [8.0]], [[3.0], [8.0]])
    """
    indices = _flat_indices(ids)
    ranges = []
    for least, start in ((np.minimum, np.inf), (np.maximum, -np.inf)):
        extreme = np.full((len(values), count + 1), start, np.float32)
        for row, band in zip(extreme, values, strict=True):
            least.at(row, indices, band.ravel().astype(np.float32))
        extreme[np.isinf(extreme)] = np.nan
        ranges.append(np.ascontiguousarray(extreme[:, 1:].T))
    return ranges[0], ranges[1]


def majority(
    labels: NDArray[np.uint8], ids: RegionIds, count: int, num_classes: int, *, min_labelled: float = 0.5
) -> NDArray[np.uint8]:
    """Return the most frequent label of each region, the lowest of equals. labels : (h, w) uint8 class indices 0 … K −
    1; void (255) does not count; ids : (h, w) int32, 0 … count − 1, −1 for none; count, num_classes : number of regions
    N and of classes K; min_labelled : share of a region's pixels, 0 to 1, that must have a label. Returns (N,) uint8
    class indices; void where fewer pixels have a label.

    >>> majority(np.uint8([[1, 1, 0, 255]]), np.int32([[0, 0, 0, 1]]), 2, 2).tolist()
    [1, 255]
    """
    indices = _flat_indices(ids)
    labelled = labels.ravel() < num_classes
    codes = indices[labelled] * num_classes + labels.ravel()[labelled]
    votes = np.bincount(codes, minlength=(count + 1) * num_classes).reshape(count + 1, num_classes)[1:]
    pixels = np.bincount(indices, minlength=count + 1)[1:]
    known = votes.sum(axis=1)
    enough = (known > 0) & (known >= min_labelled * pixels)
    return np.where(enough, votes.argmax(axis=1), VOID).astype(np.uint8)


def pool(feature: Feature, bands: Bands, ids: RegionIds, count: int) -> Vectors:
    """Return a feature's value for each region: by its own pooling where it has one, else the mean. feature : what is
    computed; bands : image (C, h, w); ids : (h, w) int32, 0 … count − 1, −1 for none; count : number of regions N.
    Returns (N, F) float32. Errors: InputError where a band that the feature needs is missing.

    >>> from deepnets4eo.baselines.features import build_features
    >>> bands = Bands(np.float32([[[1, 3, 8]]]), ("image.pan",))
    >>> pool(build_features(["pixels"])[0], bands, np.int32([[0, 0, 1]]), 2).tolist()
    [[2.0], [8.0]]
    """
    own = getattr(feature, "pool", None)
    if own is None:
        return region_means(feature.compute(bands), ids, count)
    pooled: Vectors = own(bands, ids, count)
    return pooled


def pool_stack(features: Sequence[Feature], bands: Bands, ids: RegionIds, count: int) -> Vectors:
    """Return all features of each region side by side, each as by `pool`. features : what is computed, at least one;
    bands : image (C, h, w); ids : (h, w) int32, 0 … count − 1, −1 for none; count : number of regions N. Returns (N, F)
    float32. Errors: InputError where a band that a feature needs is missing.

    >>> from deepnets4eo.baselines.features import build_features
    >>> bands = Bands(np.float32([[[1, 3, 8]]]), ("image.pan",))
    >>> pool_stack(build_features(["pixels", "pixels"]), bands, np.int32([[0, 0, 1]]), 2).shape
    (2, 2)
    """
    return np.concatenate([pool(feature, bands, ids, count) for feature in features], axis=1)


def pooled_columns(features: Sequence[Feature], bands: Bands) -> list[str]:
    """Return the names of the columns of `pool_stack`, "feature.column". features : what `pool_stack` computes; bands :
    an image with the same bands; one pixel is enough. Returns list of F names. Errors: InputError where a band that a
    feature needs is missing.

    >>> from deepnets4eo.baselines.features import build_features
    >>> pooled_columns(build_features(["pixels"]), Bands(np.zeros((1, 1, 1), np.float32), ("image.pan",)))
    ['pixels.image.pan']
    """
    names = []
    for feature in features:
        columns = getattr(feature, "pooled_columns", feature.columns)
        names += [f"{feature.name}.{column}" for column in columns(bands)]
    return names


def _flat_indices(ids: RegionIds) -> NDArray[np.intp]:
    """Return flat indices into arrays of one more entry than N: the first entry is for none and is cut off."""
    indices = ids.ravel().astype(np.intp)
    indices += 1
    return indices


def _divide_by_pixels(sums: NDArray[np.float64], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    present = pixels[:, None] > 0
    return np.divide(sums, pixels[:, None], out=np.full(sums.shape, np.nan), where=present)
