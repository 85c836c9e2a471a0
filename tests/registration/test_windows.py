"""Which windows are compared and how, and what the held-out ones say, by hand."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from moved_place import as_layer, moved, noisy, place
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import GridError
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import attempts, coarse, tiepoints
from deepnets4eo.registration.attempts import FittedModel, fine_search, measure_fit, tie_columns
from deepnets4eo.registration.coarse import coarse_model, coarse_search, coarse_shift, shift_by_halves
from deepnets4eo.registration.tiepoints import (
    IDENTITY,
    Matches,
    Search,
    gradient_correlations,
    make_pair,
    match_windows,
    window_centres,
)

SHAPE = (300, 340)
SHIFT = Affine.translation(6, -4)


def at(col: int, row: int, shape: tuple[int, int] = SHAPE, gsd_m: float = 0.5, source: np.ndarray | None = None):
    """A layer whose upper left lies at (col, row) half metres of the frame."""
    grid = GeoBox(shape, Affine(gsd_m, 0, 5e5 + 0.5 * col, 0, -gsd_m, 4.1e6 - 0.5 * row), "EPSG:32615")
    values = np.zeros(shape, np.uint8) + 7 if source is None else source.clip(0, 255).astype(np.uint8)
    return Layer.open(values, grid=grid)


def test_the_common_part_is_in_metres_of_the_post_image():
    pair = make_pair(at(40, -20), at(0, 0))
    assert pair.box == pytest.approx((20, 0, 170, 140))
    assert pair.sides == pytest.approx((150, 140))
    assert pair.middle == pytest.approx(np.array([[95, 70]]))
    assert pair.gsd_m == 0.5
    assert make_pair(at(0, 0, (75, 85), 2.0), at(0, 0)).gsd_m == 2.0
    assert make_pair(at(0, 0), at(0, 0, (75, 85), 2.0)).gsd_m == 2.0


@pytest.mark.parametrize(("col", "row"), [(340 - 48, 0), (-340 + 48, 0), (0, 300 - 48), (0, -300 + 48)])
def test_forty_eight_pixels_of_overlap_are_the_least(col, row):
    assert min(make_pair(at(col, row), at(0, 0)).sides) == pytest.approx(24)
    step = np.sign([col, row])
    with raises_naming(GridError, "0.5", "48", "0", "170", "150"):
        make_pair(at(col + step[0], row + step[1]), at(0, 0))


def test_images_beside_each_other_and_small_ones_get_different_messages():
    with raises_naming(GridError, "0", "170", "150", "340"):
        make_pair(at(340, 0), at(0, 0))
    with raises_naming(GridError, "share 40", "30 pixels", "pixels of 2"):
        make_pair(at(0, 0, (30, 40), 2.0), at(0, 0))


@pytest.mark.parametrize(
    ("short_px", "size", "radius"),
    [(1024, 256, 12), (1023, 128, 12), (512, 128, 12), (511, 64, 12), (255, 32, 12), (128, 32, 12), (60, 32, 12)],
)
def test_the_largest_windows_of_which_four_fit_are_taken(short_px, size, radius):
    pair = make_pair(at(0, 0, (short_px, 1300)), at(0, 0, (short_px, 1300)))
    assert fine_search(pair) == Search(size, radius, 0.5, 256)


@pytest.mark.parametrize(
    ("max_shift_m", "expected"),
    [
        (30.0, Search(128, 33, 0.9375, 64)),  # four times the shift in 128 pixels
        (5.0, Search(128, 11, 0.5, 64)),
        (0.1, Search(128, 4, 0.5, 64)),
        (1000.0, Search(128, 48, 1.171875, 64)),  # no coarser than the overlap allows
    ],
)
def test_wide_windows_reach_as_far_as_the_shift(max_shift_m, expected):
    assert coarse_search(make_pair(at(0, 0), at(0, 0)), max_shift_m) == expected


def test_windows_lie_on_a_regular_grid_inside_both_images():
    pair = make_pair(at(40, 0), at(0, 0))
    centres = window_centres(pair, Search(32, 12, 0.5, 20))
    assert 12 <= len(centres) <= 20
    assert centres.min(axis=0) == pytest.approx((28, 8))
    assert centres.max(axis=0) == pytest.approx((162, 142))
    steps = [np.diff(np.unique(centres[:, axis])) for axis in (0, 1)]
    assert all(np.ptp(step) < 1e-9 and step.min() >= 8 for step in steps)
    one = window_centres(pair, Search(32, 12, 0.5, 1))
    assert one == pytest.approx(pair.middle)
    away = window_centres(pair, Search(32, 12, 0.5, 20), Affine.translation(100, 0))
    assert away[:, 0].max() <= 190 - 100 - 0.4 * 16  # the pre image ends at 190 m
    assert len(away) < len(centres)


@pytest.fixture(scope="module")
def pair():
    image = place(3, SHAPE)
    return make_pair(as_layer(moved(image, SHIFT)), as_layer(noisy(image)))


def test_windows_find_the_shift_that_the_model_left(pair):
    search = Search(64, 12, 0.5, 64)
    for model, left in ((IDENTITY, (3, -2)), (Affine.translation(2, 0), (1, -2))):
        matches = match_windows(pair, search, window_centres(pair, search, model), model, 0)
        assert matches.surfaces.shape[1:] == (25, 25)
        assert matches.reliable.mean() > 0.5
        off = (matches.targets - matches.points)[matches.reliable]
        np.testing.assert_allclose(np.median(off, axis=0), (3, -2), atol=0.06)
        peak = np.unravel_index(matches.surfaces.sum(axis=0).argmax(), (25, 25))
        assert ((peak[1] - 12) * 0.5, (peak[0] - 12) * 0.5) == left


def test_a_shift_at_the_rim_of_the_search_is_not_reliable(pair):
    search = Search(64, 6, 0.5, 64)  # the shift of 6 pixels lies on its rim
    matches = match_windows(pair, search, window_centres(pair, search), IDENTITY, 0)
    assert matches.reliable.mean() < 0.1


def test_wide_windows_find_the_shift_whatever_way(pair):
    for model in (coarse_model(pair, 10.0, 0), coarse_shift(pair, 10.0, 0)):
        assert (model.c, model.f) == pytest.approx((3, -2), abs=0.6)
        assert model.a == pytest.approx(1, abs=0.01)


def test_agreement_is_one_for_the_same_and_higher_through_the_right_model(pair):
    search = Search(64, 12, 0.5, 64)
    centres = window_centres(pair, search)
    same = replace(pair, pre=pair.post)
    np.testing.assert_allclose(gradient_correlations(same, search, centres, [IDENTITY]), 1, atol=1e-5)
    right, wrong = gradient_correlations(pair, search, centres, [Affine.translation(3, -2), IDENTITY])
    assert np.median(right) > np.median(wrong) + 0.3
    outside = gradient_correlations(pair, search, np.array([[-500.0, -500.0]]), [IDENTITY])
    assert np.isnan(outside).all()


@pytest.mark.parametrize("held", [1000, 5])
def test_windows_are_read_from_top_to_bottom_and_given_in_the_order_of_their_centres(pair, monkeypatch, held):
    search = Search(32, 12, 0.5, 20)
    monkeypatch.setattr(tiepoints, "HELD_PX", held * 32**2)
    tops = []
    read = type(pair.post).read

    def recorded(sampler, window, shape):
        if sampler is pair.post:
            tops.append(window.f)
        return read(sampler, window, shape)

    monkeypatch.setattr(type(pair.post), "read", recorded)
    centres = np.random.default_rng(0).permutation(window_centres(pair, search))
    seen = [post[0] for post, _ in tiepoints._read_windows(pair, search, centres, [IDENTITY])]
    corners = centres - search.side_m / 2
    for values, (x, y) in zip(seen, corners, strict=True):
        np.testing.assert_array_equal(values, read(pair.post, Affine(0.5, 0, x, 0, 0.5, y), (32, 32))[0])
    assert tops == [top for first in range(0, len(corners), held) for top in sorted(corners[first : first + held, 1])]


def made_up_matches() -> Matches:
    """Eight windows; the offsets of the reliable ones are (1, 0) but for one that is 5 m off."""
    points = np.array([[20, 10], [60, 10], [100, 10], [140, 10], [20, 140], [60, 140], [100, 140], [140, 140]], float)
    offsets = np.tile([1.0, 0.0], (8, 1))
    offsets[1] = [1.5, 0]
    offsets[2] = [6.0, 0]
    reliable = np.array([1, 1, 1, 1, 1, 1, 1, 0], bool)
    values = np.linspace(0.1, 0.8, 8)
    return Matches(points, points + offsets, values, values * 2, reliable, np.zeros((8, 5, 5), np.float32))


def test_what_held_out_windows_say_is_counted_by_hand(pair):
    held = np.array([1, 1, 1, 0, 0, 0, 1, 1], bool)
    fitted = FittedModel("translation", Affine.translation(1, 0), made_up_matches(), held, 1.5)
    assert fitted.errors == pytest.approx([0, 0.5, 5, 0, 0, 0, 0, 0])
    assert fitted.inlier.tolist() == [True, True, False, True, True, True, True, False]
    found = measure_fit(pair, Search(64, 12, 0.5, 64), fitted, 30.0, 0)
    assert (found.tested, found.reliable, found.inliers, found.train_inliers) == (5, 4, 3, 3)
    assert found.residual_m == pytest.approx(np.sqrt(0.25 / 3))
    assert found.chance == pytest.approx(np.pi * 1.5**2 / 12.5**2)
    assert found.cells == 6
    assert (found.shift_m, found.max_shift_m, found.gsd_m) == pytest.approx((1, 30, 0.5))
    assert (found.scale_min, found.scale_max, found.rotation_deg) == pytest.approx((1, 1, 0))
    assert found.ncc_after > found.ncc_before
    assert 0.5 < found.improved <= 1
    columns = tie_columns(fitted, Affine.scale(2))
    assert columns["pixel"].tolist() == (made_up_matches().points * 2).tolist()
    assert columns["dx_m"].tolist() == [1, 1.5, 6, 1, 1, 1, 1, 1]
    assert columns["dy_m"].tolist() == [0] * 8
    assert columns["quality"].tolist() == np.linspace(0.1, 0.8, 8).tolist()
    assert columns["ratio"].tolist() == (2 * np.linspace(0.1, 0.8, 8)).tolist()
    assert columns["holdout"].tolist() == held.tolist()


def test_no_inlier_means_no_residual(pair):
    fitted = FittedModel("translation", Affine.translation(50, 0), made_up_matches(), np.ones(8, bool), 1.5)
    found = measure_fit(pair, Search(64, 12, 0.5, 64), fitted, 30.0, 0)
    assert (found.inliers, found.cells) == (0, 0)
    assert np.isnan(found.residual_m)


def test_many_held_out_windows_are_compared_by_some_of_them(pair, monkeypatch):
    looked_at = []

    def correlations(_pair, _search, points, models):
        looked_at.append((len(points), models))
        return [np.zeros(len(points)) for _ in models]

    monkeypatch.setattr(attempts, "gradient_correlations", correlations)
    fitted = FittedModel("translation", IDENTITY, made_up_matches(), np.ones(8, bool), 1.5)
    found = measure_fit(pair, Search(64, 12, 0.5, 64), fitted, 30.0, 0, most_compared=3)
    assert looked_at == [(3, [IDENTITY, IDENTITY])]
    assert found.improved == 0


def matches_at(shifts: list[tuple[int, int]]) -> Matches:
    """Windows in a row from west to east, each with one peak at (row, col) in a surface of 21 × 21."""
    rng = np.random.default_rng(0)
    surfaces = rng.normal(0, 0.05, (len(shifts), 21, 21)).astype(np.float32)
    for surface, (row, col) in zip(surfaces, shifts, strict=True):
        surface[10 + row, 10 + col] += 3
    points = np.column_stack((np.arange(len(shifts)) * 10.0, np.zeros(len(shifts))))
    none = np.zeros(len(shifts))
    return Matches(points, points, none, none, none > 1, surfaces)


def test_two_halves_of_the_overlap_are_tested_on_each_other():
    search = Search(64, 10, 0.5, 64)
    correction, apart_m, score = shift_by_halves(matches_at([(4, -6)] * 8), search)
    assert (correction.c, correction.f) == pytest.approx((-3, 2), abs=0.1)
    assert apart_m == pytest.approx(0, abs=0.1)
    assert score > 5
    _, apart_m, score = shift_by_halves(matches_at([(4, -6)] * 4 + [(-4, 0)] * 4), search)
    assert apart_m == pytest.approx(0.5 * np.hypot(8, 6), abs=0.1)
    assert score < 3
    correction, apart_m, score = shift_by_halves(matches_at([(4, -6)] * 5), search)
    assert correction == IDENTITY
    assert np.isnan(apart_m)
    assert np.isnan(score)
    assert np.isfinite(shift_by_halves(matches_at([(4, -6)] * 6), search)[2])


@pytest.mark.parametrize(
    ("turned", "scores", "windows", "chosen"),
    [
        (None, (0, 0), 40, "shift"),
        ("turned", (1.2, 1.0), 40, "turned"),
        ("turned", (1.05, 1.0), 40, "shift"),
        ("turned", (1.2, 1.0), 20, "shift"),  # few windows: more is asked of a turned model
        ("turned", (1.5, 1.0), 20, "turned"),
        (None, (0, 0), 0, "identity"),
    ],
)
def test_a_turned_model_is_taken_if_it_scores_enough_more_than_a_shift(
    turned, scores, windows, chosen, monkeypatch
) -> None:
    models = {"shift": Affine.translation(3, 4), "turned": Affine.rotation(2), "identity": Affine.identity()}
    matches = SimpleNamespace(points=np.zeros((windows, 2)))
    monkeypatch.setattr(coarse, "coarse_search", lambda *_: None)
    monkeypatch.setattr(coarse, "_match", lambda *_: (matches, np.zeros((windows, 3, 3), np.float32)))
    monkeypatch.setattr(coarse, "_best_shift", lambda *_: models["shift"])
    monkeypatch.setattr(coarse, "_best_similarity", lambda *_: models.get(turned))
    monkeypatch.setattr(coarse, "_scores", lambda *_: scores)
    pair: Any = None
    assert coarse.coarse_model(pair, 20.0, 0) == models[chosen]
