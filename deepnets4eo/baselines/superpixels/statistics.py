"""Statistics of regions: means, deviations, ranges, majority labels and pooled features, one row per region.

All take ids (h, w) int32, 0 … count − 1, −1 for none, and the number of regions `count` or N. They are not checked.
Regions without pixels have NaN."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import RegionIds, Vectors
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature
from deepnets4eo.cards import VOID


def region_deviations(values: NDArray[np.floating], ids: RegionIds, count: int) -> NDArray[np.float64]:
    """Return the standard deviation of the population of each band (F, h, w) in each region, (N, F). Peak memory: 24
    bytes a pixel.

    >>> region_deviations(np.float32([[[1, 3, 8]]]), np.int32([[0, 0, 1]]), 2).tolist()
    [[1.0], [0.0]]
    """
    mean = _region_means(values, ids, count)
    squares = (np.square(band, dtype=np.float64) for band in values)  # band by band
    return np.sqrt(np.maximum(_region_means(squares, ids, count) - mean**2, 0))


def region_means(values: NDArray[np.floating], ids: RegionIds, count: int) -> Vectors:
    """Return the mean of each band (F, h, w) in each region, (N, F) float32.

    >>> region_means(np.float32([[[1, 3, 8]]]), np.int32([[0, 0, 1]]), 2).tolist()
    [[2.0], [8.0]]
    """
    return _region_means(values, ids, count).astype(np.float32)


def _region_means(bands: Iterable[NDArray[np.floating]], ids: RegionIds, count: int) -> NDArray[np.float64]:
    indices = _flat_indices(ids)
    pixels = np.bincount(indices, minlength=count + 1)[1:].astype(float)
    sums = [np.bincount(indices, band.ravel(), count + 1)[1:] for band in bands]
    return np.stack(sums, axis=1) / np.where(pixels > 0, pixels, np.nan)[:, None]


def region_ranges(values: NDArray[np.floating], ids: RegionIds, count: int) -> tuple[Vectors, Vectors]:
    """Return the lowest and the highest value of each band (F, h, w) in each region, both (N, F) float32.

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
    """Return the most frequent label of each region, (N,) uint8, the lowest if several are equally frequent.

    labels : (h, w) uint8 class indices, void 255 not counted
    min_labelled : share of a region's pixels, 0 to 1, that must have a label, else void

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
    """Return a feature's values of regions, (N, F) float32: by its own pooling if it has one, else the mean.

    Raises InputError if a band that the feature needs is missing.

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
    """Return one or more features side by side, each as by `pool`, (N, F) float32.

    >>> from deepnets4eo.baselines.features import build_features
    >>> bands = Bands(np.float32([[[1, 3, 8]]]), ("image.pan",))
    >>> pool_stack(build_features(["pixels", "pixels"]), bands, np.int32([[0, 0, 1]]), 2).shape
    (2, 2)
    """
    return np.concatenate([pool(feature, bands, ids, count) for feature in features], axis=1)


def pooled_columns(features: Sequence[Feature], bands: Bands) -> list[str]:
    """Return the names of the columns of `pool_stack`, "feature.column"; of the bands one pixel is enough. Errors:
    InputError where a band that a feature needs is missing.

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
