"""Oriented boxes (N, 5): row and column of the middle, length, width (pixels), heading (0 to π, columns to rows)."""

from __future__ import annotations

import math

import numpy as np
import shapely

from deepnets4eo.arrays import Boxes, Floats, Geometries

UNIT = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])  # corners along and across the heading


def corners(boxes: Boxes) -> Floats:
    """Corners (N, 4, 2) as (column, row).

    >>> corners(np.array([[10.0, 20.0, 4.0, 2.0, 0.0]]))[0].tolist()
    [[18.0, 9.0], [22.0, 9.0], [22.0, 11.0], [18.0, 11.0]]
    """
    along, across = UNIT[:, 0] * boxes[:, 2, None], UNIT[:, 1] * boxes[:, 3, None]
    cos, sin = np.cos(boxes[:, 4, None]), np.sin(boxes[:, 4, None])
    cols = boxes[:, 1, None] + along * cos - across * sin
    rows = boxes[:, 0, None] + along * sin + across * cos
    return np.stack([cols, rows], axis=2)


def outlines(boxes: Boxes) -> Geometries:
    """Shapely polygons (N,) in pixels."""
    return np.asarray(shapely.polygons(corners(boxes)), object).reshape(-1)


def boxes_around(polygons: Geometries) -> Boxes:
    """Return the smallest rectangle around each polygon (pixels)."""
    if not len(polygons):
        return np.zeros((0, 5))
    around = np.stack([_four_corners(shapely.minimum_rotated_rectangle(polygon)) for polygon in polygons])
    sides = np.diff(around, axis=1)[:, :2]
    lengths = np.hypot(sides[..., 0], sides[..., 1])
    long = lengths.argmax(axis=1)
    every = np.arange(len(around))
    heading = np.arctan2(sides[every, long, 1], sides[every, long, 0]) % math.pi
    middle = around[:, :4].mean(axis=1)
    return np.column_stack([middle[:, 1], middle[:, 0], lengths.max(axis=1), lengths.min(axis=1), heading])


def _four_corners(around: shapely.Geometry) -> Floats:
    """Return the closed ring of a rectangle (5, 2); lines and points become rectangles without width."""
    if around.geom_type == "Polygon":
        return shapely.get_coordinates(around.exterior)
    ends = shapely.get_coordinates(around)
    first, last = ends[0], ends[-1]
    return np.stack([first, last, last, first, first])
