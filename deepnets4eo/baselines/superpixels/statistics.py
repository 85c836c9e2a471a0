"""Numbers per region: counts, means, deviations, ranges, histograms, majority labels and pooled features.

Takes values (F, h, w) and ids (h, w) from 0, −1 being none; gives one row per region. Sums of parts of a scene add up.
Trusts its input: ids lie below `count`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import RegionIds, Vectors
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature
from deepnets4eo.cards.legend import VOID


@dataclass(frozen=True)
class RegionSums:
    """Pixels, sums and sums of squares of F bands in N regions, from which mean and deviation follow.

    count : (N,) int64 · total, squares : (N, F) float64

    >>> sums = region_sums(np.float32([[[1, 3, 8]]]), np.int32([[0, 0, 1]]), 2)
    >>> sums.mean.tolist(), sums.std.tolist()
    ([[2.0], [8.0]], [[1.0], [0.0]])
    """

    count: NDArray[np.int64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: RegionSums) -> RegionSums:
        """Of two parts of the same regions together."""
        return RegionSums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(N, F); NaN for regions without pixels."""
        return _per_pixel(self.total, self.count)

    @property
    def std(self) -> NDArray[np.float64]:
        """(N, F) deviation of the population; NaN for regions without pixels."""
        return np.sqrt(np.maximum(_per_pixel(self.squares, self.count) - self.mean**2, 0))


def region_sums(values: NDArray[np.floating], ids: RegionIds, count: int) -> RegionSums:
    """Count, sum and sum of squares of each band, in float64. Peak memory: 24 bytes a pixel beside the arguments."""
    places = _places(ids)
    total, squares = np.empty((count, len(values))), np.empty((count, len(values)))
    for column, band in enumerate(values):
        weights = band.ravel().astype(np.float64)
        total[:, column] = np.bincount(places, weights, count + 1)[1:]
        np.multiply(weights, weights, out=weights)
        squares[:, column] = np.bincount(places, weights, count + 1)[1:]
    return RegionSums(np.bincount(places, minlength=count + 1)[1:], total, squares)


def region_means(values: NDArray[np.floating], ids: RegionIds, count: int) -> Vectors:
    """Mean of each band in each region, (N, F) float32; NaN for regions without pixels."""
    places = _places(ids)
    pixels = np.bincount(places, minlength=count + 1)[1:]
    total = np.empty((count, len(values)))
    for column, band in enumerate(values):
        total[:, column] = np.bincount(places, band.ravel(), count + 1)[1:]
    return _per_pixel(total, pixels).astype(np.float32)


def region_ranges(values: NDArray[np.floating], ids: RegionIds, count: int) -> tuple[Vectors, Vectors]:
    """Lowest and highest value of each band in each region, (N, F) float32 each; NaN for regions without pixels."""
    places = _places(ids)
    found = []
    for least, start in ((np.minimum, np.inf), (np.maximum, -np.inf)):
        extreme = np.full((len(values), count + 1), start, np.float32)
        for row, band in zip(extreme, values, strict=True):
            least.at(row, places, band.ravel().astype(np.float32))
        extreme[np.isinf(extreme)] = np.nan
        found.append(np.ascontiguousarray(extreme[:, 1:].T))
    return found[0], found[1]


def region_histograms(
    values: NDArray[np.floating], ids: RegionIds, count: int, bins: int, span: tuple[float, float]
) -> NDArray[np.int64]:
    """Pixels of each region in equal bins of each band over a span, (N, F, bins); what lies beyond is in the end bins.

    >>> region_histograms(np.float32([[[0, 0.4, 2]]]), np.int32([[0, 0, 0]]), 1, 2, (0, 1)).tolist()
    [[[2, 1]]]
    """
    places = _places(ids) * bins
    low, high = span
    histograms = np.empty((count, len(values), bins), np.int64)
    for column, band in enumerate(values):
        place = np.clip((band.ravel() - low) * (bins / (high - low)), 0, bins - 1).astype(np.intp)
        found = np.bincount(places + place, minlength=(count + 1) * bins)
        histograms[:, column] = found.reshape(count + 1, bins)[1:]
    return histograms


def majority(
    labels: NDArray[np.uint8], ids: RegionIds, count: int, num_classes: int, *, min_labelled: float = 0.5
) -> NDArray[np.uint8]:
    """The most frequent label of each region, the lowest of equals, (N,) uint8.

    labels : (h, w) places in the legend 0 … K − 1; void (255) does not vote. Void where fewer than `min_labelled` of
    a region's pixels have a label.

    >>> majority(np.uint8([[1, 1, 0, 255]]), np.int32([[0, 0, 0, 1]]), 2, 2).tolist()
    [1, 255]
    """
    places = _places(ids)
    labelled = labels.ravel() < num_classes
    codes = places[labelled] * num_classes + labels.ravel()[labelled]
    votes = np.bincount(codes, minlength=(count + 1) * num_classes).reshape(count + 1, num_classes)[1:]
    pixels = np.bincount(places, minlength=count + 1)[1:]
    known = votes.sum(axis=1)
    enough = (known > 0) & (known >= min_labelled * pixels)
    return np.where(enough, votes.argmax(axis=1), VOID).astype(np.uint8)


def pool(feature: Feature, bands: Bands, ids: RegionIds, count: int) -> Vectors:
    """A feature's value for each region, (N, F) float32: its own pooling where it has one, else the mean."""
    own = getattr(feature, "pool", None)
    if own is None:
        return region_means(feature.compute(bands), ids, count)
    pooled: Vectors = own(bands, ids, count)
    return pooled


def pool_stack(features: Sequence[Feature], bands: Bands, ids: RegionIds, count: int) -> Vectors:
    """All features of each region side by side, (N, F) float32."""
    return np.concatenate([pool(feature, bands, ids, count) for feature in features], axis=1)


def pooled_columns(features: Sequence[Feature], bands: Bands) -> list[str]:
    """Names of the columns of `pool_stack`, "feature.column". Errors: InputError where a band is missing."""
    names = []
    for feature in features:
        columns = getattr(feature, "pooled_columns", feature.columns)
        names += [f"{feature.name}.{column}" for column in columns(bands)]
    return names


def _places(ids: RegionIds) -> NDArray[np.intp]:
    """Flat places in arrays of one more than N: none comes first and is cut off."""
    places = ids.ravel().astype(np.intp)
    places += 1
    return places


def _per_pixel(sums: NDArray[np.float64], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    shown = pixels[:, None] > 0
    return np.divide(sums, pixels[:, None], out=np.full(sums.shape, np.nan), where=shown)
