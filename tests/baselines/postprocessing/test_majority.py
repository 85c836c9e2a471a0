"""Votes of square windows against a plain loop; void and unknown pixels; the same bits wherever a window starts."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from refusals import raises_naming

from deepnets4eo.baselines.postprocessing import majority_filter
from deepnets4eo.baselines.postprocessing.votes import argmax_class, fraction_bits, vote_shares, window_sums
from deepnets4eo.errors import InputError

LABELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 4, 255]))  # fmt: skip


def by_loop(labels, radius):
    result = labels.copy()
    for row, col in np.argwhere(labels != 255):
        around = labels[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1]
        found, votes = np.unique(around[around != 255], return_counts=True)
        winners = found[votes == votes.max()]
        result[row, col] = labels[row, col] if labels[row, col] in winners else winners[0]
    return result


@given(LABELS, st.integers(1, 4))
def test_the_majority_agrees_with_a_loop_over_pixels_and_void_neither_votes_nor_changes(labels, radius):
    found = majority_filter(labels, radius)
    np.testing.assert_array_equal(found, by_loop(labels, radius))
    assert found.dtype == np.uint8


@given(LABELS, st.integers(1, 3))
def test_shares_of_votes_sum_to_one_and_their_best_is_the_majority(labels, radius):
    shares = vote_shares(labels, 5, radius)
    np.testing.assert_array_equal(argmax_class(shares), majority_filter(labels, radius))
    known = labels != 255
    np.testing.assert_allclose(shares[:, known].sum(axis=0), 1, atol=1e-6)
    assert np.isnan(shares[:, ~known]).all()


def test_probabilities_become_the_mean_of_the_known_ones_in_the_window():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(4), (11, 13)).transpose(2, 0, 1).astype(np.float32)
    proba[:, 3, 4] = np.nan
    found = majority_filter(proba, 2)
    for row, col in np.ndindex(11, 13):
        around = proba[:, max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3].reshape(4, -1)
        expected = np.full(4, np.nan) if (row, col) == (3, 4) else np.nanmean(around, axis=1)
        np.testing.assert_allclose(found[:, row, col], expected, atol=1e-6)


@pytest.mark.parametrize("radius", [1, 7])
def test_a_pixel_has_the_same_bits_in_any_tile_that_holds_its_window(radius):
    proba = np.random.default_rng(1).dirichlet(np.ones(3), (60, 50)).transpose(2, 0, 1).astype(np.float32)
    whole = majority_filter(proba, radius)[:, 20:30, 20:30]
    part = majority_filter(np.ascontiguousarray(proba[:, 20 - radius : 30 + radius, 20 - radius : 30 + radius]), radius)
    np.testing.assert_array_equal(part[:, radius:-radius, radius:-radius], whole)


def test_a_constant_image_stays_and_a_lone_pixel_goes():
    labels = np.full((9, 9), 3, np.uint8)
    np.testing.assert_array_equal(majority_filter(labels, 2), labels)
    labels[4, 4] = 1
    assert (majority_filter(labels, 1) == 3).all()
    void = np.full((4, 4), 255, np.uint8)
    np.testing.assert_array_equal(majority_filter(void, 2), void)


@given(arrays.arrays(np.uint32, (7, 6), elements=st.integers(0, 2**20)), st.integers(1, 9))
def test_window_sums_are_exact(values, radius):
    found = window_sums(values, radius)
    assert found.dtype == np.uint32
    for row, col in np.ndindex(7, 6):
        rows, cols = slice(max(row - radius, 0), row + radius + 1), slice(max(col - radius, 0), col + radius + 1)
        assert found[row, col] == int(values[rows, cols].astype(np.int64).sum())


def test_running_sums_beyond_32_bits_do_no_harm():
    """The running sum overflows after 2**32; the differences do not."""
    values = np.full((3, 5000), 2**23, np.uint32)
    assert window_sums(values, 1)[1, 4000] == 9 * 2**23
    assert window_sums(values[:, ::2] // 2**12, 20)[1, 2000] == 3 * 41 * 2**11
    assert all((2 * radius + 1) ** 2 * 2 ** fraction_bits(radius) < 2**32 for radius in range(1, 1001))


@pytest.mark.parametrize("radius", [0, -1, 1001])
def test_a_radius_out_of_range_is_refused(radius):
    with raises_naming(InputError, "radius_px", radius):
        majority_filter(np.zeros((3, 3), np.uint8), radius)
