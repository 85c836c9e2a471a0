"""Outlines of a page of regions: stairs of pixels are lines, whatever the pixels measure on the ground."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from deepnets4eo.grid import Grid
from deepnets4eo.maps.region_page import _encode, _thinned

STEPS = 20


@pytest.mark.parametrize("gsd_m", [0.5, 10.0])
def test_stairs_of_single_pixels_become_lines_and_larger_ones_stay(gsd_m: float) -> None:
    """A triangle of stairs of one pixel, and stairs of two."""
    stairs = np.repeat(np.arange(STEPS + 1), 2)
    outline = np.column_stack([stairs[1:], stairs[:-1]])
    shapes = [shapely.Polygon([*(size * outline), (0, size * STEPS)]) for size in (1, 2)]
    grid = Grid((80, 80), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), "EPSG:32633")
    on_ground = [
        shapely.affinity.affine_transform(shape, [gsd_m, 0, 0, -gsd_m, 500_000, 5_000_000]) for shape in shapes
    ]
    for shape, kept in zip(on_ground, (False, True), strict=True):
        frame = gpd.GeoDataFrame({"id": ["1"], "area_m2": [shape.area], "score": [0.5]}, geometry=[shape])
        lengths = {name: length for name, _, length in _encode(frame, np.zeros(1, int), grid).directory}
        corners = len(shape.exterior.coords)
        points = max(lengths.values())
        assert points > 0.9 * corners if kept else points < 0.2 * corners


def test_large_outlines_are_thinned_like_small_ones_and_none_vanishes() -> None:
    """An outline of stairs of one pixel, and a comb with teeth of one pixel, whose corners are all nearer than the distance."""
    stairs = [(x, y) for step in range(200) for x, y in ((step, step), (step + 1, step))]
    shapes = np.array([shapely.Polygon([*stairs, (200, 200), (0, 200)]), shapely.box(0, 0, 0.5, 0.5)])
    comb = [(x, y) for tooth in range(200) for x, y in ((2 * tooth / 1e3, 0), ((2 * tooth + 1) / 1e3, 0.1))]
    shapes = np.append(shapes, shapely.Polygon([*comb, (0.4, 0.2), (0, 0.2)]))
    thinned = _thinned(shapes, 0.75)
    assert shapely.get_num_coordinates(thinned[0]) < 10
    assert shapely.area(thinned[0]) == pytest.approx(shapely.area(shapes[0]), rel=0.01)
    assert not shapely.is_empty(thinned).any()
