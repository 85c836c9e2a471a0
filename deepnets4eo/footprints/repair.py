"""Geometries made valid, flat polygons on the Earth, with the reason for each row that cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from deepnets4eo.grid import FARTHEST_DEGREES
from deepnets4eo.outputs import ReasonCode
from deepnets4eo.polygons import off_the_earth
from deepnets4eo.reprojection import cut_at_antimeridian

FARTHEST = 1e9  # map units or pixels: no place on Earth is as far off, and geometry fails with such numbers


class Unusable(ReasonCode):
    """Reasons why a row of a file is no footprint."""

    EMPTY = "empty_geometry"
    NOT_FINITE = "coordinates_not_finite"
    BEYOND_EARTH = "coordinates_beyond_the_Earth"
    NO_POLYGON = "not_a_polygon"
    NO_AREA = "no_area"
    NO_BUILDING = "no_building_tag"  # of an area of OpenStreetMap
    INCOMPLETE = "nodes_not_in_the_file"  # of a way of OpenStreetMap


def usable_polygons(geometries: np.ndarray, crs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outlines (N,), the reason each row is unusable, else '', and which were mended."""
    geographic = crs is not None and crs.is_geographic
    reasons = np.full(len(geometries), "", dtype=object)
    outlines, high = geometries.copy(), shapely.get_coordinate_dimension(geometries) > 2
    outlines[high] = shapely.force_2d(outlines[high])
    reasons[shapely.is_missing(outlines) | shapely.is_empty(outlines)] = Unusable.EMPTY
    reasons[~finite(outlines) & (reasons == "")] = Unusable.NOT_FINITE
    limit = FARTHEST_DEGREES if geographic else FARTHEST
    reasons[farther_than(outlines, limit) & (reasons == "")] = Unusable.BEYOND_EARTH
    reasons[(shapely.get_dimensions(outlines) < 2) & (reasons == "")] = Unusable.NO_POLYGON
    outlines[reasons != ""] = shapely.Polygon()
    if crs is not None and not geographic:
        lost = off_the_earth(outlines, crs)
        reasons[lost], outlines[lost] = Unusable.BEYOND_EARTH, shapely.Polygon()
    if geographic:
        outlines = cut_at_antimeridian(outlines)
    outlines, broken = mend_polygons(outlines)
    reasons[shapely.is_empty(outlines) & (reasons == "")] = Unusable.NO_AREA
    return outlines, reasons, broken


def mend_polygons(outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return valid Polygons and MultiPolygons (N,), and which outlines were not valid (N,).

    Overlapping parts of one outline are united. Lines and points that the repair leaves over are removed.
    """
    outlines = outlines.copy()
    collections = shapely.get_type_id(outlines) == shapely.GeometryType.GEOMETRYCOLLECTION
    broken = ~shapely.is_valid(outlines) | collections
    for row in np.flatnonzero(broken):
        outlines[row] = _mended(outlines[row])
    outlines[shapely.is_missing(outlines) | (shapely.get_dimensions(outlines) < 2)] = shapely.Polygon()
    return outlines, broken


def _mended(shape: shapely.Geometry) -> shapely.Geometry:
    """Return the valid areas of a shape: rings and parts that overlap are united, holes are cut out."""
    areas = _areas(shape)
    united = shapely.make_valid(areas, method="structure", keep_collapsed=False)
    if united.is_empty:  # a ring that is its own hole
        united = shapely.make_valid(areas)
    return _areas(united)


def _areas(shape: shapely.Geometry) -> shapely.Geometry:
    parts = np.array([shape], object)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():  # collections may hold collections
        parts = shapely.get_parts(parts)
    areas = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return areas[0] if len(areas) == 1 else shapely.MultiPolygon(list(areas))


def finite(outlines: np.ndarray) -> np.ndarray:
    """Return (N,) whether all coordinates of an outline are finite."""
    xy, row = shapely.get_coordinates(outlines, return_index=True)
    finite = np.ones(len(outlines), bool)
    finite[row[~np.isfinite(xy).all(axis=1)]] = False
    return finite


def farther_than(outlines: np.ndarray, limit: float | tuple[float, float]) -> np.ndarray:
    """Return (N,) bool: whether a coordinate is further from 0 than `limit` (of x and y)."""
    bounds = np.abs(shapely.bounds(outlines))
    return np.asarray((np.maximum(bounds[:, :2], bounds[:, 2:]) > limit).any(axis=1))
