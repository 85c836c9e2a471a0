"""Polygons as flat arrays of vertices and back, so that NumPy can work on all of them at once.

Takes arrays of shapely Polygons without None or empty ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray


class Vertices(NamedTuple):
    """All vertices of some polygons, the closing one of each ring left out.

    xy : (V, 2) · ring : (V,) number of the ring · before, after : (V,) neighbours along the ring
    owner : (R,) polygon of each ring; its shell comes first
    """

    xy: NDArray[np.float64]
    ring: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    owner: NDArray[np.int64]


def vertices(polygons: NDArray[Any]) -> Vertices:
    """Take polygons (N,) apart."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    is_last = np.diff(ring, append=-1) != 0
    xy, ring = xy[~is_last], ring[~is_last]
    start = np.searchsorted(ring, np.arange(len(rings)))
    stop = np.append(start[1:], len(ring))
    here = np.arange(len(ring))
    before = np.where(here == start[ring], stop[ring] - 1, here - 1)
    after = np.where(here == stop[ring] - 1, start[ring], here + 1)
    return Vertices(xy, ring, before, after, owner)


def from_rings(xy: NDArray[np.float64], ring: NDArray[np.int64], owner: NDArray[np.int64]) -> NDArray[Any]:
    """Put polygons together from vertices (V, 2) in order, their rings (V,) and each ring's polygon (R,)."""
    return shapely.polygons(shapely.linearrings(xy, indices=ring), indices=owner)
