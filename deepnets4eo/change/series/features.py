"""Features of the cells of a series at all dates: a fixed grid of cells, and means, spreads and textures of bands without any weights.

Takes a series, read block by block, date by date; drops dates without a valid cell. Refuses rasters smaller than a
cell, and series with too few dates left.

Memory: the result, dates × cells × features in float32, and a block of one date a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Geometries, Indices, Mask
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.grid import READ_PX, Grid, Window, transform_shapes
from deepnets4eo.jobs import ComputeBlock, SharedWork
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import gdal_cache, normalised_difference, role_indices

log = logging.getLogger(__name__)

INDICES = {"ndvi": ("nir", "red"), "ndwi": ("green", "nir"), "grvi": ("green", "red")}  # Rouse; McFeeters; Tucker


class CellFeatures(Protocol):
    """The features that describe a cell at a date."""

    names: list[str]

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid, day: date | None = None) -> NDArray[np.float32]:
        """Compute features (F, rows, cols) of the cells of an image (C, h, w) of a day, with `valid` (h, w), whole cells."""


class SpectralTexture:
    """Mean and standard deviation of bands and indices, and the mean step between neighbouring pixels of each band.

    names of the bands: indices are made of those whose names are known (red, green, nir).

    >>> features = SpectralTexture(["red", "nir"])
    >>> features.names
    ['red mean', 'red sd', 'nir mean', 'nir sd', 'ndvi mean', 'ndvi sd', 'red step', 'nir step']
    """

    def __init__(self, band_names: Sequence[str]) -> None:
        roles = role_indices(list(band_names))
        self._pairs = {
            name: (roles[plus], roles[minus])
            for name, (plus, minus) in INDICES.items()
            if plus in roles and minus in roles
        }
        images = [*band_names, *self._pairs]
        self.names = [f"{name} {what}" for name in images for what in ("mean", "sd")]
        self.names += [f"{name} step" for name in band_names]

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid, day: date | None = None) -> NDArray[np.float32]:
        """Compute features (F, rows, cols) of an image (C, h, w); pixels outside `valid` (h, w) do not count."""
        weights = None if valid.all() else valid.astype(np.float32)
        if weights is not None:
            image = np.where(valid, image, np.float32(0))  # what is not valid may be NaN
        number = cell_sums(np.ones_like(valid, np.float32) if weights is None else weights, cells)
        values: list[NDArray[np.float32]] = []
        for band in self._images(image):
            values += _mean_and_sd(band, weights, number, cells)
        return np.stack([*values, *(_step(band, weights, cells) for band in image)]).astype(np.float32)

    def _images(self, image: FloatImage) -> list[FloatImage]:
        indices = [normalised_difference(image[plus], image[minus]) for plus, minus in self._pairs.values()]
        return [*image, *(np.nan_to_num(index) for index in indices)]


class MeanVector:
    """Mean over a cell of embeddings brought to length 1; textures would add thrice as many columns of noise.

    names : of the bands
    """

    def __init__(self, band_names: Sequence[str]) -> None:
        self.names = list(band_names)

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid, day: date | None = None) -> NDArray[np.float32]:
        """Compute features (C, rows, cols) of an image (C, h, w) with `valid` (h, w)."""
        number = np.maximum(cell_sums(valid.astype(np.float32), cells), 1)
        unit = unit_vectors(np.where(valid, image, np.float32(0)))
        return np.stack([cell_sums(band, cells) / number for band in unit]).astype(np.float32)


def unit_vectors(image: FloatImage) -> FloatImage:
    """Scale vectors (C, h, w) to length 1; zeros stay."""
    lengths = np.linalg.norm(image, axis=0)
    return np.asarray(image / np.where(lengths > 0, lengths, 1), np.float32)


def cell_sums(values: FloatImage, cells: CellGrid) -> NDArray[np.float32]:
    """Return sums of pixels (h, w) over cells, (rows, cols)."""
    stride = cells.stride_px
    rows, cols = (side // stride for side in values.shape)
    down = values[: rows * stride, : cols * stride].reshape(rows, stride, cols * stride).sum(axis=1)
    return _join(down.reshape(rows, cols, stride).sum(axis=2), cells)


def _join(sums: NDArray[np.float32], cells: CellGrid) -> NDArray[np.float32]:
    """Return sums of cells from sums of stride-sized squares; a cell consists of several squares if cells overlap."""
    pieces = cells.cell_px // cells.stride_px
    for axis in (0, 1):
        length = sums.shape[axis] - pieces + 1
        sums = np.sum([np.take(sums, range(start, start + length), axis=axis) for start in range(pieces)], axis=0)
    return np.asarray(sums, np.float32)


def _mean_and_sd(
    band: FloatImage, weights: FloatImage | None, number: NDArray[np.float32], cells: CellGrid
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    count = band.size if weights is None else max(float(weights.sum()), 1)
    middle = np.float32(band.sum(dtype=np.float64) / count)
    centred = band - middle  # else squares lose their digits in float32
    if weights is not None:
        centred *= weights
    most: FloatImage = np.maximum(number, 1)
    mean = cell_sums(centred, cells) / most
    variance = cell_sums(np.square(centred), cells) / most - np.square(mean)
    return mean + middle, np.sqrt(np.maximum(variance, 0))


def _step(band: FloatImage, weights: FloatImage | None, cells: CellGrid) -> NDArray[np.float32]:
    """Mean size of the steps to the pixels below and to the right, where both are valid and in one square of the stride."""
    ones = np.ones_like(band) if weights is None else weights
    (down, down_count), (right, right_count) = (_steps(band, ones, cells, axis) for axis in (0, 1))
    mean = _join(down + right, cells) / np.maximum(_join(down_count + right_count, cells), 1)
    return np.asarray(mean, np.float32)


def _steps(
    band: FloatImage, weights: FloatImage, cells: CellGrid, axis: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sum and number of the steps along an axis in each square of the stride."""
    stride = cells.stride_px
    rows, cols = (side // stride for side in band.shape)
    shape = (rows, stride, cols * stride) if axis == 0 else (rows * stride, cols, stride)
    values, known = (plane[: rows * stride, : cols * stride].reshape(shape) for plane in (band, weights))
    along = 1 + axis  # the pixels of a square, along the axis
    both = np.delete(known, 0, along) * np.delete(known, -1, along)
    sums = [np.sum(terms, axis=along, dtype=np.float32) for terms in (np.abs(np.diff(values, axis=along)) * both, both)]
    if axis == 0:
        first, second = (total.reshape(rows, cols, stride).sum(axis=2) for total in sums)
    else:
        first, second = (total.reshape(rows, stride, cols).sum(axis=1) for total in sums)
    return first, second


class CellBlock(NamedTuple):
    """A rectangle of cells and the pixels under them."""

    rows: slice
    cols: slice
    window: Window


@dataclass(frozen=True)
class CellGrid:
    """Square cells side by side, or overlapping; pixels that make no whole cell at the lower and right edge are left out.

    grid : of the pixels
    cell_px : side of a cell
    stride_px : distance of cells, which divides their side

    Errors: InputError for a stride that does not divide the side, and for rasters smaller than a cell.

    >>> from affine import Affine
    >>> cells = CellGrid(Grid((100, 70), Affine.identity(), None), 32, 16)
    >>> cells.shape, cells.count, cells.window(4)
    ((5, 3), 15, Window(row=16, col=16, height=32, width=32))
    """

    grid: Grid
    cell_px: int = 32
    stride_px: int = 32

    def __post_init__(self) -> None:
        if self.stride_px < 1 or self.cell_px % self.stride_px:
            raise InputError(
                f"stride_px={self.stride_px} does not divide cell_px={self.cell_px}. Take the cell's side, its half or quarter."
            )
        if min(self.grid.shape) < self.cell_px:
            raise InputError(
                f"the images have {tuple(self.grid.shape)} pixels, less than a cell of {self.cell_px}. Set a smaller --set cell_px."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of cells."""
        rows, cols = ((side - self.cell_px) // self.stride_px + 1 for side in self.grid.shape)
        return rows, cols

    @property
    def count(self) -> int:
        """Number of cells."""
        return self.shape[0] * self.shape[1]

    def window(self, cell: int) -> Window:
        """Return the pixels of a cell; cells are numbered row by row."""
        row, col = divmod(int(cell), self.shape[1])
        return Window(row * self.stride_px, col * self.stride_px, self.cell_px, self.cell_px)

    def blocks(self, side_px: int) -> list[CellBlock]:
        """Return rectangles of cells with about `side_px` pixels per side, which together contain each cell once."""
        step = max(1, side_px // self.stride_px)
        rows, cols = self.shape
        return [
            self._block(slice(row, min(row + step, rows)), slice(col, min(col + step, cols)))
            for row in range(0, rows, step)
            for col in range(0, cols, step)
        ]

    def outlines(self, cells: Indices | NDArray[np.intp]) -> Geometries:
        """Return the squares of cells in the grid's CRS."""
        rows, cols = np.divmod(np.asarray(cells), self.shape[1])
        left, top = cols * self.stride_px, rows * self.stride_px
        squares = shapely.box(left, top, left + self.cell_px, top + self.cell_px)
        return np.asarray(transform_shapes(self.grid.affine, squares), dtype=object)

    def _block(self, rows: slice, cols: slice) -> CellBlock:
        extra = self.cell_px - self.stride_px
        height, width = ((span.stop - span.start) * self.stride_px + extra for span in (rows, cols))
        return CellBlock(rows, cols, Window(rows.start * self.stride_px, cols.start * self.stride_px, height, width))


@dataclass(frozen=True)
class CellSeries:
    """Features of cells by date: values (T, N, F), 0 where not valid (T, N), and the names of the features."""

    cells: CellGrid
    dates: list[date]
    values: NDArray[np.float32]
    valid: Mask
    names: list[str]


@dataclass(frozen=True)
class CellBlocks:
    """Blocks of cells at a date, measured by name: `date-number` of `names`. min_valid : share of a cell's pixels that must be valid."""

    series: ImageSeries
    cells: CellGrid
    features: CellFeatures
    min_valid: float

    @cached_property
    def rectangles(self) -> list[CellBlock]:
        """The rectangles that each date is read in."""
        return self.cells.blocks(READ_PX)

    @property
    def names(self) -> list[str]:
        """The names of all blocks, date by date."""
        return [f"{index}-{number}" for index in range(len(self.series)) for number in range(len(self.rectangles))]

    def task(self, name: str) -> tuple[int, CellBlock]:
        """Return the date and the rectangle of a block."""
        index, number = map(int, name.split("-"))
        return index, self.rectangles[number]

    def __call__(self, name: str) -> dict[str, NDArray[Any]]:
        """Measure a block: features (F, rows, cols), and which cells are known."""
        index, block = self.task(name)
        image, pixels = self.series.read(index, block.window)
        share = cell_sums(pixels.astype(np.float32), self.cells) / self.cells.cell_px**2
        day = self.series.dates[index]
        return {"measured": self.features.measure(image, pixels, self.cells, day), "known": share >= self.min_valid}


def measure_cells(
    series: ImageSeries,
    cells: CellGrid,
    features: CellFeatures,
    *,
    min_valid: float = 0.7,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
    shared: SharedWork | None = None,
) -> CellSeries:
    """Measure the features of all cells; `min_valid` is the share of a cell's pixels that must be valid, `shared` measures in other
    processes. Raises InputError where nothing is valid at any date."""
    work = CellBlocks(series, cells, features, min_valid)
    rows, cols = cells.shape
    values = np.zeros((len(series), rows, cols, len(features.names)), np.float32)
    valid = np.zeros((len(series), rows, cols), bool)
    results = in_order(work, work.names, workers) if shared is None else shared.results(reading, (work,), work.names)
    for number, (name, arrays) in enumerate(zip(work.names, results, strict=True)):
        (index, block), known = work.task(name), arrays["known"]
        values[index, block.rows, block.cols] = np.where(known[..., None], arrays["measured"].transpose(1, 2, 0), 0)
        valid[index, block.rows, block.cols] = known
        if progress is not None:
            progress((number + 1) / len(work.names))
    return _without_empty_dates(CellSeries(
        cells, series.dates, values.reshape(len(series), rows * cols, -1), valid.reshape(len(series), -1), features.names
    ), min_valid)  # fmt: skip


@contextmanager
def reading(compute: ComputeBlock) -> Iterator[ComputeBlock]:
    """Yield the function that computes blocks with the cache of a job, in a worker."""
    with gdal_cache():
        yield compute


def _without_empty_dates(series: CellSeries, min_valid: float) -> CellSeries:
    kept = np.flatnonzero(series.valid.any(axis=1))
    if not kept.size:
        raise InputError(
            f"no cell of {series.cells.cell_px} px has {min_valid:.0%} of valid pixels at any of the {len(series.dates)} "
            "dates. Check masks and nodata, or set smaller cells."
        )
    if len(kept) == len(series.dates):
        return series
    dropped = [day for index, day in enumerate(series.dates) if index not in kept]
    log.warning("No cell is valid on %s: these dates are left out.", ", ".join(map(str, dropped)))
    return CellSeries(
        series.cells, [series.dates[index] for index in kept], series.values[kept], series.valid[kept], series.names
    )
