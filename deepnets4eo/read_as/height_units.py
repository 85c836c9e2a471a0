"""Units and vertical references of heights. Slopes and volumes need metres, and surface models are brought to metres.

Heights refer to a geoid or levelling network, or to the ellipsoid; they differ by up to 100 m.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from odc.geo.geobox import GeoBox

from deepnets4eo.errors import InputError
from deepnets4eo.grid import metres_on_the_ground, utm_code
from deepnets4eo.rasters import metres_of

if TYPE_CHECKING:
    from deepnets4eo.rasters import Layer


SAME = 0.005  # lengths that differ by less count as equal: UTM and its like are within 0.1 %

ELLIPSOID = "the ellipsoid"


def vertical_datum(crs: Any) -> str | None:
    """Return the name of the vertical reference of heights in a CRS (pyproj); None if the CRS does not state one.

    >>> import pyproj
    >>> vertical_datum(pyproj.CRS("EPSG:32633+5773")), vertical_datum(pyproj.CRS("EPSG:4979")), vertical_datum(None)
    ('EGM96 geoid', 'the ellipsoid', None)"""
    if crs is None:
        return None
    if crs.is_bound:
        return vertical_datum(crs.source_crs)
    parts = [part.source_crs if part.is_bound else part for part in crs.sub_crs_list] if crs.is_compound else [crs]
    for part in parts:
        if part.is_vertical:
            name = part.datum.name if part.datum is not None else part.name
            return ELLIPSOID if "ellipsoid" in f"{name} {part.name}".lower() else name
    return ELLIPSOID if any(axis.direction == "up" for axis in crs.axis_info) and not crs.is_geocentric else None


def check_same_datum(first: Any, second: Any, sources: tuple[str, str]) -> None:
    """Refuse heights if both CRSs state a vertical reference and the references differ. Errors: InputError with a command."""
    datums = vertical_datum(first), vertical_datum(second)
    if None in datums or datums[0].casefold() == datums[1].casefold():  # type: ignore[union-attr]
        return
    raise InputError(
        f"the heights of {sources[0]} refer to {datums[0]}, those of {sources[1]} to {datums[1]}; expected one reference, as up to "
        f"100 m lie between them. Bring one to the other's, where PROJ has the grids (projsync): gdalwarp -s_srs "
        f"{_srs(second)} -t_srs {_srs(first)} {shlex.quote(sources[1])} OUT.tif; where a file states the wrong one, gdal_edit.py -a_srs."
    )


def _srs(crs: Any) -> str:
    """Return a CRS in the form that a command accepts."""
    if crs.to_epsg() is not None:
        return f"EPSG:{crs.to_epsg()}"
    codes = [part.to_epsg() for part in crs.sub_crs_list] if crs.is_compound else []
    return f"EPSG:{'+'.join(map(str, codes))}" if codes and None not in codes else shlex.quote(crs.name)


def in_metres(layer: Layer) -> Layer:
    """Return the layer of heights in metres: a unit that its band, its tags or its vertical CRS state is converted.

    Errors: InputError for a unit that is no length, and for heights that may be in the unit of the coordinates, with the commands.
    """
    unit, metres = _stated_unit(layer)
    if not unit:
        check_height_unit(layer.height_crs, _middle(layer), layer.source)
    if metres == 1:
        return layer
    grid = layer.grid
    if grid.crs is not None and grid.crs.proj.is_compound:  # the unit of its heights is that of the values no more
        layer = layer.with_grid(GeoBox(grid.shape, grid.affine, grid.crs.proj.to_2d()))
    return layer.with_factor(metres, "m")


def check_metres(layer: Layer) -> None:
    """Refuse a layer of heights that are, or may be, no metres. Errors: InputError with the commands."""
    unit, metres = _stated_unit(layer)
    if metres == 1 and unit:
        return
    check_height_unit(layer.height_crs, _middle(layer), layer.source)
    if metres == 1:
        return
    stored = layer.stored_values[0]
    first = layer.paths[0] if layer.paths else layer.source
    calc = "A" if stored.plain else f"(A*{stored.scale:.10g}+{stored.offset:.10g})"
    raise InputError(
        f"{layer.source} states that its heights are in {unit!r}; expected metres. Multiply them: `gdal_calc.py -A "
        f'{shlex.quote(first)} --type Float32 --calc="{calc}*{_metres_of(unit)}" --outfile=metres.tif`, or correct the '
        "unit: gdal_edit.py -units m."
    )


def _stated_unit(layer: Layer) -> tuple[str, float]:
    """Return the unit of heights and its metres: from the band, else the tags, else the vertical CRS; "" for none. Errors: InputError."""
    unit = layer.declared.unit
    axis = _height_axis(layer.height_crs)
    if not unit and axis is not None and _is_vertical(axis):
        return axis.unit_name, float(axis.unit_conversion_factor)
    metres = metres_of(unit) if unit else 1.0
    if metres is None:
        raise InputError(
            f"{layer.source} states that its heights are in {unit!r}; expected metres, or another unit of length. Give another raster, or "
            "correct the unit: gdal_edit.py -units m."
        )
    return unit, metres


def _metres_of(unit: str) -> str:
    """Metres of a unit in digits; "…" for an unknown one."""
    metres = metres_of(unit)
    return "…" if metres is None else f"{metres:.10g}"


def _middle(layer: Layer) -> tuple[float, float]:
    box = layer.grid.extent.boundingbox
    return (box.left + box.right) / 2, (box.bottom + box.top) / 2


def check_height_unit(crs: Any, position: tuple[float, float], source: str) -> None:
    """Refuse a surface model whose heights are not in metres, or may not be, by its CRS at a position (x, y).

    Without a vertical part, heights may be in its horizontal unit. Errors: InputError with the commands that convert
    it.
    """
    axis = _height_axis(crs)
    if axis is None or axis.unit_conversion_factor == 1:
        return
    stated = "has its heights in" if _is_vertical(axis) else "may have its heights in the unit of its coordinates,"
    metres = f"{axis.unit_conversion_factor:.10g}"
    raise InputError(
        f"{source} ({crs.name}) {stated} {axis.unit_name}; expected heights in metres, in a CRS in metres. Bring it to one "
        f"with `{_warp(crs, position, source, 'warped.tif')}`, and where its heights are no metres, multiply them: "
        f'`gdal_calc.py -A warped.tif --calc="A*{metres}" --outfile=metres.tif`. Where they are metres: gdal_edit.py -units m.'
    )


def are_metres(unit_m: float) -> bool:
    """Return whether a unit of length counts as the metre."""
    return abs(unit_m - 1) <= SAME


def check_ground_metres(crs: Any, position: tuple[float, float], source: str) -> None:
    """Refuse coordinates that are not metres on the ground, such as web map coordinates. Errors: InputError with the command."""
    unit_m = metres_on_the_ground(crs, position)
    if not are_metres(unit_m):
        raise InputError(
            f"{source} is in {crs.name}, where a unit is {unit_m:.3g} m on the ground; expected a CRS in metres, such as UTM. "
            f"Bring it to one, e.g. with `{_warp(crs, position, source, 'metres.tif')}`."
        )


def _warp(crs: Any, position: tuple[float, float], source: str, out: str) -> str:
    # GDAL converts heights of some CRS with a vertical part, not of others: so it shall convert none
    return f"gdalwarp -novshift -t_srs {utm_code(crs, position)} {shlex.quote(source)} {out}"


def _height_axis(crs: Any) -> Any:
    """Return the axis of a CRS that has the unit of heights; None without CRS, and if all axes are in degrees."""
    axes = [] if crs is None else crs.axis_info
    vertical = [axis for axis in axes if _is_vertical(axis)]
    if vertical:
        return vertical[0]
    return axes[0] if axes and not crs.is_geographic else None


def _is_vertical(axis: Any) -> bool:
    return bool(axis.direction == "up")
