"""Outlines of many polygons as points with normals, and how well image edges follow them at many shifts.

Kernels on flat arrays: all points of all buildings of a block are looked up together, one shift after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

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
    count = len(outlines.starts) - 1
    lengths = np.diff(outlines.starts)
    weight = 1.0 / np.maximum(lengths, 1)
    scores = np.zeros((count, side, side), np.float32)
    known = np.flatnonzero(lengths)
    if not len(known):
        return scores
    real, imaginary = padded.real.ravel(), padded.imag.ravel()
    cos, sin = normals.real.copy(), normals.imag.copy()
    for dy in range(side):
        for dx in range(side):
            at = first + (dy * padded.shape[1] + dx)
            along = real[at] * cos + imaginary[at] * sin
            scores[known, dy, dx] = np.add.reduceat(along, outlines.starts[known])
    return scores * weight[:, None, None].astype(np.float32)
