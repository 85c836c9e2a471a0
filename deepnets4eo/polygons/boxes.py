"""Oriented boxes (N, 5): row and column of the middle, length, width (pixels), heading (0 to π, columns to rows)."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Boxes, Floats, Geometries, Indices
from deepnets4eo.metrics.detections import overlapping_pairs

UNIT = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])  # corners along and across the heading


def corners(boxes: Boxes) -> Floats:
    """Corners (N, 4, 2) as (column, row).

    >>> corners(np.array([[10.0, 20.0, 4.0, 2.0, 0.0]]))[0].tolist()
    [[18.0, 9.0], [22.0, 9.0], [22.0, 11.0], [18.0, 11.0]]
    """
    along, across = UNIT[:, 0] * boxes[:, 2, None], UNIT[:, 1] * boxes[:, 3, None]
    cos, sin = np.cos(boxes[:, 4, None]), np.sin(boxes[:, 4, None])
    cols = boxes[:, 1, None] + along * cos - across * sin
    rows = boxes[:, 0, None] + along * sin + across * cos
    return np.stack([cols, rows], axis=2)


def outlines(boxes: Boxes) -> Geometries:
    """Shapely polygons (N,) in pixels."""
    return np.asarray(shapely.polygons(corners(boxes)), object).reshape(-1)


def boxes_around(polygons: Geometries) -> Boxes:
    """The smallest rectangle around each polygon (pixels)."""
    if not len(polygons):
        return np.zeros((0, 5))
    around = np.stack([_four_corners(shapely.minimum_rotated_rectangle(polygon)) for polygon in polygons])
    sides = np.diff(around, axis=1)[:, :2]
    lengths = np.hypot(sides[..., 0], sides[..., 1])
    long = lengths.argmax(axis=1)
    every = np.arange(len(around))
    heading = np.arctan2(sides[every, long, 1], sides[every, long, 0]) % math.pi
    middle = around[:, :4].mean(axis=1)
    return np.column_stack([middle[:, 1], middle[:, 0], lengths.max(axis=1), lengths.min(axis=1), heading])


def suppress(polygons: Geometries, scores: Floats, max_iou: float) -> Indices:
    """Numbers of the polygons kept, best first: none overlaps a better one by more than `max_iou`."""
    order = np.argsort(-scores, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    one, other, iou = overlapping_pairs(polygons, polygons)
    close = (rank[one] < rank[other]) & (iou > max_iou)
    better, worse = rank[one[close]], rank[other[close]]
    worse = worse[np.argsort(better, kind="stable")]
    starts = np.searchsorted(np.sort(better), np.arange(len(order) + 1))
    kept = np.ones(len(order), bool)
    for number in range(len(order)):
        if kept[number]:
            kept[worse[starts[number] : starts[number + 1]]] = False
    return order[kept]


def paint(boxes: Boxes, values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) the largest value of the boxes that hold a pixel's middle, else 0."""
    out = np.zeros(shape, np.float32)
    for (row, col, length, width, heading), value in zip(boxes, values, strict=True):
        reach = math.hypot(length, width) / 2
        rows = slice(max(0, math.floor(row - reach)), max(0, math.ceil(row + reach)))
        cols = slice(max(0, math.floor(col - reach)), max(0, math.ceil(col + reach)))
        part = out[rows, cols]
        down = (np.arange(rows.start, rows.start + part.shape[0]) + 0.5 - row)[:, None]
        right = (np.arange(cols.start, cols.start + part.shape[1]) + 0.5 - col)[None]
        along = np.abs(right * math.cos(heading) + down * math.sin(heading)) <= length / 2
        across = np.abs(down * math.cos(heading) - right * math.sin(heading)) <= width / 2
        part[along & across] = np.maximum(part[along & across], value)
    return out


def _four_corners(around: shapely.Geometry) -> Floats:
    """Closed ring of a rectangle (5, 2); lines and points become rectangles without width."""
    if around.geom_type == "Polygon":
        return shapely.get_coordinates(around.exterior)
    ends = shapely.get_coordinates(around)
    first, last = ends[0], ends[-1]
    return np.stack([first, last, last, first, first])
