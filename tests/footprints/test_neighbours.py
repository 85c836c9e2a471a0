"""Offsets of single buildings are kept only where the neighbours agree."""

import numpy as np
import pytest

from deepnets4eo.footprints.offsets import regularise

ROW = np.column_stack((np.arange(12) * 20.0, np.zeros(12)))


def test_a_lone_outlier_takes_its_neighbours_median():
    offsets = np.tile([1.0, 2.0], (12, 1))
    offsets[5] = (-3, 4)
    result, own = regularise(ROW, offsets, np.ones(12, bool), np.zeros(2), 0.5)
    np.testing.assert_allclose(result, np.tile([1.0, 2.0], (12, 1)))
    assert np.flatnonzero(~own).tolist() == [5]


def test_a_building_that_is_not_trusted_takes_its_neighbours_median():
    offsets = np.tile([1.0, 2.0], (12, 1))
    offsets[3] = (1.2, 2.1)
    trusted = np.arange(12) != 3
    result, own = regularise(ROW, offsets, trusted, np.zeros(2), 0.5)
    assert result[3] == pytest.approx((1, 2))
    assert not own[3]


def test_small_differences_are_kept():
    offsets = np.random.default_rng(0).normal([1.0, 2.0], 0.1, (12, 2))
    result, own = regularise(ROW, offsets, np.ones(12, bool), np.zeros(2), 0.5)
    assert own.all()
    np.testing.assert_array_equal(result, offsets)


def test_far_buildings_do_not_count_and_the_common_offset_remains():
    points = np.array([[0.0, 0.0], [1000, 0], [2000, 0]])
    offsets = np.array([[1.0, 0], [5, 5], [1, 0.2]])
    result, own = regularise(points, offsets, np.ones(3, bool), np.array([1.0, 0.0]), 0.5)
    assert own.tolist() == [True, False, True]
    assert result[1] == pytest.approx((1, 0))


@pytest.mark.parametrize("chunk", [50_000, 40, 7])
def test_the_median_over_neighbours_is_numpys_however_many_are_compared_together(chunk):
    rng = np.random.default_rng(1)
    points, offsets = rng.uniform(0, 900, (120, 2)), rng.normal(0, 1, (120, 2))
    trusted = rng.random(120) < 0.8
    result, own = regularise(points, offsets, trusted, np.array([9.0, 8.0]), 0.3, chunk)
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    distance[:, ~trusted] = np.inf
    lone = 0
    for i in range(120):
        near = np.argsort(distance[i])[: 8 + (not trusted[i])]  # of the nine nearest trusted ones, it may be one itself
        near = near[distance[i, near] <= 150]
        middle, limit = np.array([9.0, 8.0]), 0.3
        if len(near) >= 3:
            middle = np.median(offsets[near], axis=0)
            limit = max(limit, 2 * np.median(np.hypot(*(offsets[near] - middle).T)))
        else:
            lone += 1
        kept = trusted[i] and np.hypot(*(offsets[i] - middle)) <= limit
        assert own[i] == kept
        np.testing.assert_allclose(result[i], offsets[i] if kept else middle)
    assert 0 < lone < 60
    assert 20 < own.sum() < 100


def test_without_trust_all_take_the_common_offset():
    result, own = regularise(ROW, np.ones((12, 2)), np.zeros(12, bool), np.array([3.0, 4.0]), 0.5)
    assert not own.any()
    assert (result == (3, 4)).all()


def test_copies_of_an_outline_do_not_confirm_each_other():
    col, row = np.meshgrid(np.arange(6) * 20.0, np.arange(6) * 20.0)
    points = np.column_stack([col.ravel(), row.ravel()])
    offsets = np.tile([1.0, 0.0], (36, 1))
    offsets[14] = -6, 7
    once, own = regularise(points, offsets, np.ones(36, bool), np.zeros(2), 1.0)
    rows = np.concatenate([np.arange(36), np.full(9, 14)])
    copied, own_copied = regularise(points[rows], offsets[rows], np.ones(45, bool), np.zeros((45, 2)), 1.0)
    np.testing.assert_array_equal(once[14], [1, 0])
    np.testing.assert_array_equal(copied, once[rows])
    np.testing.assert_array_equal(own_copied, own[rows])
