"""Right-angled outlines: sides turned to a building's own two directions, where that does little harm.

Takes polygons in metres; gives back the same polygon where a right-angled one would not fit it.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

MIN_IOU = 0.85


def right_angled(polygon: shapely.Polygon, min_side_m: float, min_iou: float = MIN_IOU) -> shapely.Polygon:
    """The polygon with only right angles, or as it is where none of those overlaps it by `min_iou`.

    Parameters
    ----------
    polygon : outline in metres (any plane coordinates), holes allowed
    min_side_m : jogs shorter than this are smoothed away

    The sides follow the length-weighted mean direction of the outline's sides, or its minimum rotated rectangle's,
    whichever fits better.

    >>> leaning = shapely.Polygon([(0, 0), (10, 0.4), (9.7, 6.2), (0.2, 6)])
    >>> len(right_angled(leaning, 0.5).exterior.coords) - 1
    4
    """
    best, best_iou = polygon, min_iou
    for angle in (_dominant_angle(polygon), _rectangle_angle(polygon)):
        candidate = _squared(polygon, angle, min_side_m)
        if candidate is not None and (iou := _iou(candidate, polygon)) >= best_iou:
            best, best_iou = candidate, iou
    return best


def _dominant_angle(polygon: shapely.Polygon) -> float:
    """Mean direction of the sides modulo 90°, in radians, weighted by length."""
    dx, dy = np.diff(shapely.get_coordinates(polygon.exterior), axis=0).T
    return float(np.angle(np.sum(np.hypot(dx, dy) * np.exp(4j * np.arctan2(dy, dx)))) / 4)


def _rectangle_angle(polygon: shapely.Polygon) -> float:
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(polygon))
    side = corners[1] - corners[0]
    return float(np.arctan2(side[1], side[0]))


def _squared(polygon: shapely.Polygon, angle: float, min_side_m: float) -> shapely.Polygon | None:
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])  # row vectors times this are turned back by `angle`
    rings = []
    for ring in (polygon.exterior, *polygon.interiors):
        corners = _square_ring(shapely.get_coordinates(ring)[:-1] @ turn, min_side_m)
        if corners is None:
            return None
        rings.append(corners @ turn.T)
    squared = shapely.Polygon(rings[0], rings[1:])
    return squared if squared.is_valid and squared.area > 0 else None


def _square_ring(xy: NDArray[np.float64], min_side_m: float) -> NDArray[np.float64] | None:
    """An upright ring (n, 2) from a leaning one; None where nothing with four sides is left."""
    xy = xy[(xy != np.roll(xy, 1, axis=0)).any(axis=1)]  # a point given twice has no side between
    step = np.roll(xy, -1, axis=0) - xy
    level = np.abs(step[:, 0]) >= np.abs(step[:, 1])
    turns = np.flatnonzero(level != np.roll(level, 1))
    if len(turns) < 4:
        return None
    middle = np.roll(xy + step / 2, -turns[0], axis=0)
    level, step = np.roll(level, -turns[0]), np.roll(step, -turns[0], axis=0)
    starts = turns - turns[0]
    # A level side is known by its height (y), an upright one by its x; longer sides weigh more in the mean.
    weight = np.where(level, np.abs(step[:, 0]), np.abs(step[:, 1]))
    at = np.where(level, middle[:, 1], middle[:, 0])
    weights = np.add.reduceat(weight, starts)
    places = np.add.reduceat(weight * at, starts) / weights
    return _corners(_without_jogs(list(places), list(weights), min_side_m), level_first=bool(level[0]))


def _without_jogs(places: list[float], weights: list[float], min_side_m: float) -> list[float]:
    """Sides alternate level and upright; the shortest below the limit goes, its neighbours become one side.

    Sides go in pairs, so the alternation holds.
    """
    while len(places) > 4:
        lengths = np.abs(np.roll(places, -1) - np.roll(places, 1))  # a side runs between its two neighbours
        shortest = int(np.argmin(lengths))
        if lengths[shortest] >= min_side_m:
            break
        turn = (shortest - 1) // 2 * 2  # even, so that level stays level; brings all three sides inside the list
        places, weights = places[turn:] + places[:turn], weights[turn:] + weights[:turn]
        before, after = shortest - turn - 1, shortest - turn + 1
        total = weights[before] + weights[after]
        places[before] = (places[before] * weights[before] + places[after] * weights[after]) / total
        weights[before] = total
        del places[after - 1 : after + 1], weights[after - 1 : after + 1]
    return places


def _corners(places: list[float], *, level_first: bool) -> NDArray[np.float64]:
    """Where each side meets the next."""
    here, following = np.array(places), np.roll(places, -1)
    level = (np.arange(len(here)) % 2 == 0) == level_first
    return np.column_stack([np.where(level, following, here), np.where(level, here, following)])


def _iou(one: shapely.Polygon, other: shapely.Polygon) -> float:
    common = shapely.intersection(one, other).area
    return float(common / (one.area + other.area - common))
