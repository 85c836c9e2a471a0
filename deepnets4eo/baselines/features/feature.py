"""Features of pixels: named columns computed from bands, on every pixel or on a regular grid of sites.

The plainest features are the band values. Others count how often each code occurs in the window around a site, by
running sums of several codes at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import Codes, FloatImage, Indices
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.rasters import moving_moments

Number = TypeVar("Number", bound=np.generic)
RADII_PX = (2, 5)

WORD_BITS = 64


@runtime_checkable
class Feature(Protocol):
    """A named group of columns.

    Sites of a stride s are at rows and columns s // 2, s // 2 + s, …: one in the middle of every s × s pixels."""

    @property
    def name(self) -> str:
        """The name in recipes."""

    @property
    def halo_px(self) -> int:
        """Return the number of pixels around a site that affect its value."""

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the F columns. Errors: InputError where a band that it needs is missing."""

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return values at the sites, (F, number of sites down, number of sites across) float32."""


@runtime_checkable
class FittedFeature(Feature, Protocol):
    """A feature that learns from the training pixels before it can be computed, e.g. principal components."""

    def fit(self, bands: Bands) -> Feature:
        """Return the feature, learned from all pixels of `bands`, (C, n, 1). Errors: InputError for too few pixels."""


@dataclass(frozen=True)
class DenseFeature:
    """A feature that is computed on all pixels and then read at the sites.

    names : bands → F names of columns, or InputError where a band is missing
    dense : bands → (F, h, w) float32

    >>> grey = DenseFeature("grey", 0, lambda bands: ["grey"], lambda bands: bands.grey()[None])
    >>> grey.compute(Bands(np.full((1, 4, 4), 255, np.float32), ("image.pan",)), stride_px=2).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """

    name: str
    halo_px: int
    names: Callable[[Bands], list[str]]
    dense: Callable[[Bands], FloatImage]

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns."""
        return self.names(bands)

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return values at the sites, (F, h, w) float32."""
        return at_sites(self.dense(bands), stride_px)


def at_sites(image: NDArray[Number], stride_px: int) -> NDArray[Number]:
    """Return a view of the pixels of an image (…, h, w) at the sites of a stride s: rows and columns s // 2, s // 2 + s, ….

    >>> at_sites(np.arange(25.0).reshape(5, 5), 3).tolist()
    [[6.0, 9.0], [21.0, 24.0]]
    """
    first = stride_px // 2
    return image[..., first::stride_px, first::stride_px]


def neighbourhood(bands: Bands) -> FloatImage:
    """Return mean and standard deviation in squares of 5 and 11 pixels, and gradient magnitude, of each band: F = 5 C."""
    parts = []
    for radius in RADII_PX:
        side = (0, 2 * radius + 1, 2 * radius + 1)
        # about the mean: float32 squares of metres above sea level are too coarse for the differences
        level = bands.values.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
        centred = bands.values - level
        mean, deviation = moving_moments(centred, side, mode="nearest")
        parts += [mean + level, deviation]
    down, right = (ndimage.sobel(bands.values, axis=axis, mode="nearest") for axis in (1, 2))
    parts.append(np.hypot(down, right) / 8)
    return np.concatenate(parts)


def _neighbourhood_names(bands: Bands) -> list[str]:
    sides = [2 * radius + 1 for radius in RADII_PX]
    kinds = [f"{kind}{side}" for side in sides for kind in ("mean", "deviation")] + ["gradient"]
    return [f"{kind}.{band}" for kind in kinds for band in bands.names]


PIXELS = DenseFeature("pixels", 0, lambda bands: list(bands.names), lambda bands: bands.values)
NEIGHBOURHOOD = DenseFeature("neighbourhood", max(RADII_PX), _neighbourhood_names, neighbourhood)


@dataclass(frozen=True)
class Windows:
    """Rows from first to last (exclusive), one pair for each row of sites; columns in the same form."""

    rows: tuple[Indices, Indices]
    cols: tuple[Indices, Indices]

    @classmethod
    def around_sites(cls, shape: tuple[int, int], side_px: int, stride_px: int) -> Windows:
        """Make windows of an odd side in pixels around the sites of a stride, cut at the border of an image."""
        ranges = []
        for length in shape:
            middle = np.arange(stride_px // 2, length, stride_px)
            ranges.append((np.maximum(middle - side_px // 2, 0), np.minimum(middle + side_px // 2 + 1, length)))
        return cls(ranges[0], ranges[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of sites."""
        return len(self.rows[0]), len(self.cols[0])

    @property
    def areas(self) -> Indices:
        """Pixels in each window, (rows of sites, columns of sites)."""
        heights, widths = (stop - start for start, stop in (self.rows, self.cols))
        return heights[:, None] * widths


def window_counts(codes: Codes, windows: Windows) -> Iterator[tuple[Indices, NDArray[np.float32]]]:
    """Yield counts of all codes (h, w) that occur, a few at a time: (n codes, (n, rows and columns of sites) float32).

    Windows are cut at the image's border. Memory: two planes of 8 bytes a pixel, and n counts a site.
    """
    # several counters share one 64-bit word: each has room for the largest window, so none runs over into the next
    bits = int(windows.areas.max(initial=1)).bit_length()
    together = WORD_BITS // bits
    mask = np.uint64((1 << bits) - 1)
    there = np.flatnonzero(np.bincount(codes.ravel()))
    for first in range(0, len(there), together):
        some = there[first : first + together]
        shifts = np.arange(len(some), dtype=np.uint64) * np.uint64(bits)
        table = np.zeros(there[-1] + 1, np.uint64)
        table[some] = np.uint64(1) << shifts
        sums = _box_sums(codes, table, windows)
        counts = np.empty((len(some), *windows.shape), np.float32)
        for index, shift in enumerate(shifts):
            counts[index] = (sums >> shift) & mask
        yield some, counts


def _box_sums(codes: Codes, table: NDArray[np.uint64], windows: Windows) -> NDArray[np.uint64]:
    """Return sums of the words of codes over windows; running sums may overflow, their differences are correct."""
    running = np.zeros((codes.shape[0] + 1, codes.shape[1]), np.uint64)
    for row, line in enumerate(codes):  # twice as fast as numpy's cumsum down the columns
        np.add(running[row], table[line], out=running[row + 1])
    strips = running[windows.rows[1]] - running[windows.rows[0]]
    running = np.zeros((strips.shape[0], strips.shape[1] + 1), np.uint64)
    np.cumsum(strips, axis=1, out=running[:, 1:])
    return running[:, windows.cols[1]] - running[:, windows.cols[0]]
