"""Sums over square windows, exact to the last bit wherever the window starts.

Takes whole numbers; gives their sums in (2 r + 1)² squares, cut off at the edges. Running sums of whole numbers modulo
2³² have no rounding, so that a pixel's sum does not depend on the tile in which it is computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

Whole = NDArray[np.uint32]


def window_sums(values: Whole, radius_px: int) -> Whole:
    """Sum over rows and columns up to `radius_px` away, (…, h, w) uint32; exact where it is below 2³².

    >>> window_sums(np.ones((3, 3), np.uint32), 1).tolist()
    [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    """
    return _sums_along(_sums_along(values, radius_px, -1), radius_px, -2)


def fraction_bits(radius_px: int) -> int:
    """Bits that fractions 0–1 may have as whole numbers so that their window sums stay below 2³²."""
    return min(24, 31 - int(np.ceil(np.log2((2 * radius_px + 1) ** 2))))


def check_radius(radius_px: int) -> None:
    """Errors: InputError unless 1 ≤ radius_px ≤ 1000."""
    if not 1 <= radius_px <= 1000:
        raise InputError(f"radius_px is {radius_px}, expected 1 to 1000 pixels.")


def _sums_along(values: Whole, radius_px: int, axis: int) -> Whole:
    length = values.shape[axis]
    running = np.zeros((*values.shape[:axis], length + 1, *values.shape[axis:][1:]), np.uint32)
    after_first = [slice(None)] * values.ndim
    after_first[axis] = slice(1, None)
    np.cumsum(values, axis=axis, dtype=np.uint32, out=running[tuple(after_first)])
    place = np.arange(length)
    sums = running.take(np.minimum(place + radius_px + 1, length), axis=axis)
    sums -= running.take(np.maximum(place - radius_px, 0), axis=axis)
    return sums
