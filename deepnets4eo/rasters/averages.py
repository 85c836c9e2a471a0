"""A source averaged down over its valid pixels, read strip by strip, where GDAL does not know all that is not valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask, Pixels
from deepnets4eo.grid import Window
from deepnets4eo.rasters.array_source import Source

STRIP_BYTES = 64 << 20  # read at a time
PART_VALUES = 1 << 18  # that are averaged at a time, so that what this needs stays in the cache of a core


def read_averaged(source: Source, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
    """Read the whole grid averaged down to `shape` over valid pixels."""
    height, width = source.grid.shape
    tops, lefts = (np.arange(n) * size // n for n, size in zip(shape, (height, width), strict=True))
    bottoms = np.append(tops[1:], height)
    data = np.zeros((len(bands), *shape), source.dtype)
    valid = np.zeros(shape, bool)
    row_bytes = width * len(bands) * source.dtype.itemsize
    step = max(1, STRIP_BYTES // max(1, row_bytes * (height // shape[0])))
    for first in range(0, shape[0], step):
        rows = slice(first, min(first + step, shape[0]))
        top, bottom = int(tops[first]), int(bottoms[rows.stop - 1])
        values, known = source.read(Window(top, 0, bottom - top, width), bands)
        part = max(1, PART_VALUES // max(1, width * (height // shape[0])))
        for start in range(first, rows.stop, part):
            some = slice(start, min(start + part, rows.stop))
            inside = slice(int(tops[start]) - top, int(bottoms[some.stop - 1]) - top)
            within = values[:, inside], known[inside]
            data[:, some], valid[some] = _average(*within, tops[some] - tops[start], lefts)
    return data, valid


def _average(values: NDArray[Any], valid: Mask, tops: Indices, lefts: Indices) -> Pixels:
    """Means (C, h, w) of valid values in cells that begin at rows `tops` and columns `lefts`, and which cells have any."""
    counts = np.add.reduceat(np.add.reduceat(valid.astype(np.int64), tops, axis=0), lefts, axis=1)
    means = np.empty((len(values), *counts.shape), values.dtype)
    for band, plane in zip(means, values, strict=True):
        sums = np.add.reduceat(np.where(valid, plane, 0).astype(np.float64), tops, axis=0)
        mean = np.add.reduceat(sums, lefts, axis=1) / np.maximum(counts, 1)
        band[:] = np.rint(mean) if values.dtype.kind in "iu" else mean
    return means, counts > 0
