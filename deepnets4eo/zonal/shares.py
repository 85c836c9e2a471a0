"""Sums of a raster over polygons of any size, where each pixel counts by the share of it that lies in the polygon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.grid import READ_PX, Window, transform_shapes
from deepnets4eo.rasters.scene import Layer

if TYPE_CHECKING:
    import geopandas as gpd

AREA_ERROR = 1e-9  # of a box, by which the area of what lies in it is rounded
WEST, NORTH, EAST, SOUTH = range(4)  # of a box: first column and row, and those behind the last


def sums_by_share(layer: Layer, polygons: gpd.GeoDataFrame) -> Floats:
    """Sum the first band of a raster over polygons, each pixel by the share of its area that lies in the polygon.

    Peak memory: 24 bytes a pixel of a block; a few hundred bytes for each pixel that an edge crosses.

    Parameters
    ----------
    layer : raster of amounts, such as people a pixel
    polygons : (N,) in any CRS, or none as the raster

    Returns
    -------
    (N,) float64; pixels without data count as 0, polygons beyond the raster are NaN

    Examples
    --------
    >>> import geopandas as gpd
    >>> people = Layer.open(np.array([[100.0, 40.0]]))
    >>> sums_by_share(people, gpd.GeoDataFrame(geometry=[shapely.box(0.5, 0, 1.25, 1)])).tolist()
    [60.0]
    """
    outlines = polygons.geometry if layer.grid.crs is None else polygons.geometry.to_crs(layer.grid.crs.proj)
    owner, boxes, weights = _covered_boxes(transform_shapes(~layer.grid.affine, outlines.to_numpy()), layer.shape)
    sums, known = np.zeros(len(outlines)), np.zeros(len(outlines), bool)
    known[owner] = True
    for window, rows in _by_block(boxes):
        data, valid = layer.read(window)
        values = np.where(valid & np.isfinite(data[0]), data[0], 0).astype(np.float64)
        upto = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # sums of all above and to the left
        west, north, east, south = (boxes[rows] - [window.col, window.row, window.col, window.row]).T
        total = upto[south, east] - upto[north, east] - upto[south, west] + upto[north, west]
        np.add.at(sums, owner[rows], total * weights[rows])
    return np.where(known, sums, np.nan)


def _covered_boxes(shapes: NDArray[np.object_], size: tuple[int, int]) -> tuple[Indices, Indices, Floats]:
    """Boxes of pixels (B, 4) that lie in a shape, or single pixels that do in part; whose they are, and their share."""
    height, width = size
    bounds = np.nan_to_num(shapely.bounds(shapes).reshape(-1, 4), posinf=0, neginf=0)
    low = np.clip(np.floor(bounds[:, :2]), 0, [width, height])
    high = np.clip(np.ceil(bounds[:, 2:]), 0, [width, height])
    boxes = np.column_stack([low, high]).astype(np.intp)
    owner = np.arange(len(shapes))
    done: list[tuple[Any, Any, Any]] = []
    while len(owner):
        shapes = shapely.intersection(shapes, shapely.box(*boxes.T))
        whole = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).astype(float)
        area = shapely.area(shapes)
        longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        same_block = (boxes[:, :2] // READ_PX == (boxes[:, 2:] - 1) // READ_PX).all(axis=1)
        ready = (area > 0) & same_block & ((longest == 1) | (area >= whole * (1 - AREA_ERROR)))
        done.append((owner[ready], boxes[ready], area[ready] / whole[ready]))
        open_ = (area > 0) & ~ready
        owner, shapes, boxes = _halves(owner[open_], shapes[open_], boxes[open_])
    owners, ready_boxes, weights = zip(*done, strict=True) if done else ((owner,), (boxes,), (np.zeros(0),))
    return np.concatenate(owners), np.concatenate(ready_boxes), np.concatenate(weights)


def _halves(owner: Indices, shapes: NDArray[np.object_], boxes: Indices) -> tuple[Any, Any, Any]:
    """Each box cut across its longer side, at the edge of a block where it lies in several."""
    rows, axis = (
        np.arange(len(boxes)),
        (boxes[:, SOUTH] - boxes[:, NORTH] > boxes[:, EAST] - boxes[:, WEST]).astype(int),
    )
    low, high = boxes[rows, axis], boxes[rows, axis + 2]
    middle = (low + high) // 2
    edge = (middle + READ_PX // 2) // READ_PX * READ_PX
    middle = np.where((edge > low) & (edge < high), edge, middle)
    first, second = boxes.copy(), boxes.copy()
    first[rows, axis + 2] = second[rows, axis] = middle
    return np.tile(owner, 2), np.tile(shapes, 2), np.concatenate([first, second])


def _by_block(boxes: Indices) -> Iterator[tuple[Window, Indices]]:
    """Windows around the boxes of each block of the raster, and the numbers of those boxes."""
    block = boxes[:, [NORTH, WEST]] // READ_PX
    for number in np.unique(block, axis=0):
        rows = np.flatnonzero((block == number).all(axis=1))
        (west, north), (east, south) = boxes[rows, :2].min(axis=0), boxes[rows, 2:].max(axis=0)
        yield Window(int(north), int(west), int(south - north), int(east - west)), rows
