"""Zonal engine: one row of numbers per polygon, from rasters of any size, each block read once; pixels count by their centre."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Geometries, Indices, Mask
from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.grid import READ_PX, Window, transform_shapes
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer, LayerView
from deepnets4eo.rasters.longitudes import columns_of_turns
from deepnets4eo.reprojection import to_crs
from deepnets4eo.zonal.outlines import Outlines, Spans, ranges

if TYPE_CHECKING:
    import geopandas as gpd

Parts: TypeAlias = tuple[NDArray[Any], ...]  # numbers of some outlines in one block, one row each


@dataclass(frozen=True)
class ClassCounts:
    """Pixels of each class in each polygon: counts (N, K), and pixels (N,), void and nodata, too."""

    counts: Indices
    pixels: Indices

    @property
    def excluded(self) -> Indices:
        """Return (N,) pixels of the polygon that are void or nodata."""
        return self.pixels - self.counts.sum(axis=1)

    @property
    def shares(self) -> Floats:
        """Return (N, K) share of each class among the counted pixels, or NaN."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0)


@dataclass(frozen=True)
class BandSums:
    """Sums of each band over each polygon: count, total and squared deviations (N, C) of valid pixels; pixels (N,)."""

    count: Indices
    total: Floats
    deviations: Floats
    pixels: Indices

    @property
    def mean(self) -> Floats:
        """Return (N, C) mean of the valid pixels, or NaN."""
        return _ratio(self.total, self.count)

    @property
    def std(self) -> Floats:
        """Return (N, C) standard deviation (of the population) of the valid pixels, or NaN."""
        return np.sqrt(_ratio(self.deviations, self.count))


def class_counts(
    layer: Layer,
    polygons: Any,
    num_classes: int,
    *,
    void: int = VOID,
    block_px: int = READ_PX,
    workers: int | None = None,
) -> ClassCounts:
    """Count the pixels of each class 0 … num_classes − 1 in each polygon.

    Errors: InputError for other rasters than labels, zones that are no polygons, and Outlines on another raster.

    LabelError for labels that are neither a class nor void. GridError where only one of polygons and layer has a CRS.

    Peak memory: per worker 30 bytes a pixel of a block; about 60 bytes a vertex.

    Parameters
    ----------
    layer : one band of whole numbers
    polygons : (N,) Outlines, GeoDataFrame, GeoSeries, or array of shapely polygons in the layer's CRS
    num_classes : K, 1 to 255
    void : label that means no class, as nodata does
    block_px : side of the blocks that are read at once
    workers : threads, by default one per core

    Returns
    -------
    ClassCounts; 0 for polygons beyond the raster

    Examples
    --------
    >>> import shapely
    >>> labels = Layer.open(np.array([[0, 1, 1], [1, 1, 255]], np.uint8))
    >>> pixels = class_counts(labels, np.array([shapely.box(0, 0, 3, 2)]), 2)
    >>> pixels.counts.tolist(), pixels.excluded.tolist()
    ([[1, 4]], [1])
    """
    layer = layer.as_stored()
    if layer.count != 1 or layer.dtype.kind not in "biu":
        raise InputError(
            f"{layer.source} has {layer.count} bands of {layer.dtype}; labels are one band of whole numbers."
        )
    if not 1 <= num_classes <= VOID:
        raise InputError(f"Got num_classes={num_classes}, expected 1 to {VOID}. Count fewer classes at a time.")
    outlines = _outlines(layer, polygons)

    def count(spans: Spans, data: NDArray[Any], valid: Mask) -> Parts:
        labels = _compact(data[0], valid, num_classes, void, layer.source)
        return _count_classes(spans, labels, num_classes), spans.total(spans.stop - spans.start)

    sums = ClassCounts(np.zeros((len(outlines), num_classes), np.int64), np.zeros(len(outlines), np.int64))
    for index, (counts, pixels) in _counted(layer, outlines, count, block_px, workers):
        sums.counts[index] += counts
        sums.pixels[index] += pixels
    return sums


