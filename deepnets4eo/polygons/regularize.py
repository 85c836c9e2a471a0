"""Right-angled outlines: sides turned to a building's own two directions, where that does little harm.

Takes polygons in metres; returns the same polygon where a right-angled one would not fit it.
"""

from __future__ import annotations

import math

import numpy as np
import shapely

MIN_IOU = 0.85
GOOD_IOU = 0.95  # so alike that no other direction need be tried
MAX_SHIFT = 3.0  # most a corner may leave the outline, in shortest sides: a wing at another angle would move it farther

Point = tuple[float, float]


def make_right_angled(
    simple: shapely.Polygon,
    min_side_m: float,
    traced: shapely.Polygon | None = None,
    min_iou: float = MIN_IOU,
) -> shapely.Polygon:
    """The polygon with only right angles, or as it is where those would not overlap it by `min_iou` or stray from it.

    Parameters
    ----------
    simple
        Outline in metres (any plane coordinates), holes allowed; sides begin at its corners.
    min_side_m
        Jogs shorter than this are smoothed away.
    traced
        The outline that `simple` is a simplification of; sides are fitted to all of its points.
    min_iou
        Least intersection over union with `traced`, 0–1.

    The sides follow the length-weighted mean direction of the outline's sides, or its minimum rotated rectangle's,
    whichever fits better.

    >>> leaning = shapely.Polygon([(0, 0), (10, 0.4), (9.7, 6.2), (0.2, 6)])
    >>> len(make_right_angled(leaning, 0.5).exterior.coords) - 1
    4
    """
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
    """The traced ring cut at the corners of the simple one: a list of points for each wall, ends included."""
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
    """Mean direction of the sides modulo 90°, in radians, weighted by length."""
    dx, dy = np.diff(shapely.get_coordinates(polygon.exterior), axis=0).T
    return float(np.angle(np.sum(np.hypot(dx, dy) * np.exp(4j * np.arctan2(dy, dx)))) / 4)


def _rectangle_angle(polygon: shapely.Polygon) -> float:
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(polygon))
    side = corners[1] - corners[0]
    return math.atan2(side[1], side[0])


def _square_polygon(walls: list[list[list[Point]]], angle: float, min_side_m: float) -> shapely.Polygon | None:
    """Right-angled polygon of rings given as walls, its sides along and across `angle`."""
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
    """An upright ring from leaning walls; empty where nothing with four sides is left.

    A level side is known by its height y, an upright one by its x: the mean over the walls that run on in the same
    direction, longer pieces weighing more. Plain Python: rings have a few dozen points.
    """
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
    for one, other in zip(wall, wall[1:], strict=False):
        length = abs(other[along] - one[along])
        total += length
        weighted += length * (one[across] + other[across]) / 2
    return (weighted / total if total else 0.0), total


def _merge(positions: list[float], weights: list[float], side: int, position: float, weight: float) -> None:
    """Take another piece of the same side into the mean."""
    total = weights[side] + weight
    positions[side] = (positions[side] * weights[side] + position * weight) / total
    weights[side] = total


def _without_jogs(positions: list[float], weights: list[float], min_side_m: float) -> list[float]:
    """Sides alternate level and upright; the shortest below the limit is removed, its neighbours become one side.

    Sides go in pairs, so the alternation holds.
    """
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
    """Where each side meets the next."""
    corners = []
    for side, (here, following) in enumerate(zip(positions, positions[1:] + positions[:1], strict=True)):
        level = (side % 2 == 0) == level_first
        corners.append((following, here) if level else (here, following))
    return corners


def _iou(one: shapely.Polygon, other: shapely.Polygon) -> float:
    common = shapely.intersection(one, other).area
    return float(common / (one.area + other.area - common))
