"""Rectangles as rows (x, y, length, width, angle), made and moved in frames.

Positions and sizes are metres, angles radians of the length; arrays of shape (N, 5), float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rects = NDArray[np.float64]


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


def widen(rects: Rects, margin_m: float) -> Rects:
    """The same rectangles, wider on both sides of their length.

    Parameters
    ----------
    rects
        (N, 5).
    margin_m
        On each side, metres.

    Returns
    -------
    (N, 5) float64.
    """
    wide = rects.copy()
    wide[:, 3] += 2 * margin_m
    return wide