def band_sums(layer: Layer, polygons: Any, *, block_px: int = READ_PX, workers: int | None = None) -> BandSums:
    """Count, sum and spread of every band in each polygon, without nodata and NaN.

    Errors: InputError, GridError, as in `class_counts`. Peak memory: per worker 60 bytes a pixel of a block and the bands read;
    about 60 bytes a vertex.

    Parameters
    ----------
    layer : raster with C bands; whole numbers of up to 16 bits are summed exactly
    polygons, block_px, workers : the same as for `class_counts`

    Returns
    -------
    BandSums; 0 for polygons beyond the raster

    Examples
    --------
    >>> import shapely
    >>> heights = Layer.open(np.array([[1.0, 2.0], [np.nan, 5.0]], np.float32))
    >>> band_sums(heights, np.array([shapely.box(0, 0, 2, 2)])).mean.round(3).tolist()
    [[2.667]]
    """
    outlines = _outlines(layer, polygons)

    def count(spans: Spans, data: NDArray[Any], valid: Mask) -> Parts:
        return *sum_bands(spans, data, valid), spans.total(spans.stop - spans.start)

    each_band = len(outlines), layer.count
    sums = BandSums(
        np.zeros(each_band, np.int64), np.zeros(each_band), np.zeros(each_band), np.zeros(len(outlines), np.int64)
    )
    for index, (counts, total, deviations, pixels) in _counted(layer, outlines, count, block_px, workers):
        deviations += _between(sums.count[index], sums.total[index], counts, total)
        sums.count[index] += counts
        sums.total[index] += total
        sums.deviations[index] += deviations
        sums.pixels[index] += pixels
    return sums


def sum_bands(spans: Spans, data: NDArray[Any], valid: Mask) -> tuple[Indices, Floats, Floats]:
    """Compute count, sum and squared deviations of the bands of one window over the outlines in it.

    Each outline is summed only from its own values: an extreme value elsewhere changes nothing.

    Parameters
    ----------
    spans : runs of pixels of M outlines in the window
    data : (C, h, w) values; whole numbers of up to 16 bits are summed exactly
    valid : (h, w) bool

    Returns
    -------
    (M, C) count, sum, and sum of squared deviations from the mean, of valid values

    Examples
    --------
    >>> import shapely
    >>> square = Outlines.on(np.array([shapely.box(0, 0, 2, 1)]), shape=(1, 3))
    >>> spans = square.spans(Window(0, 0, 1, 3))
    >>> [part.tolist() for part in sum_bands(spans, np.array([[[2, 3, 9]]], np.uint8), np.ones((1, 3), bool))]
    [[[2]], [[5.0]], [[0.5]]]
    """
    lengths = spans.stop - spans.start
    size = spans.total(lengths)
    pixels = ranges(spans.row * valid.shape[1] + spans.start, lengths)
    known = valid.ravel()[pixels]
    count = np.empty((len(size), len(data)), np.int64)
    total, deviations = np.empty(count.shape), np.empty(count.shape)
    for band, plane in enumerate(data):
        values = plane.ravel()[pixels].astype(np.float64)
        usable = known & np.isfinite(values) if plane.dtype.kind == "f" else known
        whole = bool(usable.all())
        count[:, band] = size if whole else _sum_groups(usable.astype(np.int64), size)
        if not whole:
            values[~usable] = 0
        total[:, band] = _sum_groups(values, size)
        values -= np.repeat(_ratio(total[:, band], count[:, band]), size)
        if not whole:
            values[~usable] = 0
        values *= values
        deviations[:, band] = _sum_groups(values, size)
    return count, total, deviations


def _sum_groups(values: NDArray[Any], size: Indices) -> NDArray[Any]:
    """Sum (M,) of consecutive groups of `size` values."""
    sums = np.zeros(len(size), values.dtype)
    if len(values):
        sums[size > 0] = np.add.reduceat(values, (np.cumsum(size) - size)[size > 0])
    return sums


