"""Common interface of the sources of layers, and the simplest source: an array in memory."""

from __future__ import annotations

import copy
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.arrays import Mask, Pixels
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import Declared, open_raster
from deepnets4eo.grid import Grid, Window, check_grid
from deepnets4eo.rasters.band_subset import subset_bands
from deepnets4eo.rasters.datasets import check_gdal_type, rasterio_crs, read_dataset
from deepnets4eo.rasters.values import common_nodata, storable_nodata, valid_numbers

if TYPE_CHECKING:
    import pyproj


MAX_COPY_BYTES = 2 << 30  # copied into memory for a warped view
MAX_COLOURS, MIN_SIDE_PX = (
    4,
    8,
)  # the longest axis of colours and the shortest of pixels by which an order of axes is known


class Source(ABC):
    """Source that a Layer reads from.

    declared : metadata that the source states about itself and all its bands; bands : bands read by default, 1-based; place_advice : how
    to georeference a file without a position; hidden_tile : warning about a tile under another one; by_gdal : whether GDAL decodes the
    files in `paths`, and keeps their blocks."""

    name: str
    grid: Grid
    dtype: np.dtype[Any]
    bands: list[int]
    declared: Declared
    paths: list[str]
    height_crs: pyproj.CRS | None = None
    place_advice: str = ""
    hidden_tile: str = ""
    reads_legend: bool = False
    by_gdal: bool = False

    @property
    def band_names(self) -> list[str]:
        """The name of each band."""
        return self.declared.names

    @property
    def tags(self) -> dict[str, str]:
        """Further words, by name."""
        return self.declared.tags

    @property
    def nodata(self) -> float | None:
        """The stored number that means no data in all bands that are read by default; None if they have none or several."""
        return common_nodata(self.nodata_of(self.bands))

    @abstractmethod
    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        """Values (C, h, w) and validity (h, w) of a window inside the grid."""

    @abstractmethod
    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        """Read the whole grid averaged down to `shape`."""

    @abstractmethod
    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        """Open a new GDAL handle for warped views: with all bands, or with these as its first bands."""

    def share_decoded(self) -> None:  # noqa: B027, most sources decode nothing
        """Let threads take turns to read a file whose decoded blocks GDAL keeps, so that no thread decodes them again."""

    def nodata_of(self, bands: Sequence[int]) -> list[float | None]:
        """Return the nodata value of each of these bands, 1-based."""
        return [self.declared.bands[band - 1].nodata for band in bands]

    def valid(self, data: NDArray[Any], bands: Sequence[int]) -> Mask:
        """Return which pixels of stored numbers (C, h, w) of these bands, 1-based, are valid by what is stated of them."""
        return valid_numbers(data, self.declared.subset(bands))

    def with_nodata(self, value: float) -> Source:
        """Return the source with pixels invalid if they have `value` in every band."""
        other = copy.copy(self)
        other.declared = self.declared.with_nodata(value)
        return other

    def most_of(self) -> Source | None:
        """Return the source whose extent this view on another grid largely covers; None otherwise."""
        return None

    def warp(self, grid: Grid) -> Source | None:
        """Return this source's own view on another grid; None if the source leaves resampling to GDAL."""
        return None


def check_axes(array: NDArray[Any], grid: Grid | None) -> None:
    """Refuse (InputError) an array without a grid whose last axis is as short as a colour axis: rows and columns come last."""
    if grid is None and array.ndim == 3 and array.shape[2] <= MAX_COLOURS < MIN_SIDE_PX <= min(array.shape[:2]):
        raise axes_error("the array", array.shape)


def axes_error(name: str, shape: Sequence[int]) -> GridError:
    """Return the error for an array whose bands come last."""
    rows, columns, bands = shape
    return GridError(
        f"{name} has the shape ({rows}, {columns}, {bands}): read as (bands, rows, columns) it has {rows} bands of {columns} × {bands} "
        f"pixels. If its axes are (rows, columns, bands), give np.moveaxis(image, -1, 0); else give its grid as well."
    )


