"""Arrays of xarray as sources of layers over the same memory: their grid, by coordinates as rioxarray and odc-geo write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters.array_source import ArraySource

if TYPE_CHECKING:
    import xarray

CONVENTION = {"grid_mapping", "_FillValue", "missing_value", "scale_factor", "add_offset"}  # how others store values
EVEN = 0.05  # of a step


def is_data_array(value: object) -> bool:
    """Whether a value is a DataArray, without an import of xarray."""
    return type(value).__name__ == "DataArray" and type(value).__module__.partition(".")[0] == "xarray"


def grid_of(data: xarray.Dataset | xarray.DataArray) -> Grid:
    """The grid of a dataset or an array. Errors: GridError where its coordinates are no even grid."""
    import odc.geo.xr  # noqa: F401, which adds `.odc`

    grid = data.odc.geobox
    if not isinstance(grid, Grid) or not all(_is_even(data[axis].values) for axis in data.odc.spatial_dims):
        raise GridError(
            f"the {type(data).__name__} with the coordinates {sorted(map(str, data.coords))} has no even grid of pixels. Give it "
            "x and y (or longitude and latitude) at even distances."
        )
    return grid


def source_of(array: xarray.DataArray, grid: Grid, nodata: float | None = None) -> tuple[ArraySource, list[str]]:
    """A source over an array's memory, with its attributes as tags, and the labels of its further axis as names of bands."""
    array = array.squeeze()
    plane = tuple(array.odc.spatial_dims)
    further = [str(dim) for dim in array.dims if dim not in plane]
    if len(further) > 1:
        raise InputError(
            f"{array.name!r} has the axes {array.dims}; a layer has bands, y and x. Choose one of {further[0]}."
        )
    stated = array.odc.nodata if nodata is None else nodata
    source = ArraySource(array.transpose(*further, *plane).values, grid, stated)
    source.tags = {str(key): str(value) for key, value in array.attrs.items() if key not in CONVENTION}
    return source, [str(band) for band in array[further[0]].values] if further else []


def _is_even(coordinates: NDArray[Any]) -> bool:
    """Whether coordinates lie at one distance, up to the rounding of float32; odc-geo looks at the first and last ones."""
    steps = np.diff(coordinates)
    return not len(steps) or bool(np.ptp(steps) <= EVEN * abs(steps[0]))