def _ratio(part: NDArray[Any], whole: Indices) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _between(count: Indices, total: Floats, more: Indices, more_total: Floats) -> Floats:
    """Return the squared deviations of two sets together beyond the sum of both: Chan et al., COMPSTAT 1982, eq. 2.1."""
    apart = np.nan_to_num(_ratio(total, count) - _ratio(more_total, more))
    return apart**2 * count * _ratio(more, np.maximum(count + more, 1))


def _sum(spans: Spans, values: Indices) -> Indices:
    """Sum (M,) of (h, w) whole numbers over each outline, by running sums along the rows."""
    running = np.empty((values.shape[0], values.shape[1] + 1), values.dtype)
    running[:, 0] = 0
    np.cumsum(values, axis=1, out=running[:, 1:])
    flat, line = running.reshape(-1), spans.row * running.shape[1]
    return spans.total(flat[line + spans.stop] - flat[line + spans.start])


def _count_classes(spans: Spans, labels: NDArray[np.uint8], num_classes: int) -> Indices:
    """Return (M, K) counts; as many classes share one 64-bit sum as have room in it."""
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


def _compact(labels: NDArray[Any], valid: Mask, num_classes: int, void: int, source: str) -> NDArray[np.uint8]:
    """Labels as uint8 with 255 for what does not count. Errors: LabelError."""
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


def _counted(
    layer: Layer,
    outlines: Outlines,
    count: Callable[[Spans, NDArray[Any], Mask], Parts],
    block_px: int,
    workers: int | None,
) -> Iterator[tuple[Indices, Parts]]:
    """Numbers of outlines and what `count` returns for them, block by block, without blocks that have none."""

    def work(window: Window) -> list[tuple[Indices, Parts]]:
        results, pixels = [], None
        for numbers in outlines.some_at_a_time(window):
            spans = outlines.spans(window, numbers)
            if len(spans.owner):
                pixels = pixels or layer.read(window)
                results.append((numbers, count(spans, *pixels)))
        return results

    for results in in_order(work, layer.blocks(block_px), workers):
        yield from results


AREA_ERROR = 1e-9  # of a box, by which the area of what lies in it is rounded
WEST, NORTH, EAST, SOUTH = range(4)  # of a box: first column and row, and those behind the last


def sums_by_share(layer: Layer, polygons: gpd.GeoDataFrame) -> Floats:
    """Sum the first band of a raster over polygons, each pixel by the share of its area that lies in the polygon.

    Peak memory: 24 bytes per pixel of a block; a few hundred bytes for each pixel that an edge crosses.

    Parameters
    ----------
    layer : raster of amounts, such as people per pixel
    polygons : (N,) in any CRS, or in none if the raster has none

    Returns
    -------
    (N,) float64; pixels without data count as 0, polygons beyond the raster are NaN

    Examples
    --------
    >>> import geopandas as gpd
    >>> people = Layer.open(np.array([[100.0, 40.0]]))
    >>> sums_by_share(people, gpd.GeoDataFrame(geometry=[shapely.box(0.5, 0, 1.25, 1)])).tolist()
    [60.0]
    """
    shapes = _in_pixels(layer, polygons)
    sides = [
        _covered_boxes(transform_shapes(Affine.translation(columns, 0), shapes), layer.shape)
        for columns in columns_of_turns(layer.grid)
    ]
    owner, boxes, weights = map(np.concatenate, zip(*sides, strict=True))
    sums, known = np.zeros(len(shapes)), np.zeros(len(shapes), bool)
    known[owner] = True
    for window, rows in _by_block(boxes):
        data, valid = layer.read(window)
        values = np.where(valid & np.isfinite(data[0]), data[0], 0).astype(np.float64)
        upto = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # sums of all above and to the left
        west, north, east, south = (boxes[rows] - [window.col, window.row, window.col, window.row]).T
        total = upto[south, east] - upto[north, east] - upto[south, west] + upto[north, west]
        np.add.at(sums, owner[rows], total * weights[rows])
    return np.where(known, sums, np.nan)