class ArraySource(Source):
    """An array in memory: (C, H, W) or (H, W); what the mask of a masked array hides in any band is not valid."""

    def __init__(
        self, array: NDArray[Any], grid: Grid | None, nodata: float | None, declared: Declared | None = None
    ) -> None:
        array = array[None] if array.ndim == 2 else array
        if array.ndim != 3 or 0 in array.shape:
            raise InputError(
                f"the array has shape {array.shape}, expected (C, H, W) or (H, W) with at least one pixel."
            )
        shape = (array.shape[1], array.shape[2])
        if grid is not None and tuple(grid.shape) != shape:
            raise GridError(f"the array has {shape} pixels and its grid {tuple(grid.shape)}. They must agree.")
        self.name = "array"
        is_complex = array.dtype.kind == "c"
        array = (array.real**2 + array.imag**2).astype(np.float32) if is_complex else array  # power
        if grid is not None:
            check_grid(grid, self.name)
        self.grid = grid if grid is not None else GeoBox(shape, Affine.identity(), None)
        self.declared = replace(declared or Declared.plain(self.name, len(array), nodata), is_complex=is_complex)
        self.dtype, self.paths, self.bands = array.dtype, list[str](), list(range(1, len(array) + 1))
        self._array = array
        self._hidden: NDArray[np.bool_] | None = None
        if np.ma.is_masked(array):
            self._hidden = np.asarray(np.ma.getmaskarray(array).any(axis=0))
        self._file: MemoryFile | None = None

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        rows, cols = window.slices
        data = np.asarray(self._array[[band - 1 for band in bands], rows, cols])
        valid = self.valid(data, bands)
        return data, valid if self._hidden is None else valid & ~self._hidden[rows, cols]

    def with_nodata(self, value: float) -> Source:
        other = super().with_nodata(value)
        other._file = None  # type: ignore[attr-defined]  # the copy for GDAL declares the former value
        return other

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        with self.open_dataset() as dataset:
            return read_dataset(dataset, None, bands, self.nodata, shape)

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        if self._file is None:
            array = np.asarray(self._array.astype(np.uint8) if self._array.dtype == bool else self._array)
            hidden = self._hidden
            if self.declared.limits:
                limited = ~self.valid(array, self.bands)
                hidden = limited if hidden is None else hidden | limited
            self._file = memory_file(self, array, hidden)
        return subset_bands(open_raster(self._file.name), bands or self.bands)


def masked_copy(source: Source) -> MemoryFile:
    """Return a copy for GDAL, which warps it, of all bands that are read. Raises InputError for a source that is too large for that."""
    height, width = source.grid.shape
    if len(source.bands) * height * width * source.dtype.itemsize > MAX_COPY_BYTES:
        raise InputError(
            f"{source.name} is too large to be warped as it is (more than {MAX_COPY_BYTES:,} bytes). "
            "Write it as a GeoTIFF or ENVI file with one nodata value first."
        )
    data, valid = source.read(Window(0, 0, height, width), source.bands)
    return memory_file(source, data, ~valid if source.declared.limits else None)


def memory_file(source: Source, array: NDArray[Any], hidden: NDArray[np.bool_] | None = None) -> MemoryFile:
    """Return a copy of a source in GDAL's memory, freed with the source; hidden : (h, w), not valid."""
    check_gdal_type(array.dtype, source.name)
    file = MemoryFile()
    weakref.finalize(source, file.close)
    nodata = storable_nodata(array.dtype, source.nodata)
    if hidden is not None and nodata is not None:
        array = np.where(hidden, array.dtype.type(nodata), array)
    profile = dict(
        driver="GTiff", count=array.shape[0], height=array.shape[1], width=array.shape[2], BIGTIFF="IF_SAFER"
    )
    profile |= dict(dtype=array.dtype, nodata=nodata, crs=rasterio_crs(source.grid), transform=source.grid.affine)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), file.open(**profile) as dataset:
        dataset.write(array)
        if hidden is not None and nodata is None:
            dataset.write_mask(~hidden)
    return file
