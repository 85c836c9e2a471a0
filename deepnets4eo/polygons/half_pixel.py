"""Areas of regions of pixels whose borders move by half a pixel, from the corners of their outlines instead of a buffer.

Each pixel has four quarters. A border moved by half a pixel takes the quarters along the sides of the outline whole, and a quarter of a disc
(π/16 of a pixel) of the quarter that meets the outline only in a corner.
"""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.grid import apply_affine

QUARTER, DISC = 1 / 4, np.pi / 16  # pixels: a quarter, and the part of it within half a pixel of its corner


def areas_half_a_pixel_apart(shapes: NDArray[np.object_], affine: Affine) -> tuple[Floats, Floats]:
    """Return the areas of regions of pixels with borders half a pixel further in and out, in shares of their areas.

    shapes : (N,) polygons whose sides run along pixels, as `polygonize` traces them; affine : from pixels to their coordinates
    """
    if not len(shapes):
        return np.empty(0), np.empty(0)
    rings, polygon = shapely.get_rings(shapes, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    pixels = np.rint(apply_affine(~affine, points)).astype(np.int64)
    closing = np.append(ring[1:] != ring[:-1], True)  # the last point of each ring is its first
    sides = np.diff(pixels, axis=0)[~closing[:-1]]
    pixels, ring = pixels[~closing], ring[~closing]
    number = len(rings)
    doubled = np.bincount(
        ring, pixels[:, 0] * sides[:, 1] - pixels[:, 1] * sides[:, 0], number
    )  # twice the signed area
    outer = np.append(True, polygon[1:] != polygon[:-1])
    first = np.searchsorted(ring, np.arange(number))
    before = np.arange(len(ring)) - 1
    before[first] = np.append(first[1:], len(ring)) - 1
    turn = sides[before, 0] * sides[:, 1] - sides[before, 1] * sides[:, 0]
    convex = np.sign(turn) * np.where((doubled > 0) == outer, 1, -1)[ring]
    of, count = polygon[ring], len(shapes)
    convex[_touches_itself(of, pixels) & (convex != 0)] = (
        2  # two such corners take two quarters twice, inside and outside
    )
    length = np.bincount(of, np.abs(sides).sum(axis=1), count)
    inner, outward, touching = (np.bincount(of[convex == kind], minlength=count) for kind in (1, -1, 2))
    area = np.abs(np.bincount(polygon, np.where(outer, 1, -1) * np.abs(doubled), count)) / 2
    lost = length / 2 - QUARTER * (inner + touching) + DISC * outward
    gained = length / 2 - QUARTER * (outward + touching) + DISC * inner
    return (area - lost) / area, (area + gained) / area


def _touches_itself(polygon: Indices, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) whether a polygon's outline passes a corner twice."""
    low = pixels.min(axis=0)
    width, height = pixels.max(axis=0) - low + 1
    position = (polygon * width + pixels[:, 0] - low[0]) * height + pixels[:, 1] - low[1]
    _, inverse, visits = np.unique(position, return_inverse=True, return_counts=True)
    twice: NDArray[np.bool_] = visits[inverse] > 1
    return twice
