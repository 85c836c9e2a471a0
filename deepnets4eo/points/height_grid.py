"""Point clouds as height rasters: the highest, lowest and mean point of each cell, streamed; and heights of points
above the ground.

Takes clouds in chunks that can be read twice. Refuses clouds without a point on the grid, and extents of absurd size.

Memory: the grid (28 bytes a cell) and one chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import FloatImage, Floats, Indices
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.rasters import find_outliers
from deepnets4eo.terrain import ground

Chunks = Callable[[], Iterable[PointCloud]]
TOP_LAYER_M = 1.0  # points so far below the highest of their cell are on the same surface; walls go further down
ROUNDING = 1e-6  # of a cell: a position that rounding may move over an edge has a cell on either side
MAX_CELLS = 1 << 28  # 7.5 GB; more is a mistake in extent or cell size

MAX_GROUND_CELLS = 50_000_000
MAX_NAMED = 3  # points in a message


class NoHeightsError(InputError):
    """Nowhere in an area is a height known that counts."""


@dataclass(frozen=True)
class HeightGrid:
    """Heights of a cloud on a grid.

    Parameters
    ----------
    grid : the cells
    highest, lowest, mean : (h, w) float32 metres; NaN in cells without points
    top : (h, w) float32 metres, mean of the points at most 1 m below the highest: of roofs without walls
    count : (h, w) int32, points of each cell
    """

    grid: Grid
    highest: FloatImage
    lowest: FloatImage
    mean: FloatImage
    top: FloatImage
    count: NDArray[np.int32]


def grid_around(bounds: Sequence[float], cell_m: float, crs: Any = None) -> Grid:
    """Return a north-up grid of square cells, on multiples of their side, that holds bounds (left, bottom, right, top),
    border included.

    Raises InputError for a side not above 0, wrong bounds, or more than 268 million cells.
    """
    left, bottom, right, top = (float(value) for value in bounds)
    if not (cell_m > 0 and all(map(math.isfinite, bounds)) and right >= left and top >= bottom):
        raise InputError(f"bounds {tuple(bounds)} with cells of {cell_m}; expected finite bounds and a side above 0.")
    affine = _first_cell(left, top, cell_m)
    # Cells have their left and their upper edge, so that a border on a multiple of the side lies in one cell more.
    sides_m = right - affine.c, affine.f - bottom
    width, height = (math.floor(side / cell_m + ROUNDING) + 1 for side in sides_m)
    if width * height > MAX_CELLS:
        raise InputError(
            f"{width} × {height} cells of {cell_m} m are too many, expected at most {MAX_CELLS:,}. Check the "
            "coordinates with `deepnets4eo check`, take larger cells, or cut the area in parts."
        )
    return GeoBox((height, width), affine, crs)


def _first_cell(left: float, top: float, cell_m: float) -> Affine:
    """Return the affine from cells to coordinates; the corner is in the first cell by the arithmetic that assigns points."""
    affine = Affine(cell_m, 0, math.floor(left / cell_m) * cell_m, 0, -cell_m, math.ceil(top / cell_m) * cell_m)
    col, row = apply_affine(~affine, np.array([[left, top]]))[0]
    return affine @ Affine.translation(-1 if col < 0 else 0, -1 if row < 0 else 0)


def height_grid(chunks: Chunks, grid: Grid, *, leave_out: Sequence[int] = ()) -> HeightGrid:
    """Return the heights of the points of each cell.

    `chunks()` is called twice; the classes `leave_out` do not count. Raises NoHeightsError if no point that counts is on
    the grid."""
    size = grid.shape[0] * grid.shape[1]
    highest, lowest = np.full(size, -np.inf, np.float32), np.full(size, np.inf, np.float32)
    total, count = np.zeros(size), np.zeros(size, np.int32)
    name = "the cloud"
    for cloud in chunks():
        name = cloud.source
        cell, z = _cells(cloud, grid, leave_out)
        np.maximum.at(highest, cell, z)
        np.minimum.at(lowest, cell, z)
        _add(total, count, cell, z)
    empty = count == 0
    if empty.all():
        raise _without_heights(chunks, grid, leave_out, name)
    highest[empty], lowest[empty] = np.nan, np.nan
    with np.errstate(invalid="ignore"):
        mean = (total / count).astype(np.float32)
    del total
    top = _top(chunks, grid, leave_out, highest)
    shape = (grid.shape[0], grid.shape[1])
    return HeightGrid(grid, *(values.reshape(shape) for values in (highest, lowest, mean, top, count)))


def class_share(chunks: Chunks, grid: Grid, code: int) -> FloatImage | None:
    """Return the share (h, w) of the points of each cell that have a class; None if no point on the grid has it."""
    size = grid.shape[0] * grid.shape[1]
    every, those = np.zeros(size, np.int32), np.zeros(size, np.int32)
    unused = np.zeros(size)
    for cloud in chunks():
        if cloud.classification is None:
            return None
        _add(unused, every, *_cells(cloud, grid, ()))
        if (own := cloud.classification == code).any():
            _add(unused, those, *_cells(cloud.subset(own), grid, ()))
    if not those.any():
        return None
    return (those / np.maximum(every, 1)).astype(np.float32).reshape(grid.shape[0], grid.shape[1])


def _without_heights(chunks: Chunks, grid: Grid, leave_out: Sequence[int], name: str) -> NoHeightsError:
    """Return the error with the reason why no cell has a height."""
    area = tuple(grid.extent.boundingbox)
    as_they_are = (replace(cloud, asprs=False, withheld=None) for cloud in chunks())
    if any(len(_cells(cloud, grid, ())[0]) for cloud in as_they_are):
        classes = f"of classes that do not count ({', '.join(map(str, leave_out))}), " if len(leave_out) else ""
        return NoHeightsError(
            f"all points of {name} on the grid {area} are {classes}noise or withheld. Check its classes, or set them to 0."
        )
    return NoHeightsError(
        f"no point of {name} lies on the grid {area}. Check the CRS of the cloud and of the footprints."
    )


def in_top_layer(z: NDArray[np.floating], highest: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether points are on the surface of their cell, whose highest point is at `highest`."""
    return z >= highest - TOP_LAYER_M


