"""Outlines of many polygons as points with normals, and how well image edges follow them at many shifts.

Kernels on flat arrays: the points of all buildings of a block are one sparse matrix, applied once for each shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from deepnets4eo.damage.registration.correlation import Field
from deepnets4eo.damage.registration.ground import Points


@dataclass(frozen=True)
class Outlines:
    """Points along the outlines of N buildings, in order of building."""

    points: Points  # (P, 2) x, y
    normals: NDArray[np.complex64]  # (P,) squared unit normal, as orientation_field has it
    starts: NDArray[np.intp]  # (N + 1,) where each building's points begin
    centres: Points  # (N, 2) middle of each building's bounding box

    def subset(self, buildings: NDArray[np.intp]) -> Outlines:
        """The outlines of some buildings, in that order."""
        lengths = self.starts[buildings + 1] - self.starts[buildings]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        index = np.repeat(self.starts[buildings] - starts[:-1], lengths) + np.arange(starts[-1])
        return Outlines(self.points[index], self.normals[index], starts, self.centres[buildings])


def trace(polygons: NDArray[np.object_], step: float) -> Outlines:
    """Points every `step` along the exterior rings of polygons and multipolygons.

    polygons : (N,) shapely geometries; empty ones and others than (multi)polygons get no points.
    """
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings = shapely.get_exterior_ring(parts)
    known = ~shapely.is_missing(rings) & ~shapely.is_empty(rings)
    rings, owner = shapely.segmentize(rings[known], step), owner[known]
    coords, ring = shapely.get_coordinates(rings, return_index=True)
    along = np.diff(coords, axis=0)
    length = np.hypot(along[:, 0], along[:, 1])
    within = (ring[1:] == ring[:-1]) & (length > 0)
    middle = 0.5 * (coords[1:] + coords[:-1])[within]
    normal = (along[within, 1] - 1j * along[within, 0]) / length[within]
    building = owner[ring[1:][within]]
    starts = np.searchsorted(building, np.arange(len(polygons) + 1))
    bounds = shapely.bounds(polygons)
    centres = 0.5 * (bounds[:, :2] + bounds[:, 2:])
    return Outlines(middle, (normal * normal).astype(np.complex64), starts, centres)


def edge_agreement(field: Field, outlines: Outlines, radius_px: int) -> NDArray[np.float32]:
    """How well the edges of a field follow the outlines, moved by every shift up to ± radius.

    field : (h, w) complex64 from `orientation_field`; outlines in its pixel coordinates.
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
    weights = (normals / np.repeat(np.maximum(lengths, 1), lengths)).astype(np.complex64).view(np.float32)
    columns = np.repeat(2 * first, 2)
    columns[1::2] += 1
    along = csr_matrix((weights, columns, 2 * outlines.starts), shape=(len(lengths), len(flat) - reach))
    scores = np.empty((len(lengths), side, side), np.float32)
    for dy in range(side):
        for dx in range(side):
            start = 2 * (dy * padded.shape[1] + dx)
            scores[:, dy, dx] = along @ flat[start : start + along.shape[1]]
    return scores
