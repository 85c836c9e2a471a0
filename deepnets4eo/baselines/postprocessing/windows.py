"""Sums over square windows, exact to the last bit wherever the window starts.

Takes whole numbers; returns their sums in (2 r + 1)² squares, cut off at the edges. Sums of whole numbers modulo 2¹⁶
or 2³² have no rounding, so that a pixel's sum does not depend on the tile in which it is computed.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.arrays import Codes
from deepnets4eo.errors import InputError

SHIFTED_PX = 8  # up to this radius adding shifted images is faster than running sums


def window_sums(values: Codes, radius_px: int) -> Codes:
    """Return the sum over rows and columns up to `radius_px` away, (…, h, w) of the same unsigned type, exact where it fits in.

    >>> window_sums(np.ones((3, 3), np.uint16), 1).tolist()
    [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    """
    along = _shifted_sums if radius_px <= SHIFTED_PX else _running_sums
    return along(along(values, radius_px, -1), radius_px, -2)


def counting_type(largest: int) -> type[np.unsignedinteger]:
    """Return the smaller of two types that can represent a number."""
    return np.uint16 if largest < 2**16 else np.uint32


def fraction_bits(radius_px: int) -> int:
    """Return the bits that fractions 0–1 may have as whole numbers so that their window sums stay below 2³²."""
    return min(24, 31 - int(np.ceil(np.log2((2 * radius_px + 1) ** 2))))


def check_radius(radius_px: int) -> None:
    """Errors: InputError unless 1 ≤ radius_px ≤ 1000."""
    if not 1 <= radius_px <= 1000:
        raise InputError(f"radius_px is {radius_px}, expected 1 to 1000 pixels.")


def _shifted_sums(values: Codes, radius_px: int, axis: int) -> Codes:
    sums = values.copy()
    line, total = np.moveaxis(values, axis, 0), np.moveaxis(sums, axis, 0)
    for shift in range(1, min(radius_px, len(line) - 1) + 1):
        total[shift:] += line[:-shift]
        total[:-shift] += line[shift:]
    return sums


def _running_sums(values: Codes, radius_px: int, axis: int) -> Codes:
    sums = np.empty_like(values)
    line, total = np.moveaxis(values, axis, 0), np.moveaxis(sums, axis, 0)
    length = len(line)
    running = np.zeros((length + 2 * radius_px + 1, *line.shape[1:]), values.dtype)
    np.cumsum(line, axis=0, dtype=values.dtype, out=running[radius_px + 1 : radius_px + 1 + length])
    running[radius_px + 1 + length :] = running[radius_px + length]
    np.subtract(running[2 * radius_px + 1 :], running[:length], out=total)
    return sums
