"""Distances between rectangles and points of a plan, in compiled loops: what may stand where.

Rectangles are rows (x, y, length, width, angle), metres and radians of the long axis. Distances are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Rects = NDArray[np.float64]

Rectangles = NDArray[np.float64]
CELL_M = 10.0
TOUCH_M = 0.06  # walls that share a line do not count as an overlap
OUTLINE = ("x", "y", "length", "width", "angle")


def outline_rows(rows: NDArray[Any]) -> Rectangles:
    """Return the rectangles (N, 5) of rows of a table: x, y, length, width in metres, angle in radians."""
    return np.stack([rows[name] for name in OUTLINE], axis=1).astype(np.float64)


def keep_apart(
    candidates: Rectangles,
    taken: Rectangles,
    gap_m: float,
    groups: NDArray[np.int64] | None = None,
    taken_groups: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Return (N,) bool: rectangles are accepted in their order as long as they keep `gap_m` from all before them and
    from those taken. At most one of each group is accepted; a candidate ignores taken ones of its own group."""
    own = np.arange(len(candidates)) if groups is None else np.asarray(groups, np.int64)
    other = np.full(len(taken), -1) if taken_groups is None else np.asarray(taken_groups, np.int64)
    starts = np.arange(len(candidates) + 1)
    return _accept(np.ascontiguousarray(candidates), starts, np.ascontiguousarray(taken), float(gap_m), own, other)


def keep_whole(parts: Rectangles, owner: NDArray[Any], taken: Rectangles) -> NDArray[np.bool_]:
    """Return (buildings,) bool: buildings of several parts (N, 5) are accepted in their order as long as no part
    overlaps an earlier building or what stands. `owner` (N,) is the building of each part."""
    count = int(owner.max()) + 1 if len(owner) else 0
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))])
    sorted_parts = parts[np.argsort(owner, kind="stable")]
    none = np.full(len(taken), -1)
    return _accept(sorted_parts, starts, np.ascontiguousarray(taken), -TOUCH_M, np.arange(count), none)


@njit(cache=True, nogil=True)
def _is_free(j, everything, before, cells, columns, listed, gap_m, group, taken_groups):  # type: ignore[no-untyped-def]
    """Whether a rectangle keeps its distance from all that is listed in its cells."""
    head, following, owner = listed
    for row in range(cells[j, 2], cells[j, 3] + 1):
        for column in range(cells[j, 0], cells[j, 1] + 1):
            entry = head[row * columns + column]
            while entry >= 0:
                other = owner[entry]
                ignored = other < before and taken_groups[other] == group
                if not ignored and overlap(everything[j], everything[other], gap_m):
                    return False
                entry = following[entry]
    return True


@njit(cache=True, nogil=True)
def _list_in_cells(j, cells, columns, listed, last):  # type: ignore[no-untyped-def]
    """List a rectangle in all cells that it touches; `last` entries are there before."""
    head, following, owner = listed
    for row in range(cells[j, 2], cells[j, 3] + 1):
        for column in range(cells[j, 0], cells[j, 1] + 1):
            owner[last], following[last] = j, head[row * columns + column]
            head[row * columns + column] = last
            last += 1
    return last


