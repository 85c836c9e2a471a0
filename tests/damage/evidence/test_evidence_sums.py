"""Sums per building against plain loops, correlations against numpy's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deepnets4eo.damage.evidence.sums import Groups, correlation_sums, correlations


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60))
def test_sums_per_building_agree_with_a_loop(owners: list[int]) -> None:
    owner = np.array(sorted(owners), dtype=np.int64)
    values = np.random.default_rng(0).normal(size=(2, len(owner))).astype(np.float32)
    sums = Groups(owner, 10).sum(values)
    expected = [[float(part[owner == building].sum()) for part in values.astype(float)] for building in range(10)]
    assert np.allclose(sums, expected, atol=1e-4)


def test_correlations_of_every_shift_agree_with_numpy() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 30, 40)).astype(np.float32)
    rows, cols = np.mgrid[8:20, 9:25]
    flat = (rows * 40 + cols).ravel()
    groups = Groups(np.zeros(len(flat), np.int64), 1)
    offsets = np.array([0, 1, -40, 81])
    sums = correlation_sums(groups, flat, first, second, offsets)
    pearson, structure = correlations(np.array([float(len(flat))]), sums, 0.0)
    for column, offset in enumerate(offsets):
        x, y = first.ravel()[flat], second.ravel()[flat + offset]
        assert np.isclose(pearson[0, column], np.corrcoef(x, y)[0, 1], atol=1e-4)
        assert np.isclose(structure[0, column], 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var()), atol=1e-4)


def test_a_flat_building_correlates_with_nothing() -> None:
    flat = np.arange(9)
    sums = correlation_sums(
        Groups(np.zeros(9, np.int64), 1), flat, np.ones((3, 3), np.float32), np.eye(3, dtype=np.float32), np.array([0])
    )
    pearson, structure = correlations(np.array([9.0]), sums, 1e-3)
    assert abs(pearson[0, 0]) < 1e-3
    assert abs(structure[0, 0]) < 0.01
