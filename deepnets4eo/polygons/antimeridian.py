"""Shapes in degrees of longitude, cut at the antimeridian (RFC 7946, section 3.1.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats

if TYPE_CHECKING:
    import geopandas as gpd

HALF_TURN, TURN = 180.0, 360.0  # degrees


def in_degrees(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the features in WGS 84, each cut at the antimeridian if it crosses it; unchanged without a CRS."""
    if frame.crs is None:
        return frame
    there = frame.to_crs("EPSG:4326")
    return there.set_geometry(cut_at_antimeridian(there.geometry.to_numpy()), crs=there.crs)


def cut_at_antimeridian(shapes: NDArray[Any]) -> NDArray[Any]:
    """Return shapes (N,) with those that run the long way round, or beyond ±180, cut at the antimeridian.

    >>> parts = cut_at_antimeridian(np.array([shapely.box(179, 0, 182, 1)]))[0]
    >>> sorted(part.bounds for part in parts.geoms)
    [(-180.0, 0.0, -178.0, 1.0), (179.0, 0.0, 180.0, 1.0)]
    """
    shapes = shapes.copy()
    west, _, east, _ = shapely.bounds(shapes).T
    wide = east - west > HALF_TURN
    for row in np.flatnonzero(wide | (east > HALF_TURN) | (west < -HALF_TURN)):
        shapes[row] = _cut(shapely.transform(shapes[row], _eastward) if wide[row] else shapes[row])
    return shapes


def _cut(shape: shapely.Geometry) -> shapely.Geometry:
    """Cut a shape with longitudes of any turn into parts between −180 and 180; shapes keep their dimension."""
    dimension = shapely.get_dimensions(shape)
    shape = shape if shapely.is_valid(shape) else shapely.make_valid(shape)
    pieces = list[shapely.Geometry]()
    for turn in (-1, 0, 1):
        middle = TURN * turn
        inside = shapely.intersection(shape, shapely.box(middle - HALF_TURN, -90, middle + HALF_TURN, 90))
        parts = shapely.get_parts(shapely.get_parts(inside))
        kept = parts[shapely.get_dimensions(parts) == dimension]
        pieces += shapely.transform(kept, lambda xy, by=middle: xy - [by, 0.0]).tolist()
    return shapely.union_all(pieces) if pieces else shapely.Polygon()


def _eastward(xy: Floats) -> Floats:
    """Degrees (N, 2) with western longitudes as those beyond 180."""
    return np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + TURN, xy[:, 0]), xy[:, 1]])
