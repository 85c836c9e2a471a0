"""What is larger than any building."""

import numpy as np
import shapely

from deepnets4eo.damage.outline_limits import larger_than_buildings, without


def test_two_square_kilometres_are_no_building_in_any_pixel_size() -> None:
    shapes = np.array([shapely.box(0, 0, 1400, 1400), shapely.box(0, 0, 1430, 1430), shapely.Polygon()], object)
    assert larger_than_buildings(shapes, 1.0).tolist() == [False, True, False]
    assert larger_than_buildings(shapes, 0.5).tolist() == [False] * 3
    left = without(shapes, larger_than_buildings(shapes, 1.0))
    assert shapely.is_empty(left).tolist() == [False, True, True]
