"""Polygons as flat arrays of vertices and back; centres and maps of shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.errors import GridError
from deepnets4eo.grid import transformer


class Vertices(NamedTuple):
    """Vertices without the closing ones: xy (V, 2), ring (V,), neighbours before and after (V,), owner (R,)."""

    xy: Floats
    ring: Indices
    before: Indices
    after: Indices
    owner: Indices


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


def from_rings(xy: Floats, ring: Indices, owner: Indices) -> NDArray[Any]:
    """Polygons from vertices (V, 2) in order, their rings (V,) and each ring's polygon (R,)."""
    return shapely.polygons(shapely.linearrings(xy, indices=ring), indices=owner)


def centres(shapes: NDArray[Any]) -> Floats:
    """Centroids (N, 2) of shapes (N,), or NaN."""
    points = shapely.centroid(shapes)
    xy = np.full((len(points), 2), np.nan)
    present = ~(shapely.is_missing(points) | shapely.is_empty(points))
    xy[present] = shapely.get_coordinates(points[present])
    return xy


def map_shapes(shapes: NDArray[Any], forth: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """Map the coordinates (V, 2) of shapes (N,) by a function; shapes become empty if a coordinate is no longer finite."""
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    mapped = forth(xy)
    nowhere = np.zeros(len(shapes), bool)
    nowhere[owner[~np.isfinite(mapped).all(axis=1)]] = True
    kept = np.where(nowhere, shapely.Polygon(), shapely.force_2d(shapes))
    return np.asarray(shapely.set_coordinates(kept, mapped[~nowhere[owner]]))


def off_the_earth(shapes: NDArray[Any], crs: Any) -> Mask:
    """Return (N,) bool: the projection has no longitude and latitude for a coordinate."""
    lost = np.zeros(len(shapes), bool)
    try:
        to_degrees = transformer(crs, 4326)
    except GridError:
        return lost
    known = np.flatnonzero(~(shapely.is_missing(shapes) | shapely.is_empty(shapes)))
    corners = shapely.bounds(shapes[known])[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]
    doubtful = known[~np.isfinite(to_degrees.transform(corners[..., 0], corners[..., 1])).all(axis=(0, 2))]
    xy, owner = shapely.get_coordinates(
        shapes[doubtful], return_index=True
    )  # a corner of the bounds need not be one of the shape
    lost[doubtful[owner[~np.isfinite(to_degrees.transform(*xy.T)).all(axis=0)]]] = True
    return lost
