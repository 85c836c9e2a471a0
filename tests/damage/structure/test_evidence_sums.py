"""Sums per building against plain loops, correlations against numpy's."""

from types import SimpleNamespace

import numpy as np
import shapely
from hypothesis import given, strategies as st

from deepnets4eo.damage.structure.block import DIRECTIONS, INSIDE, BlockWithMargin, _outline_sums
from deepnets4eo.damage.structure.measures import _of_change, image_means
from deepnets4eo.damage.structure.sums import Groups, best_of_shifts, correlation_sums, structural_similarity
from deepnets4eo.grid import Window
from deepnets4eo.zonal import Sides


@given(st.lists(st.integers(0, 9), max_size=60))
def test_sums_per_building_agree_with_a_loop(owners: list[int]) -> None:
    owner = np.array(sorted(owners), dtype=np.int64)
    values = np.random.default_rng(0).normal(size=(2, len(owner))).astype(np.float32)
    sums = Groups(owner, 10).sum(values)
    expected = [[float(part[owner == building].sum()) for part in values.astype(float)] for building in range(10)]
    assert np.allclose(sums, expected, atol=1e-4)


def test_the_similarity_of_every_shift_agrees_with_numpy() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 30, 40)).astype(np.float32)
    rows, cols = np.mgrid[8:20, 9:25]
    flat = (rows * 40 + cols).ravel()
    groups = Groups(np.zeros(len(flat), np.int64), 1)
    offsets = np.array([0, 1, -40, 81])
    sums = correlation_sums(groups, (flat, flat), first, second, offsets)
    structure = structural_similarity(np.array([float(len(flat))]), sums, 0.0)
    for column, offset in enumerate(offsets):
        x, y = first.ravel()[flat], second.ravel()[flat + offset]
        assert np.isclose(structure[0, column], 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var()), atol=1e-4)


def test_a_flat_building_correlates_with_nothing() -> None:
    places = np.arange(9), np.arange(9)
    sums = correlation_sums(
        Groups(np.zeros(9, np.int64), 1),
        places,
        np.ones((3, 3), np.float32),
        np.eye(3, dtype=np.float32),
        np.array([0]),
    )
    assert abs(structural_similarity(np.array([9.0]), sums, 1e-3)[0, 0]) < 0.01


def test_of_the_shifts_the_largest_edge_strength_and_similarity_are_kept() -> None:
    rng = np.random.default_rng(3)
    post, pre = rng.normal(size=(2, 20, 30)).astype(np.float32)
    rows, cols = np.mgrid[5:12, 6:15]
    flat, offsets = (rows * 30 + cols).ravel(), np.array([-31, 0, 31])
    group = Groups(np.zeros(len(flat), np.int64), 1)
    both = correlation_sums(group, (flat, flat), post, pre, offsets)
    sums = {"pair": np.array([[float(len(flat))]]), "pair_light": both}
    sums["post_outline"] = np.array([[2.0, 9.0, 4.0]])
    best = best_of_shifts(sums)
    assert best["post_outline"].tolist() == [[9.0]]
    x = post.ravel()[flat].astype(float)
    moved = [2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var()) for y in (pre.ravel()[flat + at] for at in offsets)]
    assert np.isclose(best["pair_light"][0, 0], max(moved), atol=1e-2)


def test_edge_strength_across_an_oblique_outline_is_the_slope_along_its_normals() -> None:
    """A rectangle turned by 3, 4, 5 on an even slope of light: each side counts the slope along its own normal."""
    down, right, side = np.float32(0.6), np.float32(0.3), 60
    flat = np.ones((side, side), np.float32)
    maps = SimpleNamespace(along_row=down * flat, along_col=right * flat, light=flat)
    corners = np.array([[20.0, 16.0], [36.0, 28.0], [30.0, 36.0], [14.0, 24.0]])  # x, y; sides of 20 and 10 pixels
    window = Window(0, 0, side, side)
    block = BlockWithMargin(SimpleNamespace(gsd_m=0.5), window, window)
    sides = Sides.of(np.array([shapely.Polygon(corners)], object))
    across, _ = _outline_sums(block, sides, np.array([0]), maps, np.zeros(1, np.int64))
    expected = 2 * 20 * abs(0.8 * down - 0.6 * right) + 2 * 10 * abs(0.6 * down + 0.8 * right)
    np.testing.assert_allclose(across, expected, rtol=1e-5)


def test_a_change_of_colour_counts_beyond_the_median_change_of_the_open_ground() -> None:
    pre = dict.fromkeys(
        ("log_floor", "texture", "support", "right", "light", "near_light", "near_log_floor"), np.zeros(4)
    ) | {name: np.zeros(4) for band in ("red", "green", "blue") for name in (band, f"near_{band}")}
    post = pre | {"near_red": np.array([0.03, 0.01, np.nan, 0.09]), "red": np.array([0.03, 0.07, 0.05, 0.03])}
    post |= {"blue": np.array([0.0, 0.03, 0.0, 0.0])}
    found = _of_change(pre, post)["ev_colour_change"]
    np.testing.assert_allclose(found, [0.0, 0.05, 0.02, 0.0], atol=1e-12)  # the median of what is known is 0.03


def test_support_is_the_edge_strength_per_sample_along_the_outline_over_that_inside() -> None:
    """Two buildings: eight and four samples along the outline, and 20 and 10 pixels inside; strengths of 3 over 0.5 and 0.2 over 0.05."""
    inside = np.zeros((2, len(INSIDE)))
    inside[:, 0] = 20, 10
    inside[:, INSIDE.index("edge")] = 20 * 0.5, 10 * 0.05
    samples = np.zeros((2, 2 * DIRECTIONS))
    samples[:, :DIRECTIONS] = 0.7  # dark ones do not count here
    samples[0, DIRECTIONS:], samples[1, DIRECTIONS : DIRECTIONS + 2] = 1.0, (3.0, 1.0)
    outline = np.array([[8 * 3.0], [4 * 0.2]])
    sums = {"post_inside": inside, "post_shadow": samples, "post_outline": outline, "post_near": np.zeros((2, 5))}
    found = image_means(sums, "post")["support"]
    np.testing.assert_allclose(found, [np.log2(3.0 / 0.501 + 0.001), np.log2(0.2 / 0.051 + 0.001)])
    none = image_means(sums | {"post_outline": 0 * outline}, "post")["support"]
    np.testing.assert_allclose(none, np.log2(0.001))