@njit(cache=True, nogil=True)
def _accept(parts, starts, taken, gap_m, groups, taken_groups):  # type: ignore[no-untyped-def]
    """Which things can stay; parts `starts[i]` to `starts[i + 1]` belong to thing i. What stands is listed in cells:
    `head` of a cell, `following` entry, `owner` of an entry."""
    before = len(taken)
    everything = np.concatenate((taken, parts))
    cells, columns, lines = _cells(everything, gap_m)
    capacity = 0
    for j in range(len(everything)):
        capacity += (cells[j, 1] - cells[j, 0] + 1) * (cells[j, 3] - cells[j, 2] + 1)
    listed = np.full(columns * lines, -1, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    last = 0
    for j in range(before):
        last = _list_in_cells(j, cells, columns, listed, last)
    accepted = np.zeros(len(groups), np.bool_)
    used = np.zeros(groups.max() + 1 if len(groups) else 0, np.bool_)
    for i in range(len(groups)):
        if used[groups[i]]:
            continue
        first, end = before + starts[i], before + starts[i + 1]
        free = True
        for j in range(first, end):
            free = free and _is_free(j, everything, before, cells, columns, listed, gap_m, groups[i], taken_groups)
        if free:
            accepted[i] = used[groups[i]] = True
            for j in range(first, end):
                last = _list_in_cells(j, cells, columns, listed, last)
    return accepted


@njit(cache=True, nogil=True)
def _cells(rectangles, gap_m):  # type: ignore[no-untyped-def]
    """First and last column and row of the cells that each rectangle touches; numbers of columns and rows."""
    limits = np.empty((len(rectangles), 4))
    for j in range(len(rectangles)):
        cosine, sine = abs(np.cos(rectangles[j, 4])), abs(np.sin(rectangles[j, 4]))
        half_x = (rectangles[j, 2] * cosine + rectangles[j, 3] * sine) / 2 + gap_m
        half_y = (rectangles[j, 2] * sine + rectangles[j, 3] * cosine) / 2 + gap_m
        limits[j, 0], limits[j, 1] = rectangles[j, 0] - half_x, rectangles[j, 0] + half_x
        limits[j, 2], limits[j, 3] = rectangles[j, 1] - half_y, rectangles[j, 1] + half_y
    cells = np.zeros((len(rectangles), 4), np.int64)
    if not len(rectangles):
        return cells, 1, 1
    low_x, low_y = limits[:, 0].min(), limits[:, 2].min()
    for j in range(len(rectangles)):
        cells[j, 0], cells[j, 1] = int((limits[j, 0] - low_x) / CELL_M), int((limits[j, 1] - low_x) / CELL_M)
        cells[j, 2], cells[j, 3] = int((limits[j, 2] - low_y) / CELL_M), int((limits[j, 3] - low_y) / CELL_M)
    return cells, cells[:, 1].max() + 1, cells[:, 3].max() + 1


@njit(cache=True, nogil=True)
def overlap(one, other, gap_m):  # type: ignore[no-untyped-def]
    """Whether no axis of the two rectangles separates them by the gap."""
    dx, dy = other[0] - one[0], other[1] - one[1]
    reach = 0.5 * (one[2] + one[3] + other[2] + other[3]) + gap_m
    if abs(dx) > reach or abs(dy) > reach:
        return False
    c1, s1, c2, s2 = np.cos(one[4]), np.sin(one[4]), np.cos(other[4]), np.sin(other[4])
    same, cross = abs(c1 * c2 + s1 * s2), abs(c1 * s2 - s1 * c2)
    l1, w1, l2, w2 = one[2] / 2, one[3] / 2, other[2] / 2, other[3] / 2
    return not (
        abs(dx * c1 + dy * s1) >= l1 + l2 * same + w2 * cross + gap_m
        or abs(dy * c1 - dx * s1) >= w1 + l2 * cross + w2 * same + gap_m
        or abs(dx * c2 + dy * s2) >= l2 + l1 * same + w1 * cross + gap_m
        or abs(dy * c2 - dx * s2) >= w2 + l1 * cross + w1 * same + gap_m
    )


def distance_m(x: NDArray[Any], y: NDArray[Any], rectangles: Rectangles, limit_m: float = 12.0) -> NDArray[np.float64]:
    """Return the distance (N,) in metres of points from the nearest rectangle, 0 inside one and at most `limit_m`."""
    return _distance(_flat(x), _flat(y), np.ascontiguousarray(rectangles), float(limit_m))


def _flat(values: NDArray[Any]) -> NDArray[np.float64]:
    """One memory layout for the compiled loops, which would be compiled anew for another."""
    return np.ascontiguousarray(values, np.float64)


@njit(cache=True, nogil=True)
def _distance(x, y, rectangles, limit_m):  # type: ignore[no-untyped-def]
    nearest = np.full(len(x), limit_m)
    order, start, columns, low_x, low_y = _sort_points(x, y)
    lines = (len(start) - 1) // columns
    for j in range(len(rectangles)):
        middle_x, middle_y, length, width, angle = rectangles[j]
        cosine, sine = np.cos(angle), np.sin(angle)
        half_x = (length * abs(cosine) + width * abs(sine)) / 2 + limit_m
        half_y = (length * abs(sine) + width * abs(cosine)) / 2 + limit_m
        first, last = _span(middle_x - half_x - low_x, middle_x + half_x - low_x, columns)
        for line in range(*_span(middle_y - half_y - low_y, middle_y + half_y - low_y, lines)):
            for k in range(start[line * columns + first], start[line * columns + last]):
                i = order[k]
                dx, dy = x[i] - middle_x, y[i] - middle_y
                along = max(abs(dx * cosine + dy * sine) - length / 2, 0.0)
                across = max(abs(dy * cosine - dx * sine) - width / 2, 0.0)
                nearest[i] = min(nearest[i], np.sqrt(along * along + across * across))
    return nearest


@njit(cache=True, nogil=True)
def _sort_points(x, y):  # type: ignore[no-untyped-def]
    """Points in the order of their cells; where each cell starts in it; number of columns; corner of the cells."""
    if not len(x):
        return np.zeros(0, np.int64), np.zeros(2, np.int64), 1, 0.0, 0.0
    low_x, low_y = x.min(), y.min()
    columns, lines = int((x.max() - low_x) / CELL_M) + 1, int((y.max() - low_y) / CELL_M) + 1
    start = np.zeros(columns * lines + 1, np.int64)
    cell = np.empty(len(x), np.int64)
    for i in range(len(x)):
        cell[i] = int((y[i] - low_y) / CELL_M) * columns + int((x[i] - low_x) / CELL_M)
        start[cell[i] + 1] += 1
    start = np.cumsum(start)
    order, fill = np.empty(len(x), np.int64), start.copy()
    for i in range(len(x)):
        order[fill[cell[i]]] = i
        fill[cell[i]] += 1
    return order, start, columns, low_x, low_y


@njit(cache=True, nogil=True)
def _span(low, high, count):  # type: ignore[no-untyped-def]
    """First cell of a range and the one after its last, within the cells there are."""
    first, last = int(np.floor(low / CELL_M)), int(np.floor(high / CELL_M)) + 1
    return min(max(first, 0), count), min(max(last, 0), count)


def top_area(x: NDArray[Any], y: NDArray[Any], areas: NDArray[Any]) -> NDArray[np.int32]:
    """Return the row (N,) of the area that lies on top at each point, −1 where there is only the ground of the plan."""
    return _top_area(_flat(x), _flat(y), outline_rows(areas), np.ascontiguousarray(areas["shape"]))


@njit(cache=True, nogil=True)
def _top_area(x, y, rectangles, shapes):  # type: ignore[no-untyped-def]
    top = np.full(len(x), -1, np.int32)
    order, start, columns, low_x, low_y = _sort_points(x, y)
    lines = (len(start) - 1) // columns
    for j in range(len(rectangles)):
        middle_x, middle_y, length, width, angle = rectangles[j]
        cosine, sine = np.cos(angle), np.sin(angle)
        half_x = (length * abs(cosine) + width * abs(sine)) / 2
        half_y = (length * abs(sine) + width * abs(cosine)) / 2
        first, last = _span(middle_x - half_x - low_x, middle_x + half_x - low_x, columns)
        for line in range(*_span(middle_y - half_y - low_y, middle_y + half_y - low_y, lines)):
            for k in range(start[line * columns + first], start[line * columns + last]):
                i = order[k]
                dx, dy = x[i] - middle_x, y[i] - middle_y
                along, across = 2 * (dx * cosine + dy * sine) / length, 2 * (dy * cosine - dx * sine) / width
                if (along * along + across * across < 1) if shapes[j] else max(abs(along), abs(across)) < 1:
                    top[i] = j
    return top


def rect_rows(x: Any, y: Any, length: Any, width: Any, angle: Any = 0.0) -> Rects:
    """Return rectangles (N, 5) from centres and sides in metres and the angle of the length in radians; numbers are
    repeated."""
    columns = (x, y, length, width, angle)
    sizes = [np.size(column) for column in columns]
    rows = np.empty((max(sizes) if min(sizes) else 0, 5))
    for axis, column in enumerate(columns):
        rows[:, axis] = column
    return rows


def within(base: Rects, u: Any, v: Any, length: Any, width: Any, angle: Any = 0.0) -> Rects:
    """Return rectangles (N, 5) given in the frames of others: u along the length of each base, v across it, from its
    centre, in metres; the angle is against the base."""
    cosine, sine = np.cos(base[:, 4]), np.sin(base[:, 4])
    along, across = np.asarray(u, np.float64), np.asarray(v, np.float64)
    x = base[:, 0] + along * cosine - across * sine
    y = base[:, 1] + along * sine + across * cosine
    return rect_rows(x, y, length, width, base[:, 4] + angle)


def turn_about_origin(rects: Rects, angle: float) -> Rects:
    """Return the rectangles (N, 5) turned about (0, 0) by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turned_rects = rects.copy()
    turned_rects[:, 0] = rects[:, 0] * cosine - rects[:, 1] * sine
    turned_rects[:, 1] = rects[:, 0] * sine + rects[:, 1] * cosine
    turned_rects[:, 4] += angle
    return turned_rects


def widen(rects: Rects, margin_m: float) -> Rects:
    """Return the rectangles (N, 5), wider by `margin_m` on both sides of their length."""
    wide = rects.copy()
    wide[:, 3] += 2 * margin_m
    return wide
