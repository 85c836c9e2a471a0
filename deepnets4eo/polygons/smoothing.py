"""Pixel outlines made smooth: staircases cut at mid-side, and borders of touching regions simplified once for both.

Takes polygons on pixel corners, as `trace_regions` returns them; pure geometry, in pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.polygons.vertices import Vertices, from_rings, vertices
from deepnets4eo.zonal.outlines import ranges

ROW = 2**26  # rasters are far narrower than this, so y * ROW + x names a pixel corner


def without_stairs(polygons: NDArray[Any]) -> NDArray[Any]:
    """Pixel outlines with their one-pixel steps cut at mid-side; no point moves more than half a pixel.

    A slanting wall becomes a staircase of steps one pixel high or wide; the middles of its sides lie on the wall.
    Corners between longer sides are true ones and stay, and so do points where three regions meet.

    >>> without_stairs(np.array([shapely.Polygon([(0, 0), (0, 4), (1, 4), (1, 3), (4, 3), (4, 0)])]))[0].wkt
    'POLYGON ((0 0, 0 2, 0.5 4, 1 3.5, 2.5 3, 4 3, 4 0, 0 0))'
    """
    if not len(polygons):
        return polygons
    parts = vertices(polygons)
    xy, ring, before, after, owner = parts
    following = np.abs(xy[after] - xy).sum(axis=1)
    step = (np.minimum(following, following[before]) <= 1) & ~_meeting_points(parts)
    points = np.stack([xy, (xy + xy[after]) / 2], axis=1).reshape(-1, 2)  # vertex, middle of its side, vertex, …
    keep = np.stack([~step, step | step[after]], axis=1).reshape(-1)
    smooth = from_rings(points[keep], np.repeat(ring, 2)[keep], owner)
    return np.where(shapely.is_valid(smooth), smooth, polygons)


def with_shared_corners(polygons: NDArray[Any]) -> NDArray[Any]:
    """The same regions, where each also has the corners that touching regions have on its sides.

    Only then are the borders of neighbours the same points, and can be simplified once for both.
    """
    if not len(polygons):
        return polygons
    xy, ring, _, after, owner = vertices(polygons)
    counts, points = np.zeros(len(xy), np.int64), [np.zeros((0, 2))]
    sides = [np.zeros(0, np.int64)]
    for axis in (0, 1):  # sides along x, then sides along y
        along = np.flatnonzero(xy[:, 1 - axis] == xy[after, 1 - axis])
        corners = np.unique(xy[:, 1 - axis].astype(np.int64) * ROW + xy[:, axis].astype(np.int64))
        line = xy[along, 1 - axis].astype(np.int64) * ROW
        begin, end = xy[along, axis].astype(np.int64), xy[after[along], axis].astype(np.int64)
        first = np.searchsorted(corners, line + np.minimum(begin, end), "right")
        number = np.searchsorted(corners, line + np.maximum(begin, end), "left") - first
        across, at = np.divmod(corners[ranges(first, number)], ROW)
        points.append(np.column_stack([at, across] if axis == 0 else [across, at]).astype(float))
        sides.append(np.repeat(along, number))
        counts[along] = number
    extra, side = np.concatenate(points), np.concatenate(sides)
    distance = np.abs(extra - xy[side]).sum(axis=1)
    merged = np.concatenate([xy, extra])
    of_vertex = np.concatenate([np.arange(len(xy)), side])
    order = np.lexsort([np.concatenate([np.zeros(len(xy)), distance]), of_vertex])
    return from_rings(merged[order], ring[of_vertex[order]], owner)


def simplify_together(polygons: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """Simplify regions that share their corners so that common borders stay common (Visvalingam-Whyatt).

    tolerance : a point is removed when the triangle with its neighbours has less than its square as area
    """
    return shapely.coverage_simplify(polygons, tolerance)


def _meeting_points(parts: Vertices) -> NDArray[np.bool_]:
    """(V,) whether three or more borders end in a vertex."""
    key = parts.xy[:, 1].astype(np.int64) * ROW + parts.xy[:, 0].astype(np.int64)
    corners, number = np.unique(key, return_inverse=True)
    one, other = number, number[parts.after]
    borders = np.unique(np.minimum(one, other) * len(corners) + np.maximum(one, other))
    ends = np.concatenate(np.divmod(borders, len(corners)))
    return np.bincount(ends, minlength=len(corners))[number] > 2
