"""Polygons taken apart and put together again."""

from __future__ import annotations

import numpy as np
import shapely

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
