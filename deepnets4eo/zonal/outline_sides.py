"""Sides of polygons in pixels, as GDAL's pixel-centre rule needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid

POLYGON, MULTIPOLYGON = 3, 6  # shapely type ids


@dataclass(frozen=True)
class Edges:
    """Slanted sides, each from its upper end (x, y) by (dx, dy > 0), with the rows whose centres it crosses."""

    x: Floats
    y: Floats
    dx: Floats
    dy: Floats
    first: Indices  # row
    last: Indices  # row after the last
    of: Indices  # (N + 1,) sides of outline i are of[i] … of[i + 1]


@dataclass(frozen=True)
class Ledges:
    """Level sides along a row of pixel centres, leftwards in a clockwise ring: GDAL fills these too."""

    owner: Indices
    row: Indices
    start: Indices
    stop: Indices


def inverse_geotransform(grid: Grid | None) -> Floats:
    """Coefficients (2, 3) constant, x, y of column and row, as GDAL inverts a geotransform."""
    if grid is None:
        return np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    x0, ax, bx, y0, ay, by = grid.affine.to_gdal()
    if bx == 0 and ay == 0:
        return np.array([[-x0 / ax, 1.0 / ax, 0.0], [-y0 / by, 0.0, 1.0 / by]])
    scale = 1.0 / (ax * by - bx * ay)
    column = [(bx * y0 - x0 * by) * scale, by * scale, -bx * scale]
    row = [(-ax * y0 + x0 * ay) * scale, -ay * scale, ax * scale]
    return np.array([column, row])


def to_pixels(coefficients: Floats, xy: Floats) -> Floats:
    """Pixels (N, 2) of ground coordinates in GDAL's order of sums: another one flips pixels on ties."""
    x, y = xy[:, 0], xy[:, 1]
    return np.column_stack([constant + x * of_x + y * of_y for constant, of_x, of_y in coefficients])


SIDE = ("x", "y", "dx", "dy", "first", "last")
Decomposed = tuple[Edges, Ledges, Indices]


def concatenate(pieces: list[Decomposed]) -> Decomposed:
    """Sides, ledges and boxes of several runs of outlines."""
    edges, ledges, boxes = zip(*pieces, strict=True)
    first = np.cumsum([0, *(len(box) for box in boxes)])
    counts = np.concatenate([np.diff(piece.of) for piece in edges])
    of = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    sides = {name: np.concatenate([getattr(piece, name) for piece in edges]) for name in SIDE}
    owner = np.concatenate([piece.owner + start for piece, start in zip(ledges, first[:-1], strict=True)])
    level = {name: np.concatenate([getattr(piece, name) for piece in ledges]) for name in ("row", "start", "stop")}
    return Edges(of=of, **sides), Ledges(owner=owner, **level), np.concatenate(boxes)


def decompose(geometries: NDArray[Any], coefficients: Floats) -> Decomposed:
    """Sides, ledges and boxes (N, 4) of polygons in pixels; missing, empty and not finite ones have none."""
    rings, xy, ring_start, ring_owner = _rings(geometries)
    x, y = to_pixels(coefficients, xy).T
    inner = np.ones(len(x), bool)  # every vertex but the last of its ring begins a side
    inner[ring_start[1:] - 1] = False
    begin = np.flatnonzero(inner)
    ring = np.repeat(np.arange(len(rings)), np.diff(ring_start))[begin]
    owner = ring_owner[ring]
    x0, y0, x1, y1 = x[begin], y[begin], x[begin + 1], y[begin + 1]
    box = _boxes(x0, y0, owner, len(geometries))
    level = y0 == y1
    centred = np.flatnonzero(level & (np.floor(y0) + 0.5 == y0))
    ledges = _leftward(rings[ring[centred]], owner[centred], x0[centred], x1[centred], y0[centred])
    flip = y0 > y1
    x0, x1, y0, y1 = np.where(flip, x1, x0), np.where(flip, x0, x1), np.where(flip, y1, y0), np.where(flip, y0, y1)
    first, last = np.ceil(y0 - 0.5).astype(np.int64), np.ceil(y1 - 0.5).astype(np.int64)
    use = ~level & (last > first)
    of = np.searchsorted(owner[use], np.arange(len(geometries) + 1))
    edges = Edges(x0[use], y0[use], (x1 - x0)[use], (y1 - y0)[use], first[use], last[use], of)
    return edges, ledges, box


def _leftward(rings: NDArray[Any], owner: Indices, x0: NDArray[Any], x1: NDArray[Any], y: NDArray[Any]) -> Ledges:
    """Return the level sides on centres that run leftwards in clockwise rings."""
    clockwise = ~shapely.is_ccw(rings)
    right, left = np.where(clockwise, x0, x1), np.where(clockwise, x1, x0)
    keep = right > left
    start, stop = np.floor(left[keep] + 0.5).astype(np.int64), np.floor(right[keep] + 0.5).astype(np.int64)
    return Ledges(owner[keep], np.floor(y[keep]).astype(np.int64), start, stop)


def _rings(geometries: NDArray[Any]) -> tuple[NDArray[Any], Floats, Indices, Indices]:
    """Rings (R,), their vertices (V, 2), where each ring starts (R + 1,), and its polygon (R,)."""
    usable = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    every_xy, of = shapely.get_coordinates(geometries, return_index=True)
    usable[of[~np.isfinite(every_xy).all(axis=1)]] = False
    kind = shapely.get_type_id(geometries)
    if (wrong := usable & (kind != POLYGON) & (kind != MULTIPOLYGON)).any():
        raise InputError(f"zones must be polygons, but {int(wrong.sum())} are {geometries[wrong][0].geom_type}s.")
    numbers = np.flatnonzero(usable)
    parts, part_owner = shapely.get_parts(geometries[numbers], return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    xy, vertex_ring = shapely.get_coordinates(rings, return_index=True)
    ring_start = np.searchsorted(vertex_ring, np.arange(len(rings) + 1)).astype(np.int64)
    return rings, xy, ring_start, numbers[part_owner[ring_part]].astype(np.int64)


def _boxes(x: NDArray[Any], y: NDArray[Any], owner: Indices, count: int) -> Indices:
    """Return (N, 4) rows and columns whose centres an outline may own, 0 without a vertex."""
    box = np.zeros((count, 4), np.int64)
    if len(owner):
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        low = [np.floor(np.minimum.reduceat(value, first)) for value in (y, x)]
        high = [np.ceil(np.maximum.reduceat(value, first)) + 1 for value in (y, x)]
        limit = 2.0**40  # far beyond any raster, well within int64
        box[owner[first]] = np.clip(np.column_stack(low + high), -limit, limit).astype(np.int64)
    return box
