"""Haralick's measures of how grey levels of neighbours occur together, around a site or in a superpixel.

Takes the grey image in a few levels; returns six measures, each the mean over four directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.lbp import grey_levels
from deepnets4eo.baselines.features.window_counts import Windows, window_counts

Counts = Iterable[tuple[NDArray[np.int64], NDArray[np.floating]]]

MEASURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy")
STRIP_SITES = 1 << 14  # at a time, so that counts fit into the processor's cache
OFFSETS = ((0, 1), (1, 1), (1, 0), (1, -1))  # rows down, columns right: 0, 45, 90, 135 degrees


@dataclass(frozen=True)
class CoOccurrence:
    """Co-occurrence of grey levels of pixels next to each other, in both orders (a symmetric matrix).

    Pairs count where both pixels lie in the square of side_px around a site, or in one superpixel. Where there is but
    one level, or no pair at all: contrast, dissimilarity and entropy 0; homogeneity, energy and correlation 1.
    Energy is the root of the sum of squares; entropy is in nats.
    Source: Haralick, Shanmugam, Dinstein, IEEE SMC 3(6), 1973.
    """

    name: str
    levels: int = 16
    side_px: int = 17

    @property
    def halo_px(self) -> int:
        """Half a window."""
        return self.side_px // 2

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the six measures."""
        return list(MEASURES)

    pooled_columns = columns

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (6, rows of sites, columns of sites) float32. Memory: the result and 25 bytes a pixel."""
        image = grey_levels(bands, self.levels)
        windows = Windows.around_sites(bands.shape, self.side_px, stride_px)
        values = np.zeros((len(MEASURES), *windows.shape), np.float32)
        for sites, rows, part in windows.strips(STRIP_SITES):
            for down, right in OFFSETS:
                codes = _pair_codes(self.levels)[_pairs(image[rows], down, right)]
                counts = window_counts(codes, part.shorten(down, abs(right)))
                values[:, sites] += measures(counts, self.levels, part.shape)
        return values / np.float32(len(OFFSETS))

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """Return (count, 6) float32 of the pairs inside each superpixel."""
        image = grey_levels(bands, self.levels)
        num_codes = _num_codes(self.levels)
        total = np.zeros((len(MEASURES), count), np.float32)
        for down, right in OFFSETS:
            first, second = _pairs(image, down, right)
            one, other = _pairs(ids, down, right)
            inside = (one == other) & (one >= 0)
            codes = _pair_codes(self.levels)[first[inside], second[inside]] + one[inside].astype(np.int64) * num_codes
            counts = np.bincount(codes, minlength=count * num_codes).reshape(count, num_codes)
            total += measures([(np.arange(num_codes), counts.T.astype(np.float64))], self.levels, (count,))
        return total.T / np.float32(len(OFFSETS))


def measures(counts: Counts, levels: int, shape: tuple[int, ...]) -> FloatImage:
    """Return the six measures, (6, *shape) float32, of counts of unordered pairs of levels.

    counts : blocks of (n codes as `_pair_codes` numbers them, (n, *shape) their counts).
    """
    low, high = _levels_of_codes(levels)
    apart, mixed = high - low, (high != low).astype(float)
    linear = np.stack(
        [np.ones(len(low)), apart**2, apart, 1 / (1 + apart**2), low + high, low**2 + high**2, low * high, mixed]
    )
    sums = np.zeros((len(linear), np.prod(shape, dtype=int)))
    squares, logs = np.zeros(sums.shape[1]), np.zeros(sums.shape[1])
    for codes, block in counts:
        flat = block.reshape(len(block), -1)
        sums += linear[:, codes].astype(flat.dtype) @ flat
        squares += (1 - mixed[codes] / 2).astype(flat.dtype) @ (flat * flat)
        logs += (flat * np.log(np.maximum(flat, 1))).sum(axis=0)
    return _from_sums(sums, squares, logs).reshape(len(MEASURES), *shape)


def _from_sums(sums: NDArray[np.float64], squares: NDArray[np.float64], logs: NDArray[np.float64]) -> FloatImage:
    """Return the measures of the symmetric matrix whose entries off the diagonal are half the counts of unordered pairs."""
    pairs = sums[0]
    some = np.maximum(pairs, 1)
    contrast, dissimilarity, homogeneity, level, square, product, mixed = sums[1:] / some
    variance = square / 2 - (level / 2) ** 2
    covariance = product - (level / 2) ** 2
    flat = variance < 1e-12
    correlation = np.where(flat, 1, covariance / np.where(flat, 1, variance))
    energy = np.sqrt(squares) / some
    entropy = np.where(flat, 0, np.log(some) - logs / some + np.log(2) * mixed)
    values = np.stack([contrast, dissimilarity, homogeneity, energy, correlation, entropy])
    values[:, pairs == 0] = np.array([0, 0, 1, 1, 1, 0])[:, None]
    return values.astype(np.float32)


def _pairs(image: NDArray[np.integer], down: int, right: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return an image and its copy shifted by an offset, cut to where both are: down 0 or 1, right −1, 0 or 1."""
    height, width = image.shape[0] - down, image.shape[1] - abs(right)
    left, other = max(-right, 0), max(right, 0)
    return image[:height, left : left + width], image[down:, other : other + width]


def _num_codes(levels: int) -> int:
    return levels * (levels + 1) // 2


def _levels_of_codes(levels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and higher level of each unordered pair."""
    low, high = np.triu_indices(levels)
    return low.astype(float), high.astype(float)


def _pair_codes(levels: int) -> NDArray[np.unsignedinteger]:
    """Return (levels, levels) the number of each unordered pair."""
    low, high = np.triu_indices(levels)
    table = np.zeros((levels, levels), np.min_scalar_type(len(low)))
    table[low, high] = table[high, low] = np.arange(len(low))
    return table


GLCM = CoOccurrence("glcm")
