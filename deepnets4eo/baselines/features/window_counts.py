"""How often each code occurs in the window around each site, by running sums of several codes at a time.

Takes an image of small whole numbers; gives counts at the sites. A window is cut where it leaves the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.unsignedinteger]
WORD_BITS = 64


@dataclass(frozen=True)
class Windows:
    """Rows from first to last (exclusive), one pair for each row of sites; columns likewise."""

    rows: tuple[NDArray[np.int64], NDArray[np.int64]]
    cols: tuple[NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def around_sites(cls, shape: tuple[int, int], side_px: int, stride_px: int) -> Windows:
        """Windows of an odd side in pixels around the sites of a stride, cut at the border of an image."""
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
    def areas(self) -> NDArray[np.int64]:
        """Pixels in each window, (rows of sites, columns of sites)."""
        heights, widths = (stop - start for start, stop in (self.rows, self.cols))
        return heights[:, None] * widths

    def shortened(self, rows: int, cols: int) -> Windows:
        """Windows that end so many rows and columns earlier."""
        ends = [np.maximum(stop - by, start) for (start, stop), by in ((self.rows, rows), (self.cols, cols))]
        return Windows((self.rows[0], ends[0]), (self.cols[0], ends[1]))


def window_counts(codes: Codes, num_codes: int, windows: Windows) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Counts of all codes, a few at a time: (the first code, (n, rows of sites, columns of sites) float32).

    codes : (h, w), 0 … num_codes - 1; larger ones are not counted. Memory: three planes of 8 bytes a pixel, and n
    counts a site.

    >>> codes = np.array([[0, 1, 1], [2, 1, 0]], np.uint8)
    >>> windows = Windows.around_sites((2, 3), side_px=3, stride_px=2)
    >>> [(first, counts[:, 0, 0].tolist()) for first, counts in window_counts(codes, 3, windows)]
    [(0, [2.0, 3.0, 1.0])]
    """
    # several counters share one 64-bit word: each has room for the largest window, so none runs over into the next
    largest = int(windows.areas.max(initial=1))
    bits = largest.bit_length()
    together = WORD_BITS // bits
    mask = np.uint64((1 << bits) - 1)
    for first in range(0, num_codes, together):
        shifts = np.arange(min(together, num_codes - first), dtype=np.uint64) * np.uint64(bits)
        table = np.zeros(np.iinfo(codes.dtype).max + 1, np.uint64)
        table[first : first + len(shifts)] = np.uint64(1) << shifts
        sums = _box_sums(table[codes], windows)
        yield first, ((sums >> shifts[:, None, None]) & mask).astype(np.float32)


def _box_sums(words: NDArray[np.uint64], windows: Windows) -> NDArray[np.uint64]:
    """Sums over windows; running sums may wrap around, their differences are right all the same."""
    running = np.zeros((words.shape[0] + 1, words.shape[1]), np.uint64)
    np.cumsum(words, axis=0, out=running[1:])
    strips = running[windows.rows[1]] - running[windows.rows[0]]
    running = np.zeros((strips.shape[0], strips.shape[1] + 1), np.uint64)
    np.cumsum(strips, axis=1, out=running[:, 1:])
    return running[:, windows.cols[1]] - running[:, windows.cols[0]]
