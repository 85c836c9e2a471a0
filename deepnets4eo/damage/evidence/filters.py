"""Small-window filters on (H, W) float32 maps, written as sums and minima of shifted views.

Takes arrays without NaN and keeps their shape; within half a window of the border values are those of the pixel
itself or of a part of the window. A few passes over memory each, and no Python loop over pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage


def box(values: FloatImage, size_px: int) -> FloatImage:
    """Mean over a square window of an odd side.

    >>> box(np.eye(3, dtype="float32"), 3)[1, 1].round(4)
    np.float32(0.3333)
    """
    return _means(_means(values, size_px, 0), size_px, 1)


def deviation(values: FloatImage) -> FloatImage:
    """Standard deviation in 3 × 3 pixels, from differences: exact also where the mean is large against it."""
    out = np.zeros_like(values)
    mean = (values[:, :-2] + values[:, 1:-1] + values[:, 2:]) * np.float32(1 / 3)
    inner = _squares(values[:, 1:] - values[:, :-1], 1)
    total = _squares(mean[1:] - mean[:-1], 0)
    total *= 3
    for offset in range(3):
        total += _part(inner, 0, offset, len(total))
    total *= np.float32(1 / 9)
    np.sqrt(total, out=out[1:-1, 1:-1])
    return out


def maximum(values: NDArray[Any], size_px: int) -> NDArray[Any]:
    """Largest value in a square window of an odd side."""
    top = values.max()
    return np.asarray(top - minimum(top - values, size_px))


def minimum(values: NDArray[Any], size_px: int) -> NDArray[Any]:
    """Smallest value in a square window of an odd side."""
    for axis in (0, 1):
        reach, part = 1, values
        while 2 * reach <= size_px:  # minima over 1, 2, 4 … pixels, then two overlapping ones make the window
            shorter = part.shape[axis] - reach
            part = np.minimum(_part(part, axis, 0, shorter), _part(part, axis, reach, shorter))
            reach *= 2
        length = values.shape[axis] - size_px + 1
        values = values.copy()
        _part(values, axis, size_px // 2, length)[...] = np.minimum(
            _part(part, axis, 0, length), _part(part, axis, size_px - reach, length)
        )
    return values


def gradient(values: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Derivatives along rows and columns (Sobel: smoothed across, central differences along), per pixel; 0 at the rim."""
    along_row, along_col = np.zeros_like(values), np.zeros_like(values)
    smooth = values[:, :-2] + values[:, 2:] + 2 * values[:, 1:-1]
    np.multiply(smooth[2:] - smooth[:-2], np.float32(1 / 8), out=along_row[1:-1, 1:-1])
    smooth = values[:-2] + values[2:] + 2 * values[1:-1]
    np.multiply(smooth[:, 2:] - smooth[:, :-2], np.float32(1 / 8), out=along_col[1:-1, 1:-1])
    return along_row, along_col


def cell_sums(values: NDArray[np.generic], cell_px: int) -> FloatImage:
    """Sums over square cells; the sides of `values` are multiples of the cell's."""
    rows, cols = values.shape[0] // cell_px, values.shape[1] // cell_px
    stripes = values.reshape(rows, cell_px, values.shape[1]).sum(axis=1, dtype=np.float32)
    return stripes.reshape(rows, cols, cell_px).sum(axis=2)


def _means(values: FloatImage, size_px: int, axis: int) -> FloatImage:
    length = values.shape[axis] - size_px + 1
    out = values.copy()
    total = _part(values, axis, 0, length).copy()
    for offset in range(1, size_px):
        total += _part(values, axis, offset, length)
    np.multiply(total, np.float32(1 / size_px), out=_part(out, axis, size_px // 2, length))
    return out


def _squares(steps: FloatImage, axis: int) -> FloatImage:
    """Squared deviations of three neighbours from their mean, summed, from the two steps between them."""
    length = steps.shape[axis] - 1
    first, second = _part(steps, axis, 0, length), _part(steps, axis, 1, length)
    total = first * second
    steps = steps * steps
    total += _part(steps, axis, 0, length)
    total += _part(steps, axis, 1, length)
    total *= np.float32(2 / 3)
    return total


def _part(values: NDArray[Any], axis: int, start: int, length: int) -> NDArray[Any]:
    return values[start : start + length] if axis == 0 else values[:, start : start + length]
