"""Slopes of surfaces, against planes and against Horn's formula written out."""

import numpy as np
import pytest

from deepnets4eo.terrain import slope_deg, surface_gradient


@pytest.mark.parametrize("gsd_m", [(1.0, 1.0), (0.5, 0.2), (30.0, 18.5)])
def test_a_plane_has_its_slope_everywhere_at_edges_and_beside_gaps_too(gsd_m):
    rows, cols = np.indices((12, 15))
    plane = 100 + 0.3 * gsd_m[0] * rows - 0.4 * gsd_m[1] * cols
    plane[5:8, 5:9] = np.nan
    plane[0, 0] = plane[2, 2] = np.nan
    right, down = surface_gradient(plane, gsd_m)
    seen = np.isfinite(plane)
    assert np.allclose(right[seen], -0.4, atol=1e-3)
    assert np.allclose(down[seen], 0.3, atol=1e-3)
    assert np.isnan(right[~seen]).all()
    assert np.isnan(down[~seen]).all()
    assert np.allclose(slope_deg(plane, gsd_m)[seen], np.degrees(np.arctan(0.5)), atol=0.05)


def test_inside_it_is_the_formula_of_horn():
    heights = np.random.default_rng(0).normal(50, 3, (9, 11))
    found = slope_deg(heights, (2.0, 0.5))
    for row, col in ((1, 1), (4, 7), (7, 9)):
        (a, b, c), (d, _, f), (g, h, i) = heights[row - 1 : row + 2, col - 1 : col + 2]
        right = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * 0.5)
        down = ((g + 2 * h + i) - (a + 2 * b + c)) / (8 * 2.0)
        assert found[row, col] == pytest.approx(np.degrees(np.arctan(np.hypot(right, down))), abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
def test_surfaces_of_a_pixel_a_row_or_a_column_are_flat_across(shape):
    rising = np.arange(float(max(shape))).reshape(shape)
    assert np.allclose(slope_deg(rising, (1.0, 1.0)), 45 if max(shape) > 1 else 0)


def test_a_pixel_alone_among_unknown_ones_is_flat():
    heights = np.full((5, 5), np.nan)
    heights[2, 2] = 7
    found = slope_deg(heights, (1.0, 1.0))
    assert found[2, 2] == 0
    assert np.isnan(found).sum() == 24


def test_beside_missing_heights_the_gradient_is_that_of_those_that_are_known():
    heights = np.full((3, 3), np.nan)
    heights[0], heights[1, 1] = [1, 3, 5], 3
    assert surface_gradient(heights, (1.0, 1.0))[0, 1, 1] == 2