def known_shares(layer: Layer, polygons: gpd.GeoDataFrame) -> Floats:
    """Measure the share of each polygon in which the first band of a raster has a value.

    Parameters
    ----------
    layer, polygons : as for `sums_by_share`

    Returns
    -------
    (N,) float64, 0–1; NaN for polygons without an area

    Examples
    --------
    >>> import geopandas as gpd
    >>> people = Layer.open(np.array([[100.0, np.nan]]))
    >>> known_shares(people, gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 4, 1)])).tolist()
    [0.25]
    """
    area = shapely.area(_in_pixels(layer, polygons))
    known = np.nan_to_num(sums_by_share(Layer(_KnownPixels(layer, np.float32, None)), polygons))
    return np.divide(known, area, out=np.full(len(area), np.nan), where=area > 0)


class _KnownPixels(LayerView):
    """1 where a layer has a value, else 0."""

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        data, valid = self.layer.read(window)
        return (valid & np.isfinite(data[:1])).astype(self.dtype), np.ones_like(valid)


def _in_pixels(layer: Layer, polygons: gpd.GeoDataFrame) -> Geometries:
    outlines = polygons.geometry if layer.grid.crs is None else to_crs(polygons.geometry, layer.grid.crs.proj)
    return transform_shapes(~layer.grid.affine, outlines.to_numpy())


def _covered_boxes(shapes: Geometries, size: tuple[int, int]) -> tuple[Indices, Indices, Floats]:
    """Boxes of pixels (B, 4) in a shape, or single pixels in part; whose they are, and their share."""
    height, width = size
    bounds = np.nan_to_num(shapely.bounds(shapes).reshape(-1, 4), posinf=0, neginf=0)
    low = np.clip(np.floor(bounds[:, :2]), 0, [width, height])
    high = np.clip(np.ceil(bounds[:, 2:]), 0, [width, height])
    boxes = np.column_stack([low, high]).astype(np.intp)
    owner = np.arange(len(shapes))
    done: list[tuple[Any, Any, Any]] = []
    while len(owner):
        shapes = shapely.intersection(shapes, shapely.box(*boxes.T))
        whole = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).astype(float)
        area = shapely.area(shapes)
        longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        same_block = (boxes[:, :2] // READ_PX == (boxes[:, 2:] - 1) // READ_PX).all(axis=1)
        ready = (area > 0) & same_block & ((longest == 1) | (area >= whole * (1 - AREA_ERROR)))
        done.append((owner[ready], boxes[ready], area[ready] / whole[ready]))
        open_ = (area > 0) & ~ready
        owner, shapes, boxes = _halves(owner[open_], shapes[open_], boxes[open_])
    owners, ready_boxes, weights = zip(*done, strict=True) if done else ((owner,), (boxes,), (np.zeros(0),))
    return np.concatenate(owners), np.concatenate(ready_boxes), np.concatenate(weights)


def _halves(owner: Indices, shapes: Geometries, boxes: Indices) -> tuple[Any, Any, Any]:
    """Each box cut across its longer side, at the edge of a block if there is one."""
    rows, axis = (
        np.arange(len(boxes)),
        (boxes[:, SOUTH] - boxes[:, NORTH] > boxes[:, EAST] - boxes[:, WEST]).astype(int),
    )
    low, high = boxes[rows, axis], boxes[rows, axis + 2]
    middle = (low + high) // 2
    edge = (middle + READ_PX // 2) // READ_PX * READ_PX
    middle = np.where((edge > low) & (edge < high), edge, middle)
    first, second = boxes.copy(), boxes.copy()
    first[rows, axis + 2] = second[rows, axis] = middle
    return np.tile(owner, 2), np.tile(shapes, 2), np.concatenate([first, second])


def _by_block(boxes: Indices) -> Iterator[tuple[Window, Indices]]:
    """Windows around the boxes of each block, and the numbers of those."""
    block = boxes[:, [NORTH, WEST]] // READ_PX
    for number in np.unique(block, axis=0):
        rows = np.flatnonzero((block == number).all(axis=1))
        (west, north), (east, south) = boxes[rows, :2].min(axis=0), boxes[rows, 2:].max(axis=0)
        yield Window(int(north), int(west), int(south - north), int(east - west)), rows
