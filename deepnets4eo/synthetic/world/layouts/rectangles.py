"""Rectangles as rows (x, y, length, width, angle): corners, moves, and which of them touch.

Positions and sizes are metres, angles radians of the length; arrays of shape (N, 5), float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.layouts.clearance import overlap

Rects = NDArray[np.float64]
TOUCH_M = 0.06  # walls that share a line do not count as an overlap


def rect_rows(x: Any, y: Any, length: Any, width: Any, angle: Any = 0.0) -> Rects:
    """Rows of rectangles from their columns; numbers are repeated.

    Parameters
    ----------
    x, y
        Centres, (N,) or numbers, metres.
    length, width
        Sides along and across the angle, metres.
    angle
        Of the length, radians.

    Returns
    -------
    (N, 5) float64.
    """
    columns = (x, y, length, width, angle)
    sizes = [np.size(column) for column in columns]
    rows = np.empty((max(sizes) if min(sizes) else 0, 5))
    for axis, column in enumerate(columns):
        rows[:, axis] = column
    return rows


def within(base: Rects, u: Any, v: Any, length: Any, width: Any, angle: Any = 0.0) -> Rects:
    """Rectangles in the frames of others: u along the length of each base, v across it, from its centre.

    Parameters
    ----------
    base
        Frames, (N, 5).
    u, v
        Centres in the frames, (N,) or numbers, metres.
    length, width
        Sides, metres.
    angle
        Against the base, radians.

    Returns
    -------
    (N, 5) float64.
    """
    cosine, sine = np.cos(base[:, 4]), np.sin(base[:, 4])
    along, across = np.asarray(u, np.float64), np.asarray(v, np.float64)
    x = base[:, 0] + along * cosine - across * sine
    y = base[:, 1] + along * sine + across * cosine
    return rect_rows(x, y, length, width, base[:, 4] + angle)


def turn_about_origin(rects: Rects, angle: float) -> Rects:
    """The same rectangles, turned about (0, 0).

    Parameters
    ----------
    rects
        (N, 5).
    angle
        Radians.

    Returns
    -------
    (N, 5) float64.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    turned_rects = rects.copy()
    turned_rects[:, 0] = rects[:, 0] * cosine - rects[:, 1] * sine
    turned_rects[:, 1] = rects[:, 0] * sine + rects[:, 1] * cosine
    turned_rects[:, 4] += angle
    return turned_rects


def keep_whole(rects: Rects, owner: NDArray[np.intp], fixed: Rects) -> NDArray[np.bool_]:
    """Which owners can stay, in order, so that none overlaps an earlier one or what is fixed.

    Parameters
    ----------
    rects
        Parts, (N, 5).
    owner
        Owner of each part, (N,), from 0; parts of one owner may overlap.
    fixed
        What nothing may overlap, (M, 5).

    Returns
    -------
    Whether each owner stays, (max(owner) + 1,).
    """
    order = np.argsort(owner, kind="stable")
    radius = [0.5 * np.hypot(rows[:, 2], rows[:, 3]) for rows in (rects, fixed)]
    count = int(owner.max()) + 1 if len(owner) else 0
    return np.asarray(_keep_whole(rects, order, owner.astype(np.int64), radius[0], fixed, radius[1], count))


@njit(cache=True)
def _keep_whole(rects, order, owner, radius, fixed, fixed_radius, count):  # type: ignore[no-untyped-def]
    stays = np.ones(count, np.bool_)
    for i in order:
        one = rects[i]
        for j in range(len(fixed)):
            if not stays[owner[i]]:
                break
            reach = radius[i] + fixed_radius[j]
            dx, dy = fixed[j, 0] - one[0], fixed[j, 1] - one[1]
            if dx * dx + dy * dy < reach * reach and overlap(one, fixed[j], -TOUCH_M):
                stays[owner[i]] = False
    for k in range(len(order)):
        i = order[k]
        for earlier in range(k):
            j = order[earlier]
            if not stays[owner[i]]:
                break
            if owner[j] == owner[i]:
                continue
            reach = radius[i] + radius[j]
            dx, dy = rects[j, 0] - rects[i, 0], rects[j, 1] - rects[i, 1]
            if dx * dx + dy * dy < reach * reach and stays[owner[j]] and overlap(rects[i], rects[j], -TOUCH_M):
                stays[owner[i]] = False
    return stays
