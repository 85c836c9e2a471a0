"""Footprints of STAC items: geometry or bbox as a shape in degrees within ±180°, split into parts if it crosses that meridian.

Takes polygons that are split at the meridian and polygons that are not, in longitudes of ±180 or 0–360.

Refuses what is no area in degrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

FARTHEST_DEG = 361.0  # longitudes up to which numbers are taken for degrees
ROUNDING_DEG = 1e-9
MAX_NESTED = 8  # collections within collections
SHAPE_ERRORS = (KeyError, TypeError, ValueError, IndexError, OverflowError, shapely.errors.ShapelyError)


def footprint(content: Mapping[str, Any]) -> Any:
    """Return the area of an item, or of its bbox if it has no geometry. Raises InputError if neither is an area in degrees.

    >>> ring = [[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]
    >>> item = {"geometry": {"type": "Polygon", "coordinates": [ring]}}
    >>> [part.bounds for part in shapely.get_parts(footprint(item))]
    [(-180.0, 0.0, -179.0, 1.0), (179.0, 0.0, 180.0, 1.0)]
    """
    with suppress(*SHAPE_ERRORS):
        shape = shapely.union_all([_in_degrees(rings) for rings in _polygons(content["geometry"])])
        if shape.area > 0:
            return shape
    with suppress(*SHAPE_ERRORS):
        sides = [float(value) for value in content["bbox"]]
        west, east, shape = sides[0], sides[len(sides) // 2], _of_bbox(sides)
        wide = 180 < east - west < 360 - ROUNDING_DEG  # the other way around, or around the Earth: it does not say
        if shape.area > 0 and not wide:
            return shape
    raise InputError("it has neither a geometry nor a bbox in degrees")


def _polygons(geometry: Mapping[str, Any], nested: int = 0) -> Iterator[Sequence[Any]]:
    """Yield the rings of each polygon, also within collections."""
    kind = geometry["type"]
    if kind == "Polygon":
        yield geometry["coordinates"]
    elif kind == "MultiPolygon":
        yield from geometry["coordinates"]
    elif kind == "GeometryCollection" and nested < MAX_NESTED:
        for member in geometry["geometries"]:
            yield from _polygons(member, nested + 1)


def _in_degrees(rings: Sequence[Any]) -> Any:
    """One polygon within ±180°. Errors: SHAPE_ERRORS."""
    outer = _continuous(_corners(rings[0]))
    holes = [_continuous(_corners(ring)) for ring in rings[1:]]
    middle = outer[:, 0].mean()
    for hole in holes:  # a hole may be written on the other side of the meridian
        hole[:, 0] += 360 * np.round((middle - hole[:, 0].mean()) / 360)
    return _within(shapely.make_valid(shapely.Polygon(outer, holes)))


def _corners(ring: Any) -> NDArray[np.float64]:
    """Return (n, 2) longitudes and latitudes of a ring, closed. Errors: ValueError for what is no place on Earth."""
    corners = np.array([(float(corner[0]), float(corner[1])) for corner in ring])
    if not (np.abs(corners[:, 0]) <= FARTHEST_DEG).all() or not (np.abs(corners[:, 1]) <= 90).all():
        raise ValueError("the coordinates are no degrees")
    return corners if (corners[0] == corners[-1]).all() else np.vstack([corners, corners[:1]])


def _continuous(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ring with each corner on the shorter way from the corner before it; around a pole the ring is closed there.

    A side of 360 degrees runs around the whole Earth, as in a global mosaic."""
    steps = np.diff(corners[:, 0])
    turns = np.where(np.abs(steps) < 360 - ROUNDING_DEG, -np.round(steps / 360), 0)
    longitudes = corners[:, 0] + 360 * np.concatenate([[0], np.cumsum(turns)])
    moved = np.column_stack([longitudes, corners[:, 1]])
    if abs(longitudes[-1] - longitudes[0]) < 180:
        return moved
    pole = 90.0 if corners[:, 1].mean() > 0 else -90.0
    return np.vstack([moved, [(longitudes[-1], pole), (longitudes[0], pole)], moved[:1]])


def _within(shape: Any) -> Any:
    """Return a shape whose longitudes may exceed ±180°, with its parts moved within this range."""
    west, _, east, _ = shape.bounds
    turns = range(int(np.floor((west + 180) / 360)), int(np.floor((east + 180) / 360)) + 1)
    parts = [
        shapely.transform(
            shapely.intersection(shape, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)),
            lambda corners, turn=turn: corners - (360 * turn, 0),
        )
        for turn in turns
    ]
    return shapely.union_all(parts)


def _of_bbox(sides: Sequence[float]) -> Any:
    """Return the area of a bbox of four or six numbers; its west is east of its east if it crosses 180°. Raises ValueError."""
    west, south, east, north = (*sides[:2], *sides[len(sides) // 2 :][:2])
    corners = _corners([(west, south), (east, south), (east, north), (west, north)])
    corners[:, 0] += [0, 360, 360, 0, 0] if west > east else 0
    return _within(shapely.Polygon(corners))
