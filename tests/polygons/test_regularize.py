"""Right angles where they fit, and only there."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import example, given, strategies as st
from shapely.affinity import rotate

from deepnets4eo.polygons.smoothing import make_right_angled


def test_round_outlines_are_not_squared() -> None:
    tank = shapely.Point(0, 0).buffer(10)
    triangle = shapely.Polygon([(0, 0), (20, 0), (0, 3)])
    assert make_right_angled(triangle, 1.0) is triangle
    squared = make_right_angled(tank, 1.0, min_iou=0.97)
    assert squared is tank


def test_a_wing_at_another_angle_is_not_forced() -> None:
    wing = shapely.affinity.rotate(shapely.box(0, 0, 12, 5), 35, origin=(0, 0))
    both = shapely.union(shapely.box(-20, -30, 6, 1), wing)
    assert make_right_angled(both, 1.0) is both


def test_jogs_below_the_limit_go_and_wings_stay() -> None:
    ell = shapely.Polygon([(0, 0), (20, 0), (20, 8), (8, 8), (8, 20), (0, 20)])
    jagged = shapely.Polygon([(0, 0), (9, 0), (9, 0.4), (11, 0.4), (11, 0), (20, 0), (20, 8), (8, 8), (8, 20), (0, 20)])
    squared = make_right_angled(shapely.affinity.rotate(jagged, 17), 1.0)
    assert len(squared.exterior.coords) - 1 == 6
    assert shapely.affinity.rotate(squared, -17, origin=(10, 10)).symmetric_difference(ell).area < 6


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), min_size=3, max_size=12), st.floats(0.1, 8))
@example([(0.0, 5.0), (23.0, 8.0), (25.0, 4.0), (5e-324, 3.0)], 1.0)  # GEOS cannot intersect a candidate with it
def test_squaring_always_gives_a_valid_polygon_that_overlaps(points: list[tuple[float, float]], side: float) -> None:
    hull = shapely.Polygon(sorted(points, key=lambda p: np.arctan2(p[1] - 15, p[0] - 15)))
    if hull.geom_type != "Polygon" or hull.area < 1 or not hull.is_valid:
        return
    squared = make_right_angled(hull, side)
    assert squared.is_valid
    assert squared.intersection(hull).area / squared.union(hull).area >= 0.85


def test_right_angles_do_not_depend_on_the_scale() -> None:
    jagged = shapely.Polygon([(0, 0), (9, 0), (9, 0.4), (11, 0.4), (11, 0), (20, 0), (20, 8), (8, 8), (8, 20), (0, 20)])
    turned = rotate(jagged, 17)
    for scale in (0.1, 1.0, 10.0):
        large = shapely.transform(turned, lambda xy, scale=scale: xy * scale)
        assert len(make_right_angled(large, scale).exterior.coords) - 1 == 6
