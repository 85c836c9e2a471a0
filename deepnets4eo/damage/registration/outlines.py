"""Outlines of many polygons as points with normals, and how well image edges follow them at many shifts.

Kernels on flat arrays: the points of all buildings of a block are one sparse matrix, applied once for each shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from deepnets4eo.arrays import Points, Spectrum
from deepnets4eo.damage.outline_limits import concatenate_starts, pieces_near
from deepnets4eo.zonal.outlines import ranges


@dataclass(frozen=True)
class Outlines:
    """Points along the outlines of N buildings, in order of building."""

    points: Points  # (P, 2) x, y
    normals: NDArray[np.complex64]  # (P,) squared unit normal, as orientation_field has it
    starts: NDArray[np.intp]  # (N + 1,) where each building's points begin
    whole: NDArray[np.intp]  # (N,) points of the whole outline, those included that were not made


@dataclass(frozen=True)
class Sides:
    """Straight sides of the exterior rings of N polygons and multipolygons, in order of building."""

    begin: Points  # (E, 2) x, y
    end: Points
    starts: NDArray[np.intp]  # (N + 1,) where each building's sides begin
    centres: Points  # (N, 2) middle of each building's bounding box

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> Sides:
        """Sides of (N,) shapely geometries; empty ones and others than (multi)polygons have none."""
        parts, owner = shapely.get_parts(polygons, return_index=True)
        rings = shapely.get_exterior_ring(parts)
        known = ~shapely.is_missing(rings) & ~shapely.is_empty(rings)
        coords, ring = shapely.get_coordinates(rings[known], return_index=True)
        side = (ring[1:] == ring[:-1]) & (coords[1:] != coords[:-1]).any(axis=1)
        building = owner[known][ring[1:][side]]
        bounds = shapely.bounds(polygons)
        return cls(
            coords[:-1][side],
            coords[1:][side],
            np.searchsorted(building, np.arange(len(polygons) + 1)),
            0.5 * (bounds[:, :2] + bounds[:, 2:]),
        )

    @classmethod
    def joined(cls, parts: list[Sides]) -> Sides:
        """The sides of all buildings of several parts."""
        begin, end, centres = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("begin", "end", "centres")
        )
        return cls(begin, end, concatenate_starts([part.starts for part in parts]), centres)

    def subset(self, buildings: NDArray[np.intp]) -> Sides:
        """The sides of some buildings, in that order."""
        lengths = self.starts[buildings + 1] - self.starts[buildings]
        index = ranges(self.starts[buildings], lengths)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        return Sides(self.begin[index], self.end[index], starts, self.centres[buildings])

    def pieces(self, step: float) -> NDArray[np.int64]:
        """(E,) number of equal pieces, no longer than `step`, that each side is cut into."""
        along = self.end - self.begin
        length = np.sqrt(along[:, 0] * along[:, 0] + along[:, 1] * along[:, 1])
        return np.maximum(np.ceil(length / step), 1).astype(np.int64)

    def reach(self, step: float) -> tuple[Points, Points]:
        """Smallest and largest x, y of the points that `trace` makes: a side's farthest are its first and last."""
        count = self.pieces(step)
        outer = [self._points(np.arange(len(count)), number, count)[0] for number in (np.zeros_like(count), count - 1)]
        return np.minimum(*outer).min(axis=0), np.maximum(*outer).max(axis=0)

    def points_near(self, step: float, low: Points, high: Points) -> NDArray[np.int64]:
        """(N,) number of points that `trace` makes of each building in a box."""
        _, made = pieces_near(self.begin, self.end, self.pieces(step), low, high)
        return np.diff(np.concatenate(([0], np.cumsum(made)))[self.starts])

    def trace(self, step: float, box: tuple[Points, Points] | None = None) -> Outlines:
        """Points in the middle of all pieces of the sides.

        box : its corners; only points in it, and a few around it, are made. Their places are the same as without it.
        """
        count = self.pieces(step)
        first, made = np.zeros_like(count), count
        if box is not None:
            first, made = pieces_near(self.begin, self.end, count, *box)
        side = np.repeat(np.arange(len(count)), made)
        points, normals = self._points(side, ranges(first, made), count)
        before, whole = (np.concatenate(([0], np.cumsum(number)))[self.starts] for number in (made, count))
        return Outlines(points, (normals * normals).astype(np.complex64), before, np.diff(whole))

    def _points(
        self, side: NDArray[np.intp], number: NDArray[np.int64], count: NDArray[np.int64]
    ) -> tuple[Points, NDArray[np.complex128]]:
        """Middles and unit normals of some pieces."""
        begin, end, pieces = self.begin[side], self.end[side], count[side]
        across = end - begin
        length = np.sqrt(across[:, 0] * across[:, 0] + across[:, 1] * across[:, 1])
        piece = length / pieces
        first = begin + (number * piece / length)[:, None] * across
        last = begin + ((number + 1) * piece / length)[:, None] * across
        last = np.where((number + 1 == pieces)[:, None], end, last)  # to the bit
        along = last - first
        normals = np.divide(along[:, 1] - 1j * along[:, 0], np.hypot(along[:, 0], along[:, 1]), dtype=np.complex128)
        return 0.5 * (last + first), normals


def edge_agreement(field: Spectrum, outlines: Outlines, radius_px: int) -> NDArray[np.float32]:
    """How well the edges of a field follow the outlines, moved by every shift up to ± radius.

    field : (h, w) complex64 from `orientation_field`; outlines in its pixel coordinates. What lies beyond is no edge.
    returns : (N, 2r + 1, 2r + 1) float32, mean over the outline's points of the edge component along the normal:
    1 strong edges all along, 0 no relation, −1 edges across the outline. Axes: shift in rows, in columns.
    Peak memory: a few vectors of P values.
    """
    height, width = field.shape
    side = 2 * radius_px + 1
    padded = np.zeros((height + side - 1, width + side - 1), np.complex64)
    padded[radius_px : radius_px + height, radius_px : radius_px + width] = field
    col = np.floor(outlines.points[:, 0]).astype(np.intp)
    row = np.floor(outlines.points[:, 1]).astype(np.intp)
    inside = (row >= 0) & (col >= 0) & (row < height) & (col < width)
    first = np.where(inside, row * padded.shape[1] + col, 0)
    normals = np.where(inside, outlines.normals, 0).astype(np.complex64)
    flat = padded.view(np.float32).ravel()
    reach = ((side - 1) * padded.shape[1] + side - 1) * 2
    lengths = np.diff(outlines.starts)
    weights = (normals / np.repeat(np.maximum(outlines.whole, 1), lengths)).astype(np.complex64).view(np.float32)
    columns = np.repeat(2 * first, 2)
    columns[1::2] += 1
    along = csr_matrix((weights, columns, 2 * outlines.starts), shape=(len(lengths), len(flat) - reach))
    scores = np.empty((len(lengths), side, side), np.float32)
    for dy in range(side):
        for dx in range(side):
            start = 2 * (dy * padded.shape[1] + dx)
            scores[:, dy, dx] = along @ flat[start : start + along.shape[1]]
    return scores
