"""Zonal engine: one row of numbers per polygon, from rasters of any size, each block read once.

Takes a layer and polygons in any CRS; counts classes of labels, or sums bands. Pixels belong to a polygon by their
centre, to the last tie as in rasterio.mask; overlapping polygons all count their pixels. Refuses labels that are
neither a class nor void, and label layers with several bands or fractions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.grid import Window, blocks
from deepnets4eo.rasters.prefetch import in_order
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal.outlines import Outlines, Spans

BLOCK_PX = 1024


@dataclass(frozen=True)
class ClassCounts:
    """Pixels of each class in each polygon.

    Parameters
    ----------
    counts
        (N, K) int64.
    pixels
        (N,) int64, all pixels of the polygon on the raster, void and nodata too.
    """

    counts: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @property
    def excluded(self) -> NDArray[np.int64]:
        """(N,) pixels of the polygon that are void or nodata."""
        return self.pixels - self.counts.sum(axis=1)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(N, K) share of each class among the counted pixels; NaN where there are none."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0)


@dataclass(frozen=True)
class BandSums:
    """Sums of each band over each polygon, from which mean and standard deviation follow.

    Parameters
    ----------
    count
        (N, C) int64, valid pixels.
    total, squares
        (N, C) float64, sum of their values and of the squares.
    pixels
        (N,) int64, all pixels of the polygon on the raster, valid or not.
    """

    count: NDArray[np.int64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    pixels: NDArray[np.int64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """(N, C) mean of the valid pixels; NaN where there are none."""
        return np.divide(self.total, self.count, out=np.full(self.total.shape, np.nan), where=self.count > 0)

    @property
    def std(self) -> NDArray[np.float64]:
        """(N, C) standard deviation (of the population) of the valid pixels; NaN where there are none."""
        mean_square = np.divide(self.squares, self.count, out=np.full(self.total.shape, np.nan), where=self.count > 0)
        return np.sqrt(np.maximum(mean_square - self.mean**2, 0.0))


def class_counts(
    layer: Layer,
    polygons: Any,
    num_classes: int,
    *,
    void: int = VOID,
    block_px: int = BLOCK_PX,
    workers: int | None = None,
) -> ClassCounts:
    """Count the pixels of each class 0 … num_classes − 1 in each polygon.

    Parameters
    ----------
    layer
        One band of whole numbers.
    polygons
        (N,) Outlines, GeoDataFrame, GeoSeries, or array of shapely polygons in the layer's CRS.
    num_classes
        K.
    void
        Label that means no class; nodata means the same.
    block_px
        Side of the blocks that are read at once, pixels.
    workers
        Threads that read and count, by default one per core.

    Returns
    -------
    ClassCounts; polygons beyond the raster have zeros everywhere.

    Raises
    ------
    InputError
        Several bands or fractions, zones that are no polygons, Outlines on another raster.
    LabelError
        Labels that are neither a class nor void.
    GridError
        Only one of polygons and layer has a CRS.

    Peak memory: per worker 30 bytes a pixel of a block; about 60 bytes per vertex of all polygons.

    >>> import shapely
    >>> labels = Layer.open(np.array([[0, 1, 1], [1, 1, 255]], np.uint8))
    >>> pixels = class_counts(labels, np.array([shapely.box(0, 0, 3, 2)]), 2)
    >>> pixels.counts.tolist(), pixels.excluded.tolist()
    ([[1, 4]], [1])
    """
    if layer.count != 1 or layer.dtype.kind not in "biu":
        raise InputError(
            f"{layer.source} has {layer.count} bands of {layer.dtype}; labels are one band of whole numbers."
        )
    outlines = _outlines(layer, polygons)

    def count(spans: Spans, data: NDArray[Any], valid: NDArray[np.bool_]) -> list[NDArray[Any]]:
        labels = _compact(data[0], valid, num_classes, void, layer.source)
        return [_count_classes(spans, labels, num_classes), spans.total(spans.stop - spans.start)]

    counts = np.zeros((len(outlines), num_classes), np.int64)
    pixels = np.zeros(len(outlines), np.int64)
    _accumulate(layer, outlines, count, [counts, pixels], block_px, workers)
    return ClassCounts(counts, pixels)


def band_sums(layer: Layer, polygons: Any, *, block_px: int = BLOCK_PX, workers: int | None = None) -> BandSums:
    """Count, sum and sum of squares of every band in each polygon, without nodata and NaN.

    Parameters
    ----------
    layer
        Raster with C bands; whole numbers of up to 16 bits are summed exactly.
    polygons
        (N,) polygons, as for `class_counts`.
    block_px
        Side of the blocks that are read at once, pixels.
    workers
        Threads that read and sum, by default one per core.

    Returns
    -------
    BandSums; polygons beyond the raster have zeros everywhere.

    Raises
    ------
    InputError
        Zones that are no polygons, Outlines on another raster.
    GridError
        Only one of polygons and layer has a CRS.

    Peak memory: per worker 30 bytes a pixel of a block and the bands read; about 60 bytes per vertex.

    >>> import shapely
    >>> heights = Layer.open(np.array([[1.0, 2.0], [np.nan, 5.0]], np.float32))
    >>> band_sums(heights, np.array([shapely.box(0, 0, 2, 2)])).mean.round(3).tolist()
    [[2.667]]
    """
    outlines = _outlines(layer, polygons)

    def count(spans: Spans, data: NDArray[Any], valid: NDArray[np.bool_]) -> list[NDArray[Any]]:
        return [*sum_bands(spans, data, valid), spans.total(spans.stop - spans.start)]

    each_band = len(outlines), layer.count
    sums = BandSums(
        np.zeros(each_band, np.int64), np.zeros(each_band), np.zeros(each_band), np.zeros(len(outlines), np.int64)
    )
    _accumulate(layer, outlines, count, [sums.count, sums.total, sums.squares, sums.pixels], block_px, workers)
    return sums


def sum_bands(
    spans: Spans, data: NDArray[Any], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Count, sum and sum of squares of the bands of one window over the outlines in it.

    Parameters
    ----------
    spans
        Runs of pixels of M outlines in the window.
    data
        (C, h, w) values of the window; whole numbers of up to 16 bits are summed exactly.
    valid
        (h, w) bool, True where known.

    Returns
    -------
    (M, C) int64 count, (M, C) float64 sum and (M, C) float64 sum of squares of the valid values.

    >>> import shapely
    >>> square = Outlines.on(np.array([shapely.box(0, 0, 2, 1)]), shape=(1, 3))
    >>> spans = square.spans(Window(0, 0, 1, 3))
    >>> [part.tolist() for part in sum_bands(spans, np.array([[[2, 3, 9]]], np.uint8), np.ones((1, 3), bool))]
    [[[2]], [[5.0]], [[13.0]]]
    """
    exact = data.dtype.kind in "biu" and data.dtype.itemsize <= 2
    dtype = np.int64 if exact else np.float64
    count = np.empty((len(spans.numbers), len(data)), np.int64)
    total, squares = np.empty(count.shape), np.empty(count.shape)
    everywhere = _sum(spans, valid.astype(np.int64))
    for band, plane in enumerate(data):
        usable = valid if exact else valid & np.isfinite(plane)
        values = np.where(usable, plane, 0).astype(dtype)
        count[:, band] = everywhere if usable is valid else _sum(spans, usable.astype(np.int64))
        total[:, band] = _sum(spans, values)
        squares[:, band] = _sum(spans, values * values)
    return count, total, squares


