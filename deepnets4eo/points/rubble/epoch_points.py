"""The surface of one date as points about evenly spaced: the top of each cell of sampled parts of an area, with its walls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.grid import Grid, apply_affine, window_under
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.height_grid import grid_around, in_top_layer
from deepnets4eo.points.rubble.epochs import SurfacePoints, with_walls
from deepnets4eo.points.rubble.surfaces import Heights
from deepnets4eo.terrain import impossible

PARTS = 4  # along either side of the area
PART_M = 120.0  # longest side of what is sampled of a part
MIN_STEP_M, MAX_CELLS = 0.4, 150_000


class Sampling(NamedTuple):
    """Boxes (P, 4) of left, bottom, right and top that are looked at, and the side of a cell."""

    boxes: Floats
    step_m: float

    def grow(self, by_m: float) -> Sampling:
        """Wider boxes."""
        return Sampling(self.boxes + np.array([-by_m, -by_m, by_m, by_m]), self.step_m)


def sample_area(bounds: Sequence[float], centres: Floats, finest_m: float) -> Sampling:
    """Return 4 × 4 boxes of an area of at most 120 m, around the middle (K, 2) of the buildings in each.

    Also return a side of cells, from `finest_m` up, that leaves about 150,000 of them.
    """
    low, size = np.array(bounds[:2]), np.maximum(np.subtract(bounds[2:], bounds[:2]) / PARTS, 1e-6)
    side = np.minimum(size, PART_M)
    part = np.floor((centres - low) / size)
    boxes = []
    for number in np.ndindex(PARTS, PARTS):
        own = centres[(part == number).all(axis=1)]
        middle = np.median(own, axis=0) if len(own) else low + (np.array(number) + 0.5) * size
        corner = np.clip(middle - side / 2, low + number * size, low + (np.array(number) + 1) * size - side)
        boxes.append([*corner, *(corner + side)])
    step_m = max(MIN_STEP_M, finest_m, float(np.sqrt(PARTS**2 * side.prod() / MAX_CELLS)))
    return Sampling(np.array(boxes), step_m)


def surface_points(heights: Heights, sampling: Sampling) -> SurfacePoints:
    """Return the tops of the cells of sampled boxes, and points of the walls between them. Memory: some 100 MB and a chunk."""
    grids = [grid_around(box, sampling.step_m) for box in sampling.boxes]
    first = np.cumsum([0, *(grid.shape[0] * grid.shape[1] for grid in grids)])
    highest = np.full(first[-1], -np.inf)
    for xyz in _points_within(heights, sampling):
        for cell, inside in _cells(xyz, grids, first):
            np.maximum.at(highest, cell, xyz[inside, 2])
    total, count = np.zeros((3, first[-1])), np.zeros(first[-1])
    for xyz in _points_within(heights, sampling):
        for cell, inside in _cells(xyz, grids, first):
            top = in_top_layer(xyz[inside, 2], highest[cell])
            count += np.bincount(cell[top], minlength=first[-1])
            for axis in range(3):
                total[axis] += np.bincount(cell[top], weights=xyz[inside, axis][top], minlength=first[-1])
    known = count > 0
    return with_walls(np.unique((total[:, known] / count[known]).T, axis=0))  # boxes may overlap


def _points_within(heights: Heights, sampling: Sampling) -> Iterator[Floats]:
    """Points (P, 3) in and around the boxes that count, some at a time."""
    left, bottom = sampling.boxes[:, :2].min(axis=0)
    right, top = sampling.boxes[:, 2:].max(axis=0)
    if heights.layer is None:
        for cloud in heights.chunks():
            x, y, _ = cloud.xyz.T
            used = cloud.counted & (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
            if cloud.classification is not None and cloud.asprs:
                used &= ~np.isin(cloud.classification, PointCloud.vegetation_codes)
            yield cloud.xyz[used]
        return
    for box in sampling.boxes:
        window = window_under(heights.layer.grid, grid_around(box, sampling.step_m, heights.layer.grid.crs))
        if not (window.height and window.width):
            continue
        data, valid = heights.layer.read(window)
        row, col = np.nonzero(valid & ~impossible(data[0]))
        positions = np.column_stack([col + window.col, row + window.row]).astype(np.float64) + 0.5
        yield np.column_stack([apply_affine(heights.layer.grid.affine, positions), data[0][row, col]])


def _cells(xyz: Floats, grids: Sequence[Grid], first: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Mask]]:
    """Yield, for each box that contains points, their flat cells and the mask (P,) of the points inside the box."""
    for grid, start in zip(grids, first, strict=False):
        col, row = np.floor(apply_affine(~grid.affine, xyz[:, :2])).T
        inside = (row >= 0) & (row < grid.shape[0]) & (col >= 0) & (col < grid.shape[1])
        if inside.any():
            yield (start + row[inside] * grid.shape[1] + col[inside]).astype(np.int64), inside
