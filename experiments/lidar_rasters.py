"""LiDAR points on a grid: the highest return's height, intensity and class in each pixel, and small gaps filled.

Takes LAS or LAZ files (laspy, the project's extra `points`) and a grid; refuses files without a point on the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.lazy import name_missing_extra

NO_CLASS = 0


@dataclass(frozen=True)
class PointRasters:
    """Rasters (H, W) of the highest point of each pixel.

    height : float32 metres, NaN without point. intensity : float32, mean over the pixel's points, NaN without.
    highest_class : uint8 ASPRS class, 0 without point.
    """

    height: NDArray[np.float32]
    intensity: NDArray[np.float32]
    highest_class: NDArray[np.uint8]


def grid_points(paths: Sequence[Path], grid: Grid) -> PointRasters:
    """The points of all files on the pixels of a grid. Memory: 40 bytes a point. Errors: InputError."""
    x, y, z, intensity, kind = _points(paths)
    cols, rows = apply_affine(~grid.affine, np.column_stack([x, y])).T
    inside = (rows >= 0) & (rows < grid.shape[0]) & (cols >= 0) & (cols < grid.shape[1])
    if not inside.any():
        raise InputError(
            f"no point of {', '.join(path.name for path in paths)} is on the grid {grid.extent.boundingbox}. "
            "Check the files and their CRS."
        )
    pixels = (rows[inside].astype(np.int64) * grid.shape[1]) + cols[inside].astype(np.int64)
    order = np.lexsort((z[inside], pixels))
    sorted_pixels = pixels[order]
    last = np.flatnonzero(np.append(np.diff(sorted_pixels) > 0, True))  # the highest of each pixel
    at = sorted_pixels[last]
    size = grid.shape[0] * grid.shape[1]
    height, classes = np.full(size, np.nan, np.float32), np.full(size, NO_CLASS, np.uint8)
    height[at] = z[inside][order][last]
    classes[at] = kind[inside][order][last]
    counts = np.bincount(pixels, minlength=size)
    sums = np.bincount(pixels, weights=intensity[inside], minlength=size)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
    return PointRasters(height.reshape(grid.shape), mean.reshape(grid.shape), classes.reshape(grid.shape))


def fill_nearest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same raster (H, W) with the value of the nearest known pixel where it was NaN."""
    from scipy.ndimage import distance_transform_edt

    unknown = ~np.isfinite(values)
    if not unknown.any():
        return values
    rows, cols = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(values[rows, cols], np.float32)


def fill_classes(classes: NDArray[np.uint8], reach_px: float) -> NDArray[np.uint8]:
    """The same classes (H, W) with that of the nearest known pixel, at most `reach_px` away, where it was 0."""
    from scipy.ndimage import distance_transform_edt

    away, (rows, cols) = distance_transform_edt(classes == NO_CLASS, return_indices=True)
    return np.asarray(np.where(away <= reach_px, classes[rows, cols], NO_CLASS), np.uint8)


def _points(paths: Sequence[Path]) -> tuple[NDArray[Any], ...]:
    """x, y, z, intensity and class of all points of all files."""
    with name_missing_extra():
        import laspy

    columns = []
    for path in paths:
        cloud = laspy.read(path)
        columns.append([np.asarray(cloud[name]) for name in ("x", "y", "z", "intensity", "classification")])
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))
