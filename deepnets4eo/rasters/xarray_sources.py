"""Arrays of xarray as sources of layers over the same memory: their grid by coordinates, metadata by attributes.

Attributes are read like a file's metadata: scale, offset, unit, names and wavelengths of bands, missing values. Refuses
coordinates that are no even grid, and attributes that are no numbers, with their names.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import Declared
from deepnets4eo.grid import Grid, check_grid
from deepnets4eo.rasters.array_source import ArraySource
from deepnets4eo.rasters.length_units import metres_of

if TYPE_CHECKING:
    import xarray

MAX_BEND_PX = 0.05  # of coordinates beside the line through the first and the last
MAX_ROUNDED_PX = 0.5  # of coordinates that are rounded to single precision; beyond, they do not tell pixels apart
SAME_PX = 0.001  # a stated transform that gives the coordinates to that is taken with all its digits
SAME_UNIT = 0.001  # feet of surveys and international ones count as one
TRANSFORMS = ("transform", "spatial:transform", "proj:transform")  # attributes
ATTRIBUTE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RuntimeError)


def is_data_array(value: object) -> bool:
    """Return whether a value is a DataArray, without an import of xarray."""
    return type(value).__name__ == "DataArray" and type(value).__module__.partition(".")[0] == "xarray"


def plane_of(data: xarray.Dataset | xarray.DataArray) -> tuple[str, str]:
    """Return the names of the axes of rows and columns. Raises GridError if there are none."""
    from odc.geo.xr import spatial_dims

    try:
        plane = spatial_dims(data, relaxed=True)
    except ATTRIBUTE_ERRORS:
        plane = None
    if plane is None:
        raise _no_grid(data, f"has the axes {', '.join(map(str, data.sizes))}, none of which are rows and columns")
    return plane


def grid_of(data: xarray.Dataset | xarray.DataArray) -> Grid:
    """Return the grid of a dataset or an array by its coordinates, from the first to the last one of each axis.

    Raises GridError if they are no even grid: texts, dates, NaN, uneven or repeated numbers."""
    plane = plane_of(data)
    shape = (data.sizes[plane[0]], data.sizes[plane[1]])
    crs, stated = _crs_and_transform(data, plane)
    own = _own_affine(data)
    size = stated or own
    if size is not None and not any(axis in data.coords for axis in plane):  # rotated, as rioxarray writes it
        return GeoBox(shape, size, crs)
    rows, cols = (_coordinates(data, axis) for axis in plane)
    _check_units(data, plane, crs)
    row_step, col_step = _step(data, plane[0], rows), _step(data, plane[1], cols)
    if row_step is None:
        row_step = size.e if size is not None else None if col_step is None else -abs(col_step)
    if col_step is None:
        col_step = size.a if size is not None else None if row_step is None else abs(row_step)
    if row_step is None or col_step is None or not row_step or not col_step:
        raise _no_grid(data, "is one pixel, whose size is not stated")
    affine = Affine(col_step, 0, cols[0] - col_step / 2, 0, row_step, rows[0] - row_step / 2)
    _check_resolution(data, affine)
    for transform, must_fit in ((stated, False), (own, True)):
        if transform is not None:
            affine = _agreed(data, affine, transform, shape, must_fit=must_fit)
    grid = GeoBox(shape, affine, crs)
    check_grid(grid, f"the {type(data).__name__}")
    return grid


def source_of(array: xarray.DataArray, grid: Grid | None = None, nodata: float | None = None) -> ArraySource:
    """Return a source over an array's memory with what its attributes and coordinates state; by default on its own grid."""
    plane = plane_of(array)
    array = array.squeeze([axis for axis, size in array.sizes.items() if size == 1 and axis not in plane])
    further = [axis for axis in array.dims if axis not in plane]
    if len(further) > 1:
        name = "the array" if array.name is None else f"the array {array.name!r}"
        raise InputError(
            f"{name} has the axes {', '.join(map(str, array.dims))}; a layer has bands, y and x. Choose one of {further[0]}: "
            f".isel({further[0]}=0)."
        )
    grid = grid_of(array) if grid is None else grid
    values = array.transpose(*further, *plane).values
    if values.dtype.kind not in "iufbc":
        raise InputError(
            f"the array {'' if array.name is None else repr(array.name) + ' '}has values of type {values.dtype}; expected numbers. Convert it, e.g. by .astype('float32')."
        )
    declared = Declared.of_array(array, further[0] if further else None)
    if declared.number_dtype is not None and declared.number_dtype != values.dtype:
        values = values.view(declared.number_dtype)
    return ArraySource(values, grid, None, declared if nodata is None else declared.with_nodata(nodata))


