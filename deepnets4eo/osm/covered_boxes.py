"""Boxes around the area that a source covers, in its CRS: left, bottom, right, top; two for areas across 180° of longitude.

Takes the bounds of features or of a file. Returns a few boxes, and the part of them that is near an image.

A box from -179.9° to 179.9° is as wide as the world. It is useless for features that are all near 180°, and no
projection of an image can represent it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.crs import CRS

from deepnets4eo.grid import Grid, projected_extent

Boxes = NDArray[np.float64]

TURN, HALF_TURN = 360.0, 180.0  # degrees of longitude


def stated_boxes(stated: Any) -> Boxes:
    """Boxes (0 to 2, 4) of the bounds that a file states; none for missing ones, two for those from east to west of 180°."""
    bounds = [np.nan if value is None else float(value) for value in (stated if stated is not None else ())]
    if len(bounds) != 4 or not np.isfinite(bounds).all():
        return np.empty((0, 4))
    left, bottom, right, top = bounds
    if left <= right:
        return np.array([bounds])
    return np.array([(left, bottom, HALF_TURN, top), (-HALF_TURN, bottom, right, top)])


def west_and_east(bounds: Boxes) -> Boxes:
    """Return the box around the bounds (N, 4) with a middle west of 0 and the box around the others; none for missing bounds."""
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    west = bounds[:, 0] + bounds[:, 2] < 0
    parts = [part for part in (bounds[west], bounds[~west]) if len(part)]
    return np.array([(*part[:, :2].min(axis=0), *part[:, 2:].max(axis=0)) for part in parts]).reshape(-1, 4)


def may_cross(sides: Boxes) -> bool:
    """Return whether boxes of `west_and_east` may surround 180°: half the world is free between them, or one is missing."""
    return len(sides) < 2 or bool(sides[1, 0] - sides[0, 2] >= HALF_TURN)


def joined_boxes(boxes: Boxes, *, geographic: bool) -> Boxes:
    """Return one box around all; two that meet at 180° if one would be wider than half of the world, but they are not.

    geographic : whether they are in degrees."""
    if not len(boxes):
        return boxes
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    sides = west_and_east(boxes)
    if geographic and len(sides) == 2 and high[0] - low[0] > HALF_TURN and may_cross(sides):
        return np.array([(-HALF_TURN, low[1], sides[0, 2], high[1]), (sides[1, 0], low[1], HALF_TURN, high[1])])
    return np.array([(*low, *high)])


def near_boxes(boxes: Boxes, crs: Any, area: Grid) -> Boxes:
    """Return the intersection of boxes in degrees with the surroundings of a grid (no boxes, or more than before).

    Longitudes continue beyond ±180, so that nothing is cut there."""
    extent = projected_extent(area.extent, CRS(crs))
    if extent is None:
        return boxes
    lon, lat = np.array(extent.exterior.coords).T[:2]
    lon = lon[0] + (lon - lon[0] + HALF_TURN) % TURN - HALF_TURN
    low, high = np.array([lon.min(), lat.min()]), np.array([lon.max(), lat.max()])
    if high[0] - low[0] >= HALF_TURN:  # around a pole
        return boxes
    turned = np.concatenate([boxes + (turn, 0, turn, 0) for turn in (-TURN, 0, TURN)])
    lows, highs = np.maximum(turned[:, :2], 2 * low - high), np.minimum(turned[:, 2:], 2 * high - low)
    return np.column_stack([lows, highs])[(lows <= highs).all(axis=1)]
