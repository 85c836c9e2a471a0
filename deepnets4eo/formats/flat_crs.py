"""Coordinate reference systems in x and y alone: where pixels and outlines lie, whatever their heights refer to.

GeoTIFF and GeoPackage cannot hold a projected CRS with an axis of ellipsoidal heights.
"""

from __future__ import annotations

from typing import Any

PLANE_AXES = 2
PLANE = "metres"  # name of the plane without a place on the Earth
PLAIN_METRES = (
    f'ENGCRS["{PLANE}",EDATUM["unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
)


def flat_crs(crs: Any) -> Any:
    """The same CRS without its axis of ellipsoidal heights; any other, compound ones included, as it is.

    crs : of pyproj, or None. Compound CRSs can be held by files, and say what heights refer to.

    >>> import pyproj
    >>> flat_crs(pyproj.CRS("EPSG:4979")).to_epsg(), flat_crs(pyproj.CRS("EPSG:32633+5773")).name
    (4326, 'WGS 84 / UTM zone 33N + EGM96 height')
    """
    if crs is None or crs.is_compound or crs.is_geocentric or len(crs.axis_info) <= PLANE_AXES:
        return crs
    return crs.to_2d()


def without_heights(frame: Any) -> Any:
    """A table of outlines (geopandas) in its CRS without an axis of ellipsoidal heights; coordinates stay as they are."""
    flat = flat_crs(frame.crs)
    return frame if flat is frame.crs else frame.set_crs(flat, allow_override=True)