def _coordinates(data: xarray.Dataset | xarray.DataArray, axis: str) -> Floats:
    """Return the coordinates of an axis as finite numbers. Raises GridError."""
    if axis not in data.coords:
        raise _no_grid(data, f"has no coordinates along {axis!r}")
    values: NDArray[Any] = np.asarray(data[axis].values)
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        example = values.ravel()[0] if values.size else "nothing"
        raise _no_grid(data, f"has {example!r} ({values.dtype}) as a coordinate along {axis!r}; expected numbers")
    if not values.size or not np.isfinite(values).all():
        raise _no_grid(data, f"has {'NaN or infinite' if values.size else 'no'} coordinates along {axis!r}")
    return values


def _check_units(data: xarray.Dataset | xarray.DataArray, plane: tuple[str, str], crs: Any) -> None:
    """Refuse (GridError) coordinates in another unit of length than the projected CRS, such as kilometres in CF files."""
    own = metres_of(str(crs.units[0])) if crs is not None and crs.projected else None
    for axis in plane:
        unit = str(data[axis].attrs.get("units", ""))
        metres = metres_of(unit) if unit else None
        if own is not None and metres is not None and abs(metres / own - 1) > SAME_UNIT:
            raise _no_grid(
                data,
                f"has coordinates along {axis!r} in {unit!r}, while its CRS is in {crs.units[0]}. Multiply them by {metres / own:g}",
            )


def _step(data: xarray.Dataset | xarray.DataArray, axis: str, values: NDArray[Any]) -> float | None:
    """Return the distance of coordinates; None for a single one. Raises GridError if they are not on a line."""
    if len(values) < 2:
        return None
    numbers = values.astype(np.float64)
    step = float((numbers[-1] - numbers[0]) / (len(numbers) - 1))
    bend = float(np.abs(numbers - (numbers[0] + step * np.arange(len(numbers)))).max())
    rounding = float(np.spacing(np.abs(values).max())) if values.dtype.kind == "f" else 0.0
    allowed = min(max(MAX_BEND_PX * abs(step), rounding), MAX_ROUNDED_PX * abs(step))
    if not step or bend > allowed:
        pixels = f"up to {bend / abs(step):.2g} pixels beside even distances of {step:g}" if step else "all alike"
        raise _no_grid(data, f"has coordinates along {axis!r} that are {pixels}")
    return step


def _agreed(
    data: xarray.Dataset | xarray.DataArray, affine: Affine, stated: Affine, shape: tuple[int, int], *, must_fit: bool
) -> Affine:
    """Return the transform of coordinates that are centres of pixels, corrected by the transform that the array states.

    Coordinates on the corners of the stated pixels (as stackstac writes them) are corners, also of a part of the array. must_fit : refuse
    (GridError) a transform of other pixels, which is left over from another grid in the words of rioxarray.
    """
    if _same_corners(affine, stated, shape):
        return stated
    if _same_steps(affine, stated, shape):
        col, row = ~stated * (affine.c, affine.f)
        off = [
            abs(part - math.floor(part) - 0.5) for part in (col, row)
        ]  # 0.5 at a corner of the stated pixels, 0 at a centre
        if min(off) >= 0.5 - MAX_BEND_PX:
            return affine
        if max(off) <= MAX_BEND_PX:
            _check_upper_corners(data, stated, col, row)
            moved = Affine.translation(stated.a / 2, stated.e / 2) * affine  # also of rows that are turned round
            return stated if _same_corners(moved, stated, shape) else moved
    if not must_fit:
        return affine
    raise _no_grid(
        data,
        f"states a transform with pixels of {stated.a:g} × {stated.e:g} from ({stated.c:.10g}, {stated.f:.10g}), but coordinates with pixels "
        f"of {affine.a:g} × {affine.e:g} from ({affine.c:.10g}, {affine.f:.10g}). Remove attrs['transform'] if the coordinates are right",
    )


def _check_upper_corners(data: xarray.Dataset | xarray.DataArray, stated: Affine, col: float, row: float) -> None:
    """Refuse (GridError) coordinates of corners one row below the stated ones: lower left corners, or a part of upper left ones."""
    if round(col + 0.5) == 0 and round(row + 0.5) == 1:
        raise _no_grid(
            data,
            f"states a transform from ({stated.c:.10g}, {stated.f:.10g}), and its first coordinates are the lower left corner of that pixel, or "
            "the upper left one of the pixel below. Write the centres of the pixels as x and y (stackstac: xy_coords='center')",
        )


def _check_resolution(data: xarray.Dataset | xarray.DataArray, affine: Affine) -> None:
    """Refuse (GridError) coordinates at other distances than the array states as its resolution."""
    for word in ("resolution", "res"):
        try:
            sizes = np.abs(np.ravel(np.asarray(data.attrs.get(word, ()), np.float64)))
        except (TypeError, ValueError):  # a text such as "10 m"
            continue
        if sizes.size not in (1, 2) or not np.isfinite(sizes).all():
            continue
        if not np.allclose(sizes, np.abs([affine.a, affine.e])[: sizes.size], rtol=MAX_BEND_PX):
            raise _no_grid(
                data,
                f"states {word} = {data.attrs[word]!r}, but its coordinates are {affine.a:g} and {affine.e:g} apart. Remove what is wrong",
            )


