"""Polygons taken apart and put together again."""

from __future__ import annotations

import numpy as np
import shapely

from deepnets4eo.polygons import centres, map_shapes
from deepnets4eo.polygons.vertices import from_rings, vertices


def test_polygons_with_holes_survive_the_round_trip() -> None:
    court = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior.coords, [shapely.box(3, 3, 6, 6).exterior.coords])
    shapes = np.array([court, shapely.box(20, 0, 24, 3)])
    parts = vertices(shapes)
    assert len(parts.xy) == 12
    assert shapely.equals_exact(from_rings(parts.xy, parts.ring, parts.owner), shapes).all()


def test_neighbours_close_each_ring() -> None:
    parts = vertices(np.array([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)]))
    assert parts.after.tolist() == [1, 2, 3, 0, 5, 6, 7, 4]
    assert parts.before.tolist() == [3, 0, 1, 2, 7, 4, 5, 6]


def test_shapes_without_a_place_have_no_centre_and_no_coordinates() -> None:
    shapes = np.array([shapely.box(0, 0, 4, 2), shapely.Polygon(), None, shapely.box(10, 0, 12, 2)])
    assert np.allclose(centres(shapes), [[2, 1], [np.nan, np.nan], [np.nan, np.nan], [11, 1]], equal_nan=True)
    moved = map_shapes(shapes, lambda xy: np.where(xy[:, :1] > 11, np.nan, xy + (100, 0)))  # nowhere to the right of 11
    assert shapely.equals_exact(moved[0], shapely.box(100, 0, 104, 2))
    assert shapely.is_empty(moved).tolist() == [False, True, False, True]
    assert moved[2] is None
