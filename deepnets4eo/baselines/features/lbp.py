"""Local binary patterns: how often each kind of spot, edge and corner occurs around a site or in a superpixel.

Takes the grey image in 256 levels; returns shares of the uniform, rotation-invariant patterns. Monotonous changes of
brightness do not change the patterns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.window_counts import Windows, window_counts

DECIMALS = 5  # of the positions on the circle
# an interpolated level is a whole multiple of 10^-10 (two weights of five decimals): whatever lies nearer to 0 is 0
TIE = 0.5 * 10.0 ** (-2 * DECIMALS)


def grey_levels(bands: Bands, levels: int = 256) -> NDArray[np.uint8]:
    """Return the grey image in `levels` levels of equal width (at most 256), (h, w) uint8."""
    return np.minimum(bands.grey() * np.float32(levels), levels - 1).astype(np.uint8)


def local_patterns(image: NDArray[np.uint8], points: int = 8, radius: float = 1) -> NDArray[np.uint8]:
    """Return the uniform rotation-invariant pattern of each pixel, (h, w) uint8 from 0 to points + 1.

    The pattern: which of `points` (at most 16) positions on a circle are as bright as its centre or brighter, levels
    between pixels interpolated. A pattern that changes at most twice around the circle is coded by the number of
    bright positions, all others are points + 1. Equal levels are equal exactly: a constant image has `points`. The
    border pixels are repeated outward. Source: Ojala, Pietikäinen, Mäenpää, PAMI 24(7), 2002, equation 9.

    >>> local_patterns(np.array([[5, 5, 5], [5, 9, 5], [5, 5, 5]], np.uint8))[1, 1]
    np.uint8(0)
    """
    margin = math.ceil(radius)
    padded = np.pad(image, margin, mode="edge").astype(np.float64)
    pattern = np.zeros(image.shape, np.uint16)
    limit = image - TIE
    for number in range(points):
        angle = 2 * math.pi * number / points
        down, right = round(-radius * math.sin(angle), DECIMALS), round(radius * math.cos(angle), DECIMALS)
        level = _levels_at(padded, down + margin, right + margin, image.shape)
        pattern |= (level >= limit).astype(np.uint16) << np.uint16(number)
    return _uniform_codes(points)[pattern]


def _levels_at(padded: NDArray[np.float64], down: float, right: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return bilinear levels at an offset from each pixel."""
    row, col = math.floor(down), math.floor(right)
    by_row, by_col = down - row, right - col
    rows = padded[row : row + shape[0]]
    if by_row:
        rows = rows * (1 - by_row) + padded[row + 1 : row + 1 + shape[0]] * by_row
    cols = rows[:, col : col + shape[1]]
    return cols * (1 - by_col) + rows[:, col + 1 : col + 1 + shape[1]] * by_col if by_col else cols


def _uniform_codes(points: int) -> NDArray[np.uint8]:
    """Return the code of each of the 2^points patterns."""
    bits = (np.arange(1 << points)[:, None] >> np.arange(points)) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), points + 1).astype(np.uint8)


@dataclass(frozen=True)
class LocalBinaryPatterns:
    """Shares of the patterns in the square of side_px around each site, or in each superpixel; they sum to 1."""

    name: str
    points: int = 8
    radius: float = 1
    side_px: int = 17

    @property
    def halo_px(self) -> int:
        """Half a window and a radius."""
        return self.side_px // 2 + math.ceil(self.radius)

    def columns(self, bands: Bands) -> list[str]:
        """Return the names: "bright" with the number of bright positions, and "others"."""
        return [f"bright{count}" for count in range(self.points + 1)] + ["others"]

    pooled_columns = columns

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (points + 2, rows of sites, columns of sites) float32. Memory: the result, 50 bytes a pixel, 60 a site."""
        patterns = local_patterns(grey_levels(bands), self.points, self.radius)
        windows = Windows.around_sites(bands.shape, self.side_px, stride_px)
        shares = np.zeros((self.points + 2, *windows.shape), np.float32)
        for some, counts in window_counts(patterns, windows):
            shares[some] = counts / windows.areas
        return shares

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """Return (count, points + 2) float32; zeros for a superpixel without pixels."""
        patterns = local_patterns(grey_levels(bands), self.points, self.radius)
        num_codes = self.points + 2
        inside = ids >= 0
        codes = ids[inside].astype(np.int64) * num_codes + patterns[inside]
        counts = np.bincount(codes, minlength=count * num_codes).reshape(count, num_codes)
        return (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)


LBP = LocalBinaryPatterns("lbp")
LBP16 = LocalBinaryPatterns("lbp16", points=16, radius=2)
