"""Rectangles as rows (x, y, length, width, angle), made and moved in frames.

Positions and sizes are metres, angles radians of the length; arrays of shape (N, 5), float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rects = NDArray[np.float64]


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
