"""Sources that read windows by themselves, without GDAL: averages and warped views come with the class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.arrays import Pixels
from deepnets4eo.formats import Declared, open_raster
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters.array_source import Source, masked_copy
from deepnets4eo.rasters.averages import read_averaged
from deepnets4eo.rasters.band_subset import subset_bands


class WindowedSource(Source):
    """A source whose subclass reads the stored numbers of a window.

    Parameters
    ----------
    name : the source in messages, such as its path
    grid : shape, position and CRS
    dtype : of the stored numbers
    declared : names, nodata, scale and units of every band
    paths : files behind the source, by default the name
    """

    def __init__(
        self, name: str, grid: Grid, dtype: DTypeLike, declared: Declared, paths: Sequence[str] | None = None
    ) -> None:
        self.name, self.grid, self.dtype, self.declared = name, grid, np.dtype(dtype), declared
        self.paths = [name] if paths is None else list(paths)
        self.bands = list(range(1, len(declared.bands) + 1))
        self._file: MemoryFile | None = None

    @abstractmethod
    def read_values(self, window: Window, bands: Sequence[int]) -> NDArray[Any]:
        """Return the stored numbers (C, h, w) of a window inside the grid. bands : 1-based. Several threads call it at once."""

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        data = self.read_values(window, bands)
        return data, self.valid(data, bands)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        return read_averaged(self, shape, bands)

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        """Open a copy in memory, which GDAL can warp: with all bands, or with these bands first."""
        if self._file is None:
            self._file = masked_copy(self)
        return subset_bands(open_raster(self._file.name), bands or self.bands)

    def with_nodata(self, value: float) -> Source:
        other = super().with_nodata(value)
        other._file = None  # type: ignore[attr-defined]  # the copy for GDAL declares the former value
        return other
