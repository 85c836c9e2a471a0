"""Footprints as flat arrays: the pixels they enclose, their edges, and samples along them.

Takes polygons in pixel coordinates of one grid (x = column, y = row) and works on all of them at once: overlapping
outlines, holes and parts each in their own right. Refuses nothing; empty outlines have no edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.damage.outline_limits import concatenate_starts, pieces_near
from deepnets4eo.grid import Window
from deepnets4eo.zonal.outlines import Outlines, ranges


@dataclass(frozen=True)
class Edges:
    """Straight edges of N outlines, in order of the outline they belong to.

    start : (N + 1,) int64, edges of outline i are start[i] … start[i + 1]
    rows, cols : (E, 2) float64, where each edge begins and ends, in pixels
    outward : (E, 2) float64, unit normal (row, col) that points out of the building
    """

    start: Indices
    rows: Floats
    cols: Floats
    outward: Floats

    def __len__(self) -> int:
        return len(self.start) - 1

    @classmethod
    def concatenate(cls, parts: list[Edges]) -> Edges:
        """The edges of all outlines of several parts."""
        rows, cols, outward = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "cols", "outward")
        )
        return cls(concatenate_starts([part.start for part in parts]), rows, cols, outward)

    def of(self, outlines: Indices) -> tuple[Indices, Indices]:
        """Edge numbers of some outlines, and for each the position of its outline in `outlines`."""
        count = self.start[outlines + 1] - self.start[outlines]
        return _spread(self.start[outlines], count)


def edges_of(outlines: NDArray[np.object_]) -> Edges:
    """Edges of polygons and multipolygons.

    >>> edges = edges_of(np.array([shapely.box(1, 2, 4, 4)], dtype=object))
    >>> len(edges.rows), edges.start.tolist()
    (4, [0, 4])
    """
    polygons, owner = shapely.get_parts(outlines, return_index=True)
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    exterior = np.ones(len(rings), bool)
    exterior[1:] = polygon[1:] != polygon[:-1]
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    begin, end, ring = xy[:-1][same], xy[1:][same], ring[:-1][same]
    area = np.bincount(ring, begin[:, 0] * end[:, 1] - end[:, 0] * begin[:, 1], minlength=len(rings))
    step = end - begin
    length = np.hypot(*step.T)
    sign = np.where((area[ring] > 0) == exterior[ring], 1.0, -1.0) / np.maximum(length, 1e-12)
    outward = np.column_stack([-step[:, 0] * sign, step[:, 1] * sign])
    keep = length > 0
    count = np.bincount(owner[polygon[ring[keep]]], minlength=len(outlines))
    return Edges(
        start=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        rows=np.column_stack([begin[keep, 1], end[keep, 1]]),
        cols=np.column_stack([begin[keep, 0], end[keep, 0]]),
        outward=outward[keep],
    )


def enclosed_pixels(outlines: Outlines, buildings: Indices, window: Window) -> tuple[Indices, Indices]:
    """Pixels of a window whose centres the outlines enclose, each outline on its own.

    buildings : ascending numbers of the outlines.
    returns : position in `buildings`, ascending; flat pixel number in the window (row · width + col).

    >>> square = Outlines.on(np.array([shapely.box(0, 0, 2, 2)], dtype=object), shape=(3, 3))
    >>> enclosed_pixels(square, np.array([0]), Window(0, 0, 3, 3))[1].tolist()
    [0, 1, 3, 4]
    """
    spans = outlines.spans(window, buildings)
    lengths = spans.stop - spans.start
    return np.repeat(spans.owner, lengths), ranges(spans.row * window.width + spans.start, lengths)


def trace(
    edges: Edges, outlines: Indices, step_px: float = 1.0, window: Window | None = None
) -> tuple[Indices, Floats, Floats]:
    """Points along the outlines, `step_px` apart or a little closer.

    window : only points in it, and a few around it, are made; their places are the same as without it.
    returns : position in `outlines`; (S, 2) row and col in pixels of the grid; (S, 2) outward unit normal.
    """
    edge, owner = edges.of(outlines)
    ends = np.stack([edges.rows[edge], edges.cols[edge]], axis=2)
    begin, step = ends[:, 0], ends[:, 1] - ends[:, 0]
    count = np.maximum(np.ceil(np.hypot(*np.abs(step.T)) / step_px), 1).astype(np.int64)
    first, made = np.zeros(len(edge), np.int64), count
    if window is not None:
        corner = np.array([window.row, window.col], float)
        first, made = pieces_near(begin, ends[:, 1], count, corner, corner + (window.height, window.width))
    number, source = _spread(first, made)
    along = ((number + 0.5) / count[source])[:, None]
    return owner[source], begin[source] + along * step[source], edges.outward[edge[source]]


def _spread(first: Indices, count: Indices) -> tuple[Indices, Indices]:
    """Ranges first[i], first[i] + 1, … of `count[i]` numbers, one after the other, and the i of each."""
    return ranges(first, count), np.repeat(np.arange(len(count)), count)
