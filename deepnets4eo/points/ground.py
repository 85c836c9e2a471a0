"""Heights above ground of the points of a cloud, by the ground filter of rasters.

The lowest points of cells are a surface model; its ground, interpolated, is subtracted. Refuses extents of absurd size.
"""

from __future__ import annotations

import math

import numpy as np

from deepnets4eo.arrays import FloatImage, Floats
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.rasters.outliers import find_outliers
from deepnets4eo.terrain import ground

MOST_CELLS = 50_000_000
MOST_NAMED = 3  # points in a message


def heights_above_ground(
    cloud: PointCloud, *, gsd_m: float = 1.0, max_building_m: float = 50.0
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Estimate the height of every point above the ground.

    Parameters
    ----------
    cloud : N points; those below the ground count as they are, withheld points and noise shape no ground
    gsd_m : side of the cells whose lowest points are filtered, metres
    max_building_m : width of the largest building, metres; wider ones stay in the ground

    Returns
    -------
    (N,) float32 metres; a little below 0 at points under the estimated ground.

    Raises
    ------
    InputError
        An extent of so many cells that coordinates must be wrong.

    Memory: 40 bytes a cell and 24 a point.

    >>> cloud = PointCloud(np.column_stack([*np.divmod(np.arange(400.0), 20), np.zeros(400)]))
    >>> float(np.abs(heights_above_ground(cloud)).max())
    0.0
    """
    counted = cloud.counted if cloud.counted.any() else np.ones(len(cloud), bool)
    low = cloud.xyz[counted, :2].min(axis=0)
    cells = (cloud.xyz[:, :2] - low) / gsd_m
    shape = tuple(int(side) + 1 for side in np.floor(cells[counted].max(axis=0)))
    if math.prod(shape) > MOST_CELLS:
        raise InputError(
            f"{cloud.source}: the points lie within {shape[0] * gsd_m:,.0f} x {shape[1] * gsd_m:,.0f} m, more than "
            f"{MOST_CELLS:,} cells of {gsd_m} m. {_remedy(cloud)}"
        )
    lowest = _lowest(cells[counted], cloud.xyz[counted, 2], (shape[0], shape[1]))
    terrain = ground(lowest, gsd_m, max_building_m=max_building_m)
    return (cloud.xyz[:, 2] - _interpolate(terrain, cells - 0.5)).astype(np.float32)


def _remedy(cloud: PointCloud) -> str:
    """Names the points far from all others, and the command that leaves them out; or that cuts a cloud without such points."""
    xy = cloud.xyz[:, :2]
    far = [find_outliers(values) for values in xy.T]
    ends = [
        (values.min(), values.max()) if one is None else (one.low, one.high)
        for one, values in zip(far, xy.T, strict=True)
    ]
    low, high = np.floor(np.min(ends, axis=1)), np.ceil(np.max(ends, axis=1))
    stray = cloud.xyz[((xy < low) | (xy > high)).any(axis=1)]
    if not len(stray):
        return f"Cut it into parts: pdal tile --length 1000 {cloud.source} part_#.laz"
    named = "; ".join(f"x {x:.2f}, y {y:.2f}, z {z:.2f}" for x, y, z in stray[:MOST_NAMED])
    more = f" and {len(stray) - MOST_NAMED:,} more" if len(stray) > MOST_NAMED else ""
    box = ",".join(f"[{start:.0f},{stop:.0f}]" for start, stop in zip(low, high, strict=True))
    return (
        f"Far from all others lie {named}{more}. Leave them out, with bounds in the unit of the file (here metres): "
        f'pdal translate {cloud.source} without.laz crop --filters.crop.bounds="({box})"'
    )


def _lowest(cells: Floats, height: Floats, shape: tuple[int, int]) -> FloatImage:
    """(h, w) float64 lowest heights of the points in each cell; NaN where there is none."""
    lowest = np.full(math.prod(shape), np.inf)
    column = cells.astype(np.int64)
    np.minimum.at(lowest, column[:, 0] * shape[1] + column[:, 1], height)
    return np.where(np.isfinite(lowest), lowest, np.nan).reshape(shape).astype(np.float32)


def _interpolate(terrain: FloatImage, position: Floats) -> Floats:
    """Heights (N,) float64 between the middles of cells."""
    from scipy import ndimage

    heights: Floats = ndimage.map_coordinates(terrain, position.T, output=np.float64, order=1, mode="nearest")
    return heights
