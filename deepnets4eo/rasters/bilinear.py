"""Bilinear views of large rasters in one CRS: the values of GDAL's warper, several times as fast.

The sums are the same as GDAL's, in its order, but positions are rounded in another way. Halfway between two, whole numbers
may differ by one, and fractions in the last digits.

If pixels have no data, or a result equals the nodata value, GDAL does the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling

from deepnets4eo.arrays import Pixels
from deepnets4eo.grid import Grid, Window, crop, window_under
from deepnets4eo.rasters.values import common_nodata, storable_nodata, valid_values

LARGE_PX = 2**22  # in a grid, from which a compiled function is worth its import
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
# GDAL takes four pixels for each of a block as long as the block covers at most so many times its own rows and columns of the origin.
WIDEST_STEP, BLOCK_ROWS, BLOCK_COLS = 1 / 0.95, 128, 512
EDGE_PX = 1e-6  # pixels around the edge of the raster within which rounding decides whether a centre lies on it


def interpolates(origin: Grid, dtype: np.dtype[Any], grid: Grid, resampling: Resampling) -> bool:
    """Return whether GDAL would take the four pixels around each centre, in a large grid with the same CRS."""
    if resampling != Resampling.bilinear or origin.crs != grid.crs or math.prod(grid.shape) < LARGE_PX:
        return False
    return dtype.isnative and dtype.name in DTYPES and _takes_four(~origin.affine * grid.affine)


def _takes_four(step: Affine, rows: int = BLOCK_ROWS, cols: int = BLOCK_COLS) -> bool:
    """Return whether GDAL takes four pixels for each pixel of a block of this size. step : from its pixels to pixels of the origin."""
    down, across = abs(step.e) + abs(step.d) * BLOCK_COLS / rows, abs(step.a) + abs(step.b) * BLOCK_ROWS / cols
    return bool(max(down, across) <= WIDEST_STEP)


def _side_of_block(end: int, side: int, usual: int) -> int:
    """Return the rows (or columns) of the block that contains a window's end: the last block of a side is smaller than usual."""
    last = side % usual or usual
    return last if end > side - last else usual


def interpolate(
    read: Callable[[Window], Pixels], origin: Grid, grid: Grid, window: Window, nodata: Sequence[float | None]
) -> Pixels | None:
    """Read a window of a view on a grid; return None if GDAL has to do it. read : the raster on the grid `origin`; nodata : of each band."""
    to_origin = ~origin.affine * grid.affine
    rows = _side_of_block(window.row + window.height, grid.shape[0], BLOCK_ROWS)
    cols = _side_of_block(window.col + window.width, grid.shape[1], BLOCK_COLS)
    around = window_under(origin, crop(grid, window))
    if _njit() is None or not _takes_four(to_origin, rows, cols) or not around.height * around.width:
        return None
    data, valid = read(around)
    if not valid.all() or _has_gaps(data, nodata):
        return None
    values, inside = np.empty((len(data), window.height, window.width), data.dtype), np.empty(window[2:], bool)
    position = np.array((around.row, around.col, *origin.shape, window.row, window.col))
    outside = storable_nodata(data.dtype, common_nodata(nodata)) or 0
    known = _fill(data, position, np.array(to_origin[:6]), data.dtype.kind != "f", float(outside), values, inside)
    return None if not known or _has_gaps(values if inside.all() else values[:, inside], nodata) else (values, inside)


def _has_gaps(values: NDArray[Any], nodata: Sequence[float | None]) -> bool:
    """Return whether any band contains its nodata value. GDAL skips such pixels, band by band, and never writes that value."""
    stated = ((band, value) for band, value in zip(values, nodata, strict=True) if value is not None)
    return not all(valid_values(band[None], value).all() for band, value in stated)


def _fill(*arguments: Any) -> bool:
    """`_resample`, compiled, and kept for the next process if there is a folder with room for it."""
    try:
        return bool(_compiled(keep=True)(*arguments))
    except (OSError, RuntimeError):
        return bool(_compiled(keep=False)(*arguments))


@cache
def _compiled(*, keep: bool) -> Callable[..., bool]:
    njit = _njit()
    assert njit is not None
    compiled: Callable[..., bool] = njit(cache=keep, nogil=True, error_model="numpy")(_resample)
    return compiled


@cache
def _njit() -> Callable[..., Any] | None:
    """Return the compiler, which jobs on small images do not import; None if it is not installed, or not for this NumPy."""
    try:
        from numba import njit
    except ImportError:
        return None
    decorate: Callable[..., Any] = njit
    return decorate


def _resample(data, position, affine, whole, outside, values, inside):  # type: ignore[no-untyped-def]
    """Fill `values` (C, h, w) and the mask `inside` (h, w) of centres on the raster; other values become `outside`.

    Returns False if rounding decides whether a centre is on the raster.

    position : row and column of `data` in the raster, rows and columns of the raster, row and column of the window; affine : (6,), from
    pixels of the grid to pixels of the raster; whole : whether values are rounded
    """
    top, left, height, width, first_row, first_col = position
    last_row, last_col = data.shape[1] - 1, data.shape[2] - 1
    cols = np.empty((2, values.shape[2]), np.int64)
    rows, weights = np.empty_like(cols), np.empty(cols.shape)
    for row in range(values.shape[1]):
        for col in range(values.shape[2]):
            across, down = first_col + col + 0.5, first_row + row + 0.5
            x = affine[0] * across + affine[1] * down + affine[2]
            y = affine[3] * across + affine[4] * down + affine[5]
            lies_on = EDGE_PX < x < width - EDGE_PX and EDGE_PX < y < height - EDGE_PX
            if not lies_on and -EDGE_PX <= x <= width + EDGE_PX and -EDGE_PX <= y <= height + EDGE_PX:
                return False
            inside[row, col] = lies_on
            j, i = math.floor(x - 0.5), math.floor(y - 0.5)
            weights[0, col], weights[1, col] = 1.5 - (x - j), 1.5 - (y - i)
            j, i = j - left, i - top
            cols[0, col], cols[1, col] = min(max(j, 0), last_col), min(max(j + 1, 0), last_col)
            rows[0, col], rows[1, col] = min(max(i, 0), last_row), min(max(i + 1, 0), last_row)
        for band in range(data.shape[0]):
            source = data[band]
            for col in range(values.shape[2]):
                above, below, here, beside = rows[0, col], rows[1, col], cols[0, col], cols[1, col]
                of_here, of_above = weights[0, col], weights[1, col]
                upper = source[above, here] * of_here + source[above, beside] * (1.0 - of_here)
                lower = source[below, here] * of_here + source[below, beside] * (1.0 - of_here)
                value = upper * of_above + lower * (1.0 - of_above) if inside[row, col] else outside
                values[band, row, col] = math.floor(value + 0.5) if whole else value
    return True
