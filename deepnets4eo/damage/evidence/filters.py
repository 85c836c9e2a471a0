"""Small-window filters on (H, W) float32 maps, written as sums and minima of shifted views.

Takes arrays without NaN and keeps their shape, repeating the border. A few passes over memory each, and no Python
loop over pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def box(values: Map, size_px: int) -> Map:
    """Mean over a square window of an odd side.

    >>> box(np.eye(3, dtype="float32"), 3)[1, 1].round(4)
    np.float32(0.3333)
    """
    for axis in (0, 1):
        padded, length = _padded(values, size_px, axis), values.shape[axis]
        total = _part(padded, axis, 0, length).copy()
        for offset in range(1, size_px):
            total += _part(padded, axis, offset, length)
        total *= np.float32(1 / size_px)
        values = total
    return values


def minimum(values: Map, size_px: int) -> Map:
    """Smallest value in a square window of an odd side."""
    for axis in (0, 1):
        padded, length, reach = _padded(values, size_px, axis), values.shape[axis], 1
        while 2 * reach <= size_px:  # minima over 1, 2, 4 … pixels, then two overlapping ones make the window
            shorter = padded.shape[axis] - reach
            padded = np.minimum(_part(padded, axis, 0, shorter), _part(padded, axis, reach, shorter))
            reach *= 2
        values = np.minimum(_part(padded, axis, 0, length), _part(padded, axis, size_px - reach, length))
    return values


def gradient(values: Map) -> tuple[Map, Map]:
    """Derivatives along rows and columns (Sobel: smoothed across, central differences along), per pixel."""
    return _derivative(values, 0), _derivative(values, 1)


def _derivative(values: Map, axis: int) -> Map:
    rows, cols = values.shape
    across = _padded(values, 3, 1 - axis)
    length = values.shape[1 - axis]
    smooth = _part(across, 1 - axis, 0, length) + _part(across, 1 - axis, 2, length) + 2 * values
    along = _padded(smooth, 3, axis)
    length = values.shape[axis]
    return (_part(along, axis, 2, length) - _part(along, axis, 0, length)) * np.float32(1 / 8)


def _padded(values: Map, size_px: int, axis: int) -> Map:
    width = [(0, 0), (0, 0)]
    width[axis] = (size_px // 2, size_px // 2)
    return np.pad(values, width, mode="edge")


def _part(values: Map, axis: int, start: int, length: int) -> Map:
    return values[start : start + length] if axis == 0 else values[:, start : start + length]
