"""How often each code occurs in the window around each site, by running sums of several codes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Codes, Indices

WORD_BITS = 64


@dataclass(frozen=True)
class Windows:
    """Rows from first to last (exclusive), one pair for each row of sites; columns likewise."""

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

    def shorten(self, rows: int, cols: int) -> Windows:
        """Return windows that end `rows` rows and `cols` columns earlier."""
        ends = [np.maximum(stop - by, start) for (start, stop), by in ((self.rows, rows), (self.cols, cols))]
        return Windows((self.rows[0], ends[0]), (self.cols[0], ends[1]))

    def strips(self, max_sites: int) -> Iterator[tuple[slice, slice, Windows]]:
        """Yield blocks of at most max_sites (or one row of them): rows of sites, rows of the image, windows in these."""
        rows = max(max_sites // max(len(self.cols[0]), 1), 1)
        for first in range(0, len(self.rows[0]), rows):
            starts, stops = (bounds[first : first + rows] for bounds in self.rows)
            top, bottom = int(starts[0]), int(stops.max())
            yield slice(first, first + rows), slice(top, bottom), Windows((starts - top, stops - top), self.cols)


def window_counts(codes: Codes, windows: Windows) -> Iterator[tuple[Indices, NDArray[np.float32]]]:
    """Yield counts of all codes (h, w) that occur, a few at a time: (n codes, (n, rows and columns of sites) float32).

    Windows are cut at the image's border. Memory: two planes of 8 bytes a pixel, and n counts a site."""
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
