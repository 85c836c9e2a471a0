"""Truncated signed distances: those of scipy, clipped."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from deepnets4eo.osm.rasterize import signed_distance

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def by_scipy(mask, clip_m, step_m):
    if mask.all() or not mask.any():
        return np.where(mask, clip_m, -clip_m)
    inside, outside = (distance_transform_edt(part, sampling=step_m) for part in (mask, ~mask))
    return np.clip(inside - outside, -clip_m, clip_m)


@given(MASKS, st.floats(0.3, 9), st.sampled_from([(1.0, 1.0), (0.5, 0.5), (0.3, 0.7)]))
def test_it_is_scipys_distance_inside_minus_outside_clipped(mask, clip_m, step_m):
    assert np.allclose(signed_distance(mask, clip_m, step_m), by_scipy(mask, clip_m, step_m), rtol=1e-5)


@pytest.mark.parametrize("clip_m", [5.0, 40.0, 400.0])
def test_large_masks_and_wide_truncations_agree_with_scipy(clip_m):
    mask = np.random.default_rng(1).random((330, 410)) > 0.9995
    assert np.allclose(signed_distance(mask, clip_m, (0.5, 0.5)), by_scipy(mask, clip_m, (0.5, 0.5)), rtol=1e-5)


def test_the_square_of_the_published_convention():
    mask = np.zeros((7, 7), bool)
    mask[2:5, 2:5] = True
    found = signed_distance(mask, 9)
    assert found[3].tolist() == [-2, -1, 1, 2, 1, -1, -2]
    assert found[0, 0] == pytest.approx(-2.8284, abs=1e-4)
    assert found[1, 1] == pytest.approx(-1.4142, abs=1e-4)
    assert (signed_distance(mask, 2)[3] / 2).tolist() == [-1, -0.5, 0.5, 1, 0.5, -0.5, -1]


def test_masks_without_a_border_are_far_from_it():
    assert (signed_distance(np.zeros((4, 5), bool), 3) == -3).all()
    assert (signed_distance(np.ones((4, 5), bool), 3) == 3).all()
