"""A layer whose pixels are worked on as they are read, such as labels in another legend or an image without its clouds.

Takes a layer and what its pixels become; a subclass adds `read`. Refuses to be warped: that needs a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from rasterio.windows import Window

from deepnets4eo.rasters.layer import Layer

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


class LayerView(ABC):
    """A source for a `Layer` with the name, place and tags of another layer, and values of its own. `read_coarse` and
    `open_dataset` raise TypeError unless a subclass has them: averages and warped grids are not those of the values
    that `read` makes."""

    def __init__(
        self, layer: Layer, dtype: DTypeLike, nodata: float | None, band_names: Sequence[str] | None = None
    ) -> None:
        self.layer, self.grid = layer, layer.grid
        self.name, self.paths, self.tags = layer.source, layer.paths, layer.tags
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.nodata = nodata
        self.band_names = list(band_names or layer.band_names)
        self.bands = list(range(1, len(self.band_names) + 1))
        waves = None if band_names else layer.wavelengths_nm
        self.wavelengths_nm: list[float | None] | None = None if waves is None else [float(wave) for wave in waves]
        self.colour_roles: list[str] | None = None if band_names else layer.colour_roles

    @abstractmethod
    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (C, h, w) and validity (h, w) of a window inside the grid."""

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The whole grid averaged down to `shape`."""
        raise TypeError(f"{type(self).__name__} of {self.name} is read in full resolution")

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        """A GDAL handle for warped views, see `Source`."""
        raise TypeError(f"{type(self).__name__} of {self.name} is read on its own grid")