def _sum(spans: Spans, values: NDArray[Any]) -> NDArray[Any]:
    """Sum (M,) of (h, w) values over each outline: differences of running sums along the rows, no pixel lists."""
    running = np.empty((values.shape[0], values.shape[1] + 1), values.dtype)
    running[:, 0] = 0
    np.cumsum(values, axis=1, out=running[:, 1:])
    flat, line = running.reshape(-1), spans.row * running.shape[1]
    return spans.total(flat[line + spans.stop] - flat[line + spans.start])


def _count_classes(spans: Spans, labels: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """(M, K) counts; as many classes share one 64-bit sum as have room in it, so few passes do for all."""
    bits = max(1, int(labels.size).bit_length())
    together = 63 // bits
    counts = np.empty((len(spans.numbers), num_classes), np.int64)
    for first in range(0, num_classes, together):
        classes = range(first, min(first + together, num_classes))
        weight = np.zeros(256, np.int64)
        weight[list(classes)] = [1 << bits * position for position in range(len(classes))]
        packed = _sum(spans, weight[labels])
        for position, value in enumerate(classes):
            counts[:, value] = packed >> bits * position & (1 << bits) - 1
    return counts


def _compact(
    labels: NDArray[Any], valid: NDArray[np.bool_], num_classes: int, void: int, source: str
) -> NDArray[np.uint8]:
    """Labels as uint8 with 255 for what does not count; LabelError lists values that are no class."""
    counted = valid & (labels != void)
    known = labels < num_classes
    if labels.dtype.kind == "i":
        known &= labels >= 0
    if (strange := counted & ~known).any():
        listed = ", ".join(str(value) for value in np.unique(labels[strange])[:8])
        raise LabelError(
            f"{source} has labels {listed} that are no class: expected 0 to {num_classes - 1}, or {void} for void. "
            "Give the right legend, or remap the labels first."
        )
    return np.where(counted, labels, 255).astype(np.uint8)


def _outlines(layer: Layer, polygons: Any) -> Outlines:
    if isinstance(polygons, Outlines):
        if polygons.shape != layer.shape:
            raise InputError(f"the outlines lie on a raster of {polygons.shape}, {layer.source} is {layer.shape}.")
        return polygons
    return Outlines.on(polygons, layer.grid)


def _accumulate(
    layer: Layer,
    outlines: Outlines,
    count: Callable[[Spans, NDArray[Any], NDArray[np.bool_]], list[NDArray[Any]]],
    totals: list[NDArray[Any]],
    block_px: int,
    workers: int | None,
) -> None:
    """Add what `count` returns for every block to the rows of `totals`; blocks without polygons are never read."""

    def work(window: Window) -> list[tuple[NDArray[np.int64], list[NDArray[Any]]]]:
        results, pixels = [], None
        for numbers in outlines.some_at_a_time(window):
            spans = outlines.spans(window, numbers)
            if len(spans.owner):
                pixels = pixels or layer.read(window)
                results.append((numbers, count(spans, *pixels)))
        return results

    for results in in_order(work, blocks(layer.shape, block_px), workers):
        for index, parts in results:
            for total, part in zip(totals, parts, strict=True):
                total[index] += part
