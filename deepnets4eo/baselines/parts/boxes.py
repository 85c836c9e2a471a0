"""Oriented boxes of detections: the best of those that overlap, and their values as an image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Boxes, Floats, Geometries, Indices
from deepnets4eo.metrics import overlapping_pairs


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
    """Return (h, w) the largest value of the boxes that hold a pixel's middle, else 0."""
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
