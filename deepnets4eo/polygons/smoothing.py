"""Outlines of pixels as people draw them: staircases cut, common borders kept common, right angles, and no gaps at borders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.polygons.vertices import Vertices, from_rings, vertices
from deepnets4eo.zonal.outlines import ranges

ROW = 2**26  # rasters are far narrower than this, so y * ROW + x names a pixel corner

SLIVER_M = 0.05  # closes the cracks between an outline and what it grew by

MIN_IOU = 0.85
GOOD_IOU = 0.95  # so alike that no other direction need be tried
MAX_SHIFT = 3.0  # most a corner may leave the outline, in shortest sides: a wing at another angle would move it farther

Point = tuple[float, float]


def without_stairs(polygons: NDArray[Any]) -> NDArray[Any]:
    """Pixel outlines with steps of one pixel cut at mid-side; true corners and meetings of three regions stay."""
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
    """Add to each region the corners of touching regions on its sides."""
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
    """Simplify regions with shared corners, borders alike (Visvalingam-Whyatt): triangles below tolerance² go."""
    return shapely.coverage_simplify(polygons, tolerance)


def _meeting_points(parts: Vertices) -> NDArray[np.bool_]:
    """Return (V,) whether three or more borders end in a vertex."""
    key = parts.xy[:, 1].astype(np.int64) * ROW + parts.xy[:, 0].astype(np.int64)
    corners, number = np.unique(key, return_inverse=True)
    one, other = number, number[parts.after]
    borders = np.unique(np.minimum(one, other) * len(corners) + np.maximum(one, other))
    ends = np.concatenate(np.divmod(borders, len(corners)))
    return np.bincount(ends, minlength=len(corners))[number] > 2


def grow_into_borders(outlines: NDArray[Any], borders: NDArray[Any], reach_m: float) -> NDArray[Any]:
    """Add to each outline the nearby parts of the borders.

    Parameters
    ----------
    outlines : (N,) polygons, metres
    borders : (B,) polygons of the border class, metres
    reach_m : how far an outline grows: half the width of the borders

    Returns
    -------
    (N,) valid polygons; no polygon overlaps another more than before, and earlier ones grow first.

    Examples
    --------
    >>> houses = np.array([shapely.box(0, 0, 8, 8), shapely.box(10, 0, 18, 8)])
    >>> grown = grow_into_borders(houses, np.array([shapely.box(8, 0, 10, 8)]), 1.0)
    >>> [round(float(area)) for area in shapely.area(grown)]
    [72, 72]
    """
    grown = outlines.copy()
    if not len(outlines) or not len(borders):
        return grown
    near, border = shapely.STRtree(borders).query(outlines, predicate="dwithin", distance=SLIVER_M)
    tree = shapely.STRtree(outlines)
    for row in np.unique(near):
        room = shapely.union_all(borders[border[near == row]])
        reach = shapely.buffer(outlines[row], reach_m, join_style="mitre")
        beside = tree.query(shapely.buffer(outlines[row], 2 * reach_m))
        others = shapely.union_all(grown[beside[beside != row]])
        added = shapely.difference(shapely.intersection(room, reach), others)
        with np.errstate(divide="ignore", invalid="ignore"):  # sides of next to no length; the result is made valid
            wider = shapely.buffer(shapely.union(outlines[row], added), SLIVER_M, join_style="mitre")
            grown[row] = _largest(shapely.buffer(wider, -SLIVER_M, join_style="mitre"), outlines[row])
    return grown


def _largest(shape: Any, instead: Any) -> Any:
    """Return the largest polygon of a shape, made valid, or `instead` if there is none."""
    # A polygon that shrank can touch itself: a union with it would fail. Made valid, parts can have parts of their own.
    pieces = shapely.get_parts(shapely.get_parts(shapely.make_valid(shape)))
    pieces = pieces[(shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(pieces)]
    return pieces[np.argmax(shapely.area(pieces))] if len(pieces) else instead


def make_right_angled(
    simple: shapely.Polygon, min_side_m: float, traced: shapely.Polygon | None = None, min_iou: float = MIN_IOU
) -> shapely.Polygon:
    """Return the polygon (metres) with only right angles; unchanged if the result would overlap it by less than `min_iou`.

    Jogs below `min_side_m` are removed; sides fit all points of `traced`, in the direction of its sides or its smallest rectangle."""
    traced = simple if traced is None else traced
    walls = [_walls(*rings) for rings in zip(_rings(simple), _rings(traced), strict=True)]
    best, best_iou = simple, min_iou
    for direction in (_dominant_angle, _rectangle_angle):
        candidate = _square_polygon(walls, direction(simple), min_side_m)
        if candidate is None or shapely.hausdorff_distance(candidate, traced) > MAX_SHIFT * min_side_m:
            continue
        if (iou := _iou(candidate, traced)) >= best_iou:
            best, best_iou = candidate, iou
        if best_iou >= GOOD_IOU:
            break
    return best


def _rings(polygon: shapely.Polygon) -> list[list[Point]]:
    """Shell and holes as points, not closed."""
    return [[(x, y) for x, y in ring.coords[:-1]] for ring in (polygon.exterior, *polygon.interiors)]


def _walls(simple: list[Point], traced: list[Point]) -> list[list[Point]]:
    """Cut the traced ring at the corners of the simple ring; return the points of each wall, ends included."""
    corners = set(simple)
    begin = next((position for position, point in enumerate(traced) if point in corners), None)
    if begin is None:
        return _walls(simple, simple)
    walls: list[list[Point]] = []
    wall = [traced[begin]]
    for point in traced[begin + 1 :] + traced[: begin + 1]:
        wall.append(point)
        if point in corners:
            walls.append(wall)
            wall = [point]
    return walls


def _dominant_angle(polygon: shapely.Polygon) -> float:
    """Mean direction of the sides modulo 90°, radians, by length."""
    dx, dy = np.diff(shapely.get_coordinates(polygon.exterior), axis=0).T
    return float(np.angle(np.sum(np.hypot(dx, dy) * np.exp(4j * np.arctan2(dy, dx)))) / 4)


def _rectangle_angle(polygon: shapely.Polygon) -> float:
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(polygon))
    side = corners[1] - corners[0]
    return math.atan2(side[1], side[0])


def _square_polygon(walls: list[list[list[Point]]], angle: float, min_side_m: float) -> shapely.Polygon | None:
    """Right-angled polygon of rings of walls, its sides along and across `angle`."""
    cos, sin = math.cos(angle), math.sin(angle)
    rings = []
    for ring in walls:
        upright = [[(x * cos + y * sin, y * cos - x * sin) for x, y in wall] for wall in ring]
        corners = _square_ring(upright, min_side_m)
        if not corners:
            return None
        rings.append([(x * cos - y * sin, x * sin + y * cos) for x, y in corners])
    squared = shapely.Polygon(rings[0], rings[1:])
    return squared if squared.is_valid and squared.area > 0 else None


def _square_ring(walls: list[list[Point]], min_side_m: float) -> list[Point]:
    """Return an upright ring from leaning walls, empty without four sides; each side is at the weighted mean of its walls."""
    levels: list[bool] = []
    positions: list[float] = []
    weights: list[float] = []
    for wall in walls:
        (x0, y0), (x1, y1) = wall[0], wall[-1]
        level = abs(x1 - x0) >= abs(y1 - y0)
        position, weight = _fit(wall, level=level)
        if not weight:
            continue
        if not levels or levels[-1] != level:
            levels.append(level)
            positions.append(position)
            weights.append(weight)
        else:
            _merge(positions, weights, len(positions) - 1, position, weight)
    if len(levels) < 4:
        return []
    if len(levels) % 2:  # the last side runs on in the first
        _merge(positions, weights, 0, positions.pop(), weights.pop())
    return _corners(_without_jogs(positions, weights, min_side_m), level_first=levels[0])


def _fit(wall: list[Point], *, level: bool) -> tuple[float, float]:
    """Mean position of a wall across its direction, and its length along it."""
    along, across = (0, 1) if level else (1, 0)
    total = weighted = 0.0
    for start, end in zip(wall, wall[1:], strict=False):
        length = abs(end[along] - start[along])
        total += length
        weighted += length * (start[across] + end[across]) / 2
    return (weighted / total if total else 0.0), total


def _merge(positions: list[float], weights: list[float], side: int, position: float, weight: float) -> None:
    """Take another piece of the same side into the mean."""
    total = weights[side] + weight
    positions[side] = (positions[side] * weights[side] + position * weight) / total
    weights[side] = total


def _without_jogs(positions: list[float], weights: list[float], min_side_m: float) -> list[float]:
    """Sides alternate level and upright; while the shortest is below the limit, it goes and its neighbours become one."""
    while (count := len(positions)) > 4:
        # A side runs between its two neighbours.
        length, shortest = min(
            (abs(positions[(side + 1) % count] - positions[side - 1]), side) for side in range(count)
        )
        if length >= min_side_m:
            break
        turn = (shortest - 1) // 2 * 2  # even, so that level stays level; brings all three sides inside the list
        positions, weights = positions[turn:] + positions[:turn], weights[turn:] + weights[:turn]
        before, after = shortest - turn - 1, shortest - turn + 1
        _merge(positions, weights, before, positions[after], weights[after])
        del positions[after - 1 : after + 1], weights[after - 1 : after + 1]
    return positions


def _corners(positions: list[float], *, level_first: bool) -> list[Point]:
    """Return the intersection of each side with the next."""
    corners = []
    for side, (here, following) in enumerate(zip(positions, positions[1:] + positions[:1], strict=True)):
        level = (side % 2 == 0) == level_first
        corners.append((following, here) if level else (here, following))
    return corners


def _iou(one: shapely.Polygon, other: shapely.Polygon) -> float:
    try:
        common = shapely.intersection(one, other).area
    except (
        shapely.errors.GEOSException
    ):  # coordinates that differ from 0 by less than rounding: such a candidate is not taken
        return 0.0
    return float(common / (one.area + other.area - common))
