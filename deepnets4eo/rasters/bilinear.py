"""Bilinear views of large rasters whose pixels an affine maps to those of the view: what GDAL's warper returns, several times as fast.

The sums are those of GDAL in its order. Where the raster has gaps, or a value becomes that of gaps, GDAL is left to do it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from deepnets4eo.arrays import Pixels
from deepnets4eo.grid import Grid, Window, apply_affine
from deepnets4eo.rasters.values import valid_values

LARGE_PX = 2**22  # in a grid, from which a compiled function is worth its import
# Pixels of the origin to one pixel up to which GDAL takes four of them: on average over a block, four times as wide as high.
WIDEST_STEP, BLOCK_RATIO = 1 / 0.95, 4
CORNERS = np.array([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
EDGE = 1e-10  # pixels by which a centre lies inside the lower and the right edge at least, as in GDAL


def interpolates(origin: Grid, dtype: np.dtype[Any], grid: Grid, resampling: Resampling) -> bool:
    """Whether GDAL would take the four pixels around each centre, in a large grid with the same CRS, and numba is installed."""
    if resampling != Resampling.bilinear or origin.crs != grid.crs or math.prod(grid.shape) < LARGE_PX:
        return False
    step = ~origin.affine * grid.affine
    widest = max(abs(step.a) + BLOCK_RATIO * abs(step.b), abs(step.e) + BLOCK_RATIO * abs(step.d))
    return widest <= WIDEST_STEP and dtype.kind in "iuf" and find_spec("numba") is not None


def interpolate(
    read: Callable[[Window], Pixels], origin: Grid, grid: Grid, window: Window, nodata: Sequence[float | None]
) -> Pixels | None:
    """A window of a view on a grid; None where GDAL has to do it. read : the raster on the grid `origin`; nodata : of each band"""
    to_origin, (height, width) = ~origin.affine * grid.affine, origin.shape
    corners = apply_affine(to_origin, CORNERS * (window.width, window.height) + (window.col, window.row))
    (left, top), (right, bottom) = np.floor(corners.min(axis=0) - 1), np.ceil(corners.max(axis=0) + 1)
    around = Window(int(top), int(left), int(bottom - top), int(right - left)).clip((height, width))
    if not around.height * around.width:
        return None
    data, valid = read(around)
    if not valid.all() or _has_gaps(data, nodata):
        return None
    values, inside = np.empty((len(data), window.height, window.width), data.dtype), np.empty(window[2:], bool)
    position = np.array((around.row, around.col, height, width, window.row, window.col))
    _compiled()(data, position, np.array(to_origin[:6]), data.dtype.kind != "f", values, inside)
    return None if _has_gaps(values, nodata) else (values, inside)


def _has_gaps(values: NDArray[Any], nodata: Sequence[float | None]) -> bool:
    """Whether any band has its nodata value somewhere, which GDAL leaves out band by band and does not write."""
    stated = ((band, value) for band, value in zip(values, nodata, strict=True) if value is not None)
    return not all(valid_values(band[None], value).all() for band, value in stated)


@cache
def _compiled() -> Callable[..., None]:
    from numba import njit  # jobs on small images start sooner

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: Callable[..., None] = njit(cache=True, **options)(_resample)
    except RuntimeError:  # there is no folder to keep it in
        compiled = njit(**options)(_resample)
    return compiled


def _resample(data, position, affine, whole, values, inside):  # type: ignore[no-untyped-def]
    """Fill `values` (C, h, w), and (h, w) whether a centre lies on the raster; others are 0.

    position : row and column of `data` in the raster, its rows and columns, row and column of the window; affine : of the window's
    raster, (6,); whole : whether values are rounded
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
            inside[row, col] = x >= 0.0 and y >= 0.0 and x + EDGE <= width and y + EDGE <= height
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
                value = upper * of_above + lower * (1.0 - of_above) if inside[row, col] else 0.0
                values[band, row, col] = math.floor(value + 0.5) if whole else value
