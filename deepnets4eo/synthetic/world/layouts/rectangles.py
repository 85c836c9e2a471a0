"""Rectangles as rows (x, y, length, width, angle): corners, moves, and which of them touch.

Positions and sizes are metres, angles radians of the length; arrays of shape (N, 5), float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    columns = np.broadcast_arrays(*(np.asarray(one, np.float64) for one in (x, y, length, width, angle)))
    return np.stack([np.atleast_1d(column) for column in columns], axis=-1)


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


def overlapping_pairs(first: Rects, second: Rects) -> NDArray[np.intp]:
    """Pairs of rectangles that overlap: no axis of either separates them.

    Parameters
    ----------
    first, second
        (N, 5) and (M, 5).

    Returns
    -------
    (K, 2) rows of `first` and of `second`.
    """
    near = _near_pairs(first, second)
    a, b = first[near[:, 0]], second[near[:, 1]]
    apart = _separated(a, b) | _separated(b, a)
    return near[~apart]


def keep_apart(rects: Rects, owner: NDArray[np.intp], fixed: Rects) -> NDArray[np.bool_]:
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
    stays = np.ones(int(owner.max()) + 1 if len(owner) else 0, np.bool_)
    if len(fixed):
        stays[owner[overlapping_pairs(rects, fixed)[:, 0]]] = False
    pairs = owner[overlapping_pairs(rects, rects)]
    pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0) if len(pairs) else pairs
    for early, late in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))].tolist():
        if stays[early]:
            stays[late] = False
    return stays


def _near_pairs(first: Rects, second: Rects) -> NDArray[np.intp]:
    """Pairs whose circles touch."""
    ax, ay, ar = _circles(first)
    bx, by, br = _circles(second)
    dx, dy = ax[:, None] - bx, ay[:, None] - by
    dx *= dx
    dy *= dy
    dx += dy
    reach = ar[:, None] + br
    reach *= reach
    return np.argwhere(dx < reach)


def _circles(rects: Rects) -> tuple[NDArray[np.float32], ...]:
    radius = 0.5 * np.hypot(rects[:, 2], rects[:, 3])
    return rects[:, 0].astype(np.float32), rects[:, 1].astype(np.float32), radius.astype(np.float32)


def _separated(a: Rects, b: Rects) -> NDArray[np.bool_]:
    """Whether an axis of `a` separates the two rectangles of each row."""
    dx, dy = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
    cosine, sine = np.cos(a[:, 4]), np.sin(a[:, 4])
    cos_turn, sin_turn = np.abs(np.cos(b[:, 4] - a[:, 4])), np.abs(np.sin(b[:, 4] - a[:, 4]))
    along = (b[:, 2] * cos_turn + b[:, 3] * sin_turn + a[:, 2]) / 2 - TOUCH_M
    across = (b[:, 2] * sin_turn + b[:, 3] * cos_turn + a[:, 3]) / 2 - TOUCH_M
    separated_rows: NDArray[np.bool_] = (np.abs(dx * cosine + dy * sine) >= along) | (
        np.abs(dy * cosine - dx * sine) >= across
    )
    return separated_rows