def _own_affine(data: xarray.Dataset | xarray.DataArray) -> Affine | None:
    """Return the transform in the attributes of an array: of rasterio's order, as stackstac, xarray and GeoZarr write it, or GDAL's text."""
    if (affine := _affine(data.attrs.get("GeoTransform"))) is not None:
        return affine
    for word in TRANSFORMS:
        value = data.attrs.get(word)
        if value is not None:
            try:
                numbers = [float(number) for number in value][:6]
            except (TypeError, ValueError):
                continue
            affine = Affine(*numbers) if len(numbers) == 6 and all(map(math.isfinite, numbers)) else None
            if affine is not None and affine.determinant:
                return affine
    return None


def _same_steps(affine: Affine, other: Affine, shape: tuple[int, int]) -> bool:
    """Return whether two transforms have the same pixels over a raster, wherever they begin and in either direction."""
    a, e = math.copysign(other.a, affine.a), math.copysign(other.e, affine.e)
    begins = Affine(a, other.b, affine.c, other.d, e, affine.f)
    return _same_corners(affine, begins, shape, MAX_BEND_PX)


def _same_corners(affine: Affine, other: Affine, shape: tuple[int, int], px: float = SAME_PX) -> bool:
    """Return whether two transforms put the corners of a raster at the same place, to a part of a pixel."""
    back = ~other if other.determinant else Affine.identity()
    corners = ((0, 0), (shape[1], 0), (0, shape[0]))
    return all(math.dist(back * (affine * corner), corner) < px for corner in corners)


def _crs_and_transform(data: xarray.Dataset | xarray.DataArray, plane: tuple[str, str]) -> tuple[Any, Affine | None]:
    """Return the CRS and the transform stated with it, as rioxarray and odc-geo write them.

    odc-geo gets plain coordinates: it fails on other coordinates."""
    import odc.geo.xr  # noqa: F401, which adds `.odc`
    import xarray

    names: list[Hashable] = [name for name, value in data.coords.items() if not value.dims]
    words = {name: data.coords[name] for name in names}
    axes = {axis: (axis, [0.0, 1.0], dict(data[axis].attrs) if axis in data.coords else {}) for axis in plane}
    stand_in = xarray.DataArray(np.zeros((2, 2)), {**axes, **words}, plane, attrs=dict(data.attrs))
    mapping = data.encoding.get("grid_mapping")
    if isinstance(mapping, str):
        stand_in.encoding["grid_mapping"] = mapping
    try:
        crs = stand_in.odc.crs
    except ATTRIBUTE_ERRORS as error:
        raise _no_grid(data, f"has a CRS that cannot be read ({error})") from error
    own = _own_crs(data)
    codes = [None if stated is None else stated.proj.to_2d().to_epsg() for stated in (crs, own)]
    if None not in codes and codes[0] != codes[1]:
        raise _no_grid(
            data,
            f"has the CRS EPSG:{codes[0]}, and an attribute or coordinate states EPSG:{codes[1]}. Remove what is wrong, such as by drop_vars('epsg')",
        )
    crs = own if crs is None else crs
    texts = (value.attrs.get("GeoTransform") for value in words.values())
    return crs, next((affine for text in texts if (affine := _affine(text)) is not None), None)


def _own_crs(data: xarray.Dataset | xarray.DataArray) -> Any:
    """Return the CRS in the attributes or plain coordinates of an array as GeoZarr, STAC and stackstac call it; None without one.

    Raises GridError if it cannot be read."""
    from odc.geo.crs import CRS, CRSError

    stated = {str(name): value.item() for name, value in data.coords.items() if not value.dims} | dict(data.attrs)
    for word in ("proj:code", "proj:wkt2", "proj:epsg", "epsg"):
        if value := stated.get(word):
            try:
                return CRS(f"EPSG:{value}" if word.endswith("epsg") else str(value))
            except (CRSError, *ATTRIBUTE_ERRORS) as error:
                raise _no_grid(data, f"has {word} = {value!r}, no CRS that can be read ({error})") from error
    return None


def _affine(text: Any) -> Affine | None:
    """Return the transform of a text of six numbers as GDAL orders them; None of anything else."""
    try:
        numbers = [float(word) for word in str(text).split()]
    except ValueError:
        return None
    affine = Affine.from_gdal(*numbers) if len(numbers) == 6 and all(map(math.isfinite, numbers)) else None
    return affine if affine is not None and affine.determinant else None


def _no_grid(data: xarray.Dataset | xarray.DataArray, why: str) -> GridError:
    kind = type(data).__name__
    return GridError(
        f"the {kind} {why}: no even grid of pixels. Give it x and y (or longitude and latitude) as numbers at even distances."
    )
