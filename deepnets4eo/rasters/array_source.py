"""What every source of a layer has, and the simplest one: an array in memory."""

from __future__ import annotations

import copy
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.arrays import Pixels
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import open_raster
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters.band_subset import subset_bands
from deepnets4eo.rasters.datasets import check_gdal_type, rasterio_crs, read_dataset
from deepnets4eo.rasters.values import StoredValues, storable_nodata, valid_values

if TYPE_CHECKING:
    import pyproj


class Source(ABC):
    """What a Layer reads from; what a source does not say of itself is as here.

    nodata : None where bands have none or several; band_nodata : of each band, None where all have `nodata`; stored_values : how the numbers
    of each band are meant, None where nothing says it; unmasked_bands : marked as alpha, read as bands; place_advice : how an image that
    only RPCs place is put on the ground; complex : whether it is read as power."""

    name: str
    grid: Grid
    dtype: np.dtype[Any]
    bands: list[int]
    band_names: list[str]
    paths: list[str]
    tags: dict[str, str]
    nodata: float | None = None
    band_nodata: list[float | None] | None = None
    stored_values: list[StoredValues] | None = None
    wavelengths_nm: list[float | None] | None = None
    colour_roles: list[str] | None = None
    height_crs: pyproj.CRS | None = None
    unmasked_bands: Sequence[str] = ()
    place_advice: str = ""
    complex: bool = False

    @abstractmethod
    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        """Values (C, h, w) and validity (h, w) of a window inside the grid."""

    @abstractmethod
    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        """The whole grid averaged down to `shape`."""

    @abstractmethod
    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        """A new GDAL handle for warped views: of all bands, or of these, which are its first then."""

    def nodata_of(self, bands: Sequence[int]) -> list[float | None]:
        """The value without data of each of these bands, 1-based."""
        own = self.band_nodata
        return [self.nodata if own is None else own[band - 1] for band in bands]

    def with_nodata(self, value: float) -> Source:
        """The same source, of which pixels with `value` in every band are not valid."""
        declared = copy.copy(self)
        declared.nodata, declared.band_nodata = value, [value] * len(self.band_names)
        return declared

    def most_of(self) -> Source | None:
        """The source of which a view on another grid shows most; None of what is no such view."""
        return None

    def warp(self, grid: Grid) -> Source | None:
        """The view on another grid of a source that makes it itself; None of any other, which GDAL resamples."""
        return None


class ArraySource(Source):
    """An array in memory: (C, H, W) or (H, W); what the mask of a masked array hides in any band is not valid."""

    def __init__(self, array: NDArray[Any], grid: Grid | None, nodata: float | None) -> None:
        array = array[None] if array.ndim == 2 else array
        if array.ndim != 3 or 0 in array.shape:
            raise InputError(
                f"the array has shape {array.shape}, expected (C, H, W) or (H, W) with at least one pixel."
            )
        shape = (array.shape[1], array.shape[2])
        if grid is not None and tuple(grid.shape) != shape:
            raise GridError(f"the array has {shape} pixels and its grid {tuple(grid.shape)}. They must agree.")
        self.name = "array"
        self.grid = grid if grid is not None else GeoBox(shape, Affine.identity(), None)
        self.dtype, self.nodata, self.tags, self.paths = array.dtype, nodata, dict[str, str](), list[str]()
        self.bands = list(range(1, array.shape[0] + 1))
        self.band_names = [f"band_{band}" for band in self.bands]
        self._array = array
        self._hidden: NDArray[np.bool_] | None = None
        if np.ma.is_masked(array):
            self._hidden = np.asarray(np.ma.getmaskarray(array).any(axis=0))
        self._file: MemoryFile | None = None

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        rows, cols = window.slices
        data = np.asarray(self._array[[band - 1 for band in bands], rows, cols])
        valid = valid_values(data, self.nodata)
        return data, valid if self._hidden is None else valid & ~self._hidden[rows, cols]

    def with_nodata(self, value: float) -> ArraySource:
        return ArraySource(self._array, self.grid, value)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        with self.open_dataset() as dataset:
            return read_dataset(dataset, None, bands, self.nodata, shape)

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        if self._file is None:
            array = np.asarray(self._array.astype(np.uint8) if self._array.dtype == bool else self._array)
            self._file = memory_file(self, array, self._hidden)
        return subset_bands(open_raster(self._file.name), bands or self.bands)


def memory_file(source: Source, array: NDArray[Any], hidden: NDArray[np.bool_] | None = None) -> MemoryFile:
    """A copy of a source in GDAL's memory, freed with the source; hidden : (h, w), not valid."""
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