def _top(chunks: Chunks, grid: Grid, leave_out: Sequence[int], highest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the points at most 1 m below the highest of their cell."""
    total, count = np.zeros(len(highest)), np.zeros(len(highest), np.int32)
    for cloud in chunks():
        cell, z = _cells(cloud, grid, leave_out)
        near = in_top_layer(z, highest[cell])
        _add(total, count, cell[near], z[near])
    with np.errstate(invalid="ignore"):
        return (total / count).astype(np.float32)


def _add(total: Floats, count: NDArray[np.int32], cell: Indices, z: NDArray[np.float32]) -> None:
    """Add heights to the sums of their cells; the arrays only extend over the cells of these points."""
    if len(cell):
        first = int(cell.min())
        number = np.bincount(cell - first)
        total[first : first + len(number)] += np.bincount(cell - first, weights=z)
        count[first : first + len(number)] += number.astype(np.int32)


def _cells(cloud: PointCloud, grid: Grid, leave_out: Sequence[int]) -> tuple[Indices, NDArray[np.float32]]:
    """Return flat cell (P,) and height (P,) of the points that are on the grid and count."""
    col, row = np.floor(apply_affine(~grid.affine, cloud.xyz[:, :2])).T
    counted = cloud.counted & (row >= 0) & (row < grid.shape[0]) & (col >= 0) & (col < grid.shape[1])
    if cloud.classification is not None and cloud.asprs and len(leave_out):
        counted &= ~np.isin(cloud.classification, leave_out)
    cell = row[counted].astype(np.int64) * grid.shape[1] + col[counted].astype(np.int64)
    return cell, cloud.xyz[counted, 2].astype(np.float32)


def heights_above_ground(
    cloud: PointCloud, *, gsd_m: float = 1.0, max_building_m: float = 50.0
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Estimate the height of every point above the ground.

    Parameters
    ----------
    cloud : N points; withheld points and noise shape no ground
    gsd_m : side of the cells whose lowest points are filtered, metres
    max_building_m : as of `terrain.ground`

    Returns
    -------
    (N,) float32 metres; a little below 0 at points under the estimated ground. Memory: 40 bytes per cell, 24 per point.

    Raises
    ------
    InputError
        An extent with more cells than correct coordinates can give.

    >>> cloud = PointCloud(np.column_stack([*np.divmod(np.arange(400.0), 20), np.zeros(400)]))
    >>> float(np.abs(heights_above_ground(cloud)).max())
    0.0
    """
    from scipy import ndimage

    counted = cloud.counted if cloud.counted.any() else np.ones(len(cloud), bool)
    low = cloud.xyz[counted, :2].min(axis=0)
    cells = (cloud.xyz[:, :2] - low) / gsd_m
    shape = tuple(int(side) + 1 for side in np.floor(cells[counted].max(axis=0)))
    if math.prod(shape) > MAX_GROUND_CELLS:
        raise InputError(
            f"{cloud.source}: the points lie within {shape[0] * gsd_m:,.0f} x {shape[1] * gsd_m:,.0f} m, more than "
            f"{MAX_GROUND_CELLS:,} cells of {gsd_m} m. {_remedy(cloud)}"
        )
    lowest = _lowest(cells[counted], cloud.xyz[counted, 2], (shape[0], shape[1]))
    terrain = ground(lowest, gsd_m, max_building_m=max_building_m)
    below = ndimage.map_coordinates(terrain, (cells - 0.5).T, output=np.float64, order=1, mode="nearest")
    return (cloud.xyz[:, 2] - below).astype(np.float32)


def _remedy(cloud: PointCloud) -> str:
    """Name the points far from all others and the command that leaves them out, or the one that cuts a cloud."""
    xy = cloud.xyz[:, :2]
    far = [find_outliers(values) for values in xy.T]
    ends = [
        (values.min(), values.max()) if outliers is None else (outliers.low, outliers.high)
        for outliers, values in zip(far, xy.T, strict=True)
    ]
    low, high = np.floor(np.min(ends, axis=1)), np.ceil(np.max(ends, axis=1))
    stray = cloud.xyz[((xy < low) | (xy > high)).any(axis=1)]
    if not len(stray):
        return f"Cut it into parts: pdal tile --length 1000 {cloud.source} part_#.laz"
    named = "; ".join(f"x {x:.2f}, y {y:.2f}, z {z:.2f}" for x, y, z in stray[:MAX_NAMED])
    more = f" and {len(stray) - MAX_NAMED:,} more" if len(stray) > MAX_NAMED else ""
    box = ",".join(f"[{start:.0f},{stop:.0f}]" for start, stop in zip(low, high, strict=True))
    return (
        f"Far from all others lie {named}{more}. Leave them out, with bounds in the unit of the file (here metres): "
        f'pdal translate {cloud.source} without.laz crop --filters.crop.bounds="({box})"'
    )


def _lowest(cells: Floats, height: Floats, shape: tuple[int, int]) -> FloatImage:
    """Return (h, w) float64 lowest heights of the points in each cell; NaN in cells without points."""
    lowest = np.full(math.prod(shape), np.inf)
    column = cells.astype(np.int64)
    np.minimum.at(lowest, column[:, 0] * shape[1] + column[:, 1], height)
    return np.where(np.isfinite(lowest), lowest, np.nan).reshape(shape).astype(np.float32)
