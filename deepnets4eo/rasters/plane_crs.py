"""Coordinate reference systems in only x and y, without the axis of ellipsoidal heights, which GeoTIFF cannot store.

Without a CRS, lengths and areas are in pixels, unless their size in metres is stated (`--gsd`).
"""

from __future__ import annotations

from typing import Any

from deepnets4eo.grid import Grid

SQUARE_METRES = 10_000  # of a hectare

PLANE_AXES = 2
FIRST_CENTRE = 0.5  # of the first pixel, if pixels are counted from their centres
NO_POSITION = (  # of an array; files have their own advice
    "it has a CRS but no position in it: its coordinates are the numbers of its pixels. Give it coordinates on the ground or a grid, or leave its CRS out."
)
PLANE = "metres"  # name of the plane without a place on the Earth
PLAIN_METRES = (
    f'ENGCRS["{PLANE}",EDATUM["unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
)


def flat_crs(crs: Any) -> Any:
    """Return the pyproj CRS without its axis of ellipsoidal heights; compound CRS, which files can store, are unchanged.

    >>> import pyproj
    >>> flat_crs(pyproj.CRS("EPSG:4979")).to_epsg(), flat_crs(pyproj.CRS("EPSG:32633+5773")).name
    (4326, 'WGS 84 / UTM zone 33N + EGM96 height')
    """
    if crs is None or crs.is_compound or crs.is_geocentric or len(crs.axis_info) <= PLANE_AXES:
        return crs
    return crs.to_2d()


def is_plain_metres(crs: Any) -> bool:
    """Return whether a pyproj CRS is the plane in metres without a place on the Earth."""
    return crs is not None and crs.is_engineering and crs.name == PLANE


def without_heights(frame: Any) -> Any:
    """Return a geopandas table whose CRS has no axis of ellipsoidal heights; coordinates stay unchanged."""
    flat = flat_crs(frame.crs)
    return frame if flat is frame.crs else frame.set_crs(flat, allow_override=True)


def is_placed(grid: Grid) -> bool:
    """Return whether a grid is georeferenced on the Earth: neither plain pixels nor a local plane."""
    return grid.crs is not None and not grid.crs.proj.is_engineering


def counts_pixels(grid: Grid) -> bool:
    """Return whether the coordinates of a grid are numbers of its pixels: from 0, or from their centres, in steps of 1.

    In degrees such a grid is a place, so there only the identity counts.

    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> grids = [GeoBox((4, 4), Affine(1, 0, x, 0, step, x), "EPSG:32633") for x, step in ((0, 1), (-0.5, 1), (0, -1), (500_000, -1))]
    >>> [counts_pixels(grid) for grid in grids]
    [True, True, True, False]
    """
    affine = grid.affine
    if affine.is_identity or grid.crs is None or grid.crs.geographic:
        return bool(affine.is_identity)
    is_unit = (affine.a, affine.b, affine.d, abs(affine.e)) == (1.0, 0.0, 0.0, 1.0)
    return is_unit and max(abs(affine.c), abs(affine.f)) <= FIRST_CENTRE


def length_unit(grid: Grid) -> str:
    """Return the unit of lengths on a grid: "m", or "px" without a CRS."""
    return "px" if grid.crs is None else "m"


def areas_in_pixels(figures: Any) -> Any:
    """Figures for JSON measured without a CRS, where a pixel counted as 1 m²: those in hectares and m² are pixels, and called so.

    >>> areas_in_pixels({"changed_ha": 1.5, "least_m2": 4, "share": 0.1})
    {'changed_px': 15000.0, 'least_px': 4, 'share': 0.1}
    """
    if not isinstance(figures, dict):
        return figures
    renamed: dict[str, Any] = {}
    for name, value in figures.items():
        if "_ha" in name:
            renamed[name.replace("_ha", "_px")] = _times(value, SQUARE_METRES)
        else:
            renamed[name.removesuffix("_m2") + "_px" if name.endswith("_m2") else name] = areas_in_pixels(value)
    return renamed


def _times(value: Any, factor: float) -> Any:
    if isinstance(value, dict):
        return {name: _times(part, factor) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_times(part, factor) for part in value]
    return value if value is None else value * factor
