"""Numbers of damage, floods, change and polygons against values by hand, at the place where another constant would show."""

from __future__ import annotations

from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.special import expit

from deepnets4eo.change.classical.feature_distance import REDUCTIONS_PX, _whole_cells
from deepnets4eo.change.series.dated_features import DatedFeatures
from deepnets4eo.change.series.deltas import linear_residuals
from deepnets4eo.change.series.features import CellGrid
from deepnets4eo.damage.areas import read_areas
from deepnets4eo.damage.decision.priors import combine
from deepnets4eo.damage.review.moved_estimates import moved_share
from deepnets4eo.damage.review.sample import EDGES, draw_sample
from deepnets4eo.damage.structure.block import DIRECTIONS, INSIDE
from deepnets4eo.damage.structure.measures import image_means
from deepnets4eo.damage.structure.unbuilt import ground_likeness
from deepnets4eo.damage.table import columns
from deepnets4eo.display import list_and_count, list_names
from deepnets4eo.errors import InputError
from deepnets4eo.floods.mud import MuddyGround, MudGroup, _smoothed_lab
from deepnets4eo.floods.optical import _by_network, _nearby
from deepnets4eo.interferometry.fringes import SPECTRUM_PX, _refined
from deepnets4eo.jobs.records import _short
from deepnets4eo.polygons.extraction import _of_unlike_pixels
from deepnets4eo.read_as.kinds import _correlation


@pytest.mark.parametrize(
    ("names", "cut", "counted"),
    [
        (["a"], "a", "a"),
        (["a", "b"], "a, b", "a, b"),
        (["a", "b", "c"], "a, b, …", "a, b and 1 more"),
        (["a", "b", "c", "d"], "a, b, …", "a, b and 2 more"),
    ],
)
def test_more_names_than_fit_are_cut_or_counted(names: list[str], cut: str, counted: str) -> None:
    assert (list_names(names, 2), list_and_count(names, 2)) == (cut, counted)


def sums_of_two_buildings() -> dict[str, np.ndarray]:
    """Four pixels each: one flat and like the ground around, one with texture, edges at right angles, colour and light."""
    inside = np.zeros((2, len(INSIDE)))
    inside[:, 0] = 4
    means = {"rough": 0.3, "edge2": 2.0, "right_cos": 0.3, "right_sin": 0.4, "light": 0.35, "red": 0.13, "green": 0.24, "blue": 0.3}  # fmt: skip
    for name, mean in means.items():
        inside[1, INSIDE.index(name)] = 4 * mean
    near = np.zeros((2, 5))  # light, log_floor, red, green, blue
    near[1] = 0.1, 0.0, 0.1, 0.2, 0.3
    return {"post_inside": inside, "post_shadow": np.ones((2, 2 * DIRECTIONS)), "post_outline": np.ones((2, 1)), "post_near": near}  # fmt: skip


def test_texture_and_right_angles_of_a_flat_roof_have_a_floor() -> None:
    found = image_means(sums_of_two_buildings(), "post")
    np.testing.assert_allclose(found["texture"], np.log2([0.001, 0.301]))
    np.testing.assert_allclose(found["right"], [0, 0.5 / 2.000001])


def test_contrasts_below_those_of_noise_tell_nothing_of_open_ground() -> None:
    found = ground_likeness(sums_of_two_buildings())
    np.testing.assert_allclose(found[:, 3], np.log2([0.05, 0.3]))
    np.testing.assert_allclose(found[:, 4], np.log2([0.003, 0.053]))  # (0.03, 0.04, 0) differ by 0.05
    np.testing.assert_allclose(found[:, 5], [0, 0.12])


@pytest.mark.parametrize(
    ("box", "degrees"),
    [
        ((170, 80, 180, 90), True),
        ((-180, -90, 180, 90), True),
        ((170, 80, 181, 90), False),
        ((170, 80, 180, 91), False),
    ],
)
def test_areas_said_to_be_in_degrees_are_in_pixels_beyond_the_earth(box: tuple[float, ...], degrees: bool) -> None:
    areas = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(*box)], crs="EPSG:4326")
    if degrees:
        with pytest.raises(InputError, match="are on the Earth, but the map is in pixels"):
            read_areas(areas, "pixels")
    else:
        assert read_areas(areas, "pixels").crs is None


def test_a_curve_of_elsewhere_is_wrong_by_log_odds_of_1_5_for_all_buildings_and_ground_unseen_by_1() -> None:
    """Of 1,000 buildings with a probability of one half 95 % of all levels give 1000·expit(±1.96·√(1.5² + 1²))."""
    unseen = pd.DataFrame({"status": ["not_assessed"] * 1000, "damage_prob": np.nan, "reason": "under cloud", "method": None})  # fmt: skip
    nothing = {"expected": 0.0, "interval_95": [0.0, 0.0]}
    low, high = combine(unseen, np.full(1000, 0.5), nothing, 0.5)[1]["not_assessed"]["interval_95"]
    expected = 1000 * expit(1.96 * np.hypot(1.5, 1.0) * np.array([-1, 1]))
    assert low == pytest.approx(expected[0], abs=15)
    assert high == pytest.approx(expected[1], abs=15)


@pytest.mark.parametrize("reduction", REDUCTIONS_PX)
def test_cells_of_an_odd_side_are_counted_up_to_the_largest_cell(reduction: int) -> None:
    valid = np.ones((40, 33), bool)
    valid[39, 32] = False
    cells = _whole_cells(valid, reduction)
    assert cells.shape == (64 // reduction, 64 // reduction)
    assert not cells[39 // reduction :, 32 // reduction :].any()
    assert cells[: 39 // reduction].all()
    assert cells[:, : 32 // reduction].all()


@pytest.mark.parametrize(("spreads", "beyond"), [(3.9, False), (4.0, True), (8.0, True)])
def test_a_baseline_predicts_no_more_than_one_of_four_spreads_does(spreads: float, beyond: bool) -> None:
    rng = np.random.default_rng(2)
    baseline = rng.uniform(-2, 2, (40, 2)).astype(np.float32)
    change = (0.5 * baseline + 0.01 * rng.normal(size=baseline.shape)).astype(np.float32)
    baseline[7, 0], change[7] = 4.0, 0.0
    known = np.ones(40, bool)
    at_four = linear_residuals(baseline + change, baseline, known)[7, 0]
    baseline[7, 0] = spreads
    assert bool(abs(linear_residuals(baseline + change, baseline, known)[7, 0] - at_four) < 1e-5) is beyond


@pytest.mark.parametrize(("half", "unlike"), [(240, False), (280, True), (340, True)])
def test_pixels_of_a_region_are_alike_up_to_a_thousandth_of_their_area(half: int, unlike: bool) -> None:
    """On both sides of the equator pixels in degrees are smaller by 1 − cos φ: 0.0009, 0.0012 and 0.0018."""
    grid = GeoBox((800, 20), Affine(0.01, 0, 10, 0, -0.01, 4), "EPSG:4326")
    region = np.array([shapely.box(5, 400 - half, 15, 400 + half)], object)
    assert (_of_unlike_pixels(region, grid).size == 1) is unlike


def test_the_colour_of_the_water_nearby_is_that_of_sixty_pixels_on_each_side() -> None:
    values = np.zeros((1, 301), np.float32)
    values[0, 150] = 1
    nearby = _nearby(values)[0]
    assert np.flatnonzero(nearby > 1e-7).tolist() == list(range(90, 211))
    assert nearby.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("likely", "sure", "pixels"), [(0.4, 0.95, 25), (0.41, 0.95, 35), (0.41, 0.9, 0), (0.41, 0.91, 35)]
)
def test_water_of_a_network_grows_from_more_than_0_9_to_more_than_0_4(likely: float, sure: float, pixels: int) -> None:
    after = np.zeros((9, 9), np.float32)
    after[2:7, 1:6], after[2:7, 6:8] = sure, likely
    none = np.zeros((9, 9), bool)
    water, _ = _by_network(none, none, None, after, 3)
    assert np.count_nonzero(water) == pixels


def test_a_column_points_to_damage_by_its_sign_alone() -> None:
    assert {column.points for column in columns._ROWS} == {-1, 0, 1}


@pytest.mark.parametrize(
    ("share", "estimates", "number", "moved"),
    [
        ({"value": 0.1, "contradicted": True}, {"damaged": {"expected": 20.0, "interval_95": [10.0, 30.0]}}, 80, {"value": 0.25, "interval_95": [0.125, 0.375], "contradicted": False}),
        ({"value": 0.1}, {"damaged": {"expected": 20.0, "interval_95": [10.0, 30.0]}}, 0, {"value": 0.1}),
        ({"value": 0.1}, {}, 80, {"value": 0.1}),
        ({}, {"damaged": {"expected": 20.0, "interval_95": [10.0, 30.0]}}, 80, {}),
    ],
)  # fmt: skip
def test_the_share_of_damaged_buildings_moves_with_their_number(share, estimates, number, moved) -> None:
    assert moved_share(share, {"buildings": estimates}, number) == moved


@pytest.mark.parametrize(
    ("beside", "step"), [((1.0, 2.0), 1 / 6), ((2.0, 1.0), -1 / 6), ((2.0, 2.0), 0.0), ((3.0, 3.0), 0.0)]
)
def test_a_peak_of_a_spectrum_is_that_of_a_parabola(beside: tuple[float, float], step: float) -> None:
    spectrum = np.zeros((SPECTRUM_PX, SPECTRUM_PX), np.float32)
    spectrum[10, 100] = 3
    spectrum[[9, 11], 100] = beside
    spectrum[10, [99, 101]] = beside
    np.testing.assert_allclose(
        _refined(spectrum, (np.intp(10), np.intp(100))), [(10 + step) / 128, (100 + step) / 128 - 1]
    )


@pytest.mark.parametrize(("side", "rows"), [(15, 1), (16, 2), (23, 2)])
def test_cells_of_an_encoder_with_months_are_those_that_lie_within_the_image(side: int, rows: int) -> None:
    """Patches of 4 px go over the edge, so that 15 px have four of them, in two cells of 8 px."""
    patches = -(-side // 4)
    maps = SimpleNamespace(patch_px=4, compute=lambda *_: np.ones((3, patches, patches), np.float32))
    features = DatedFeatures.__new__(DatedFeatures)
    features._maps = maps  # type: ignore[assignment]
    grid = GeoBox((side, side), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
    found = features.measure(np.zeros((4, side, side), np.float32), np.ones((side, side), bool), CellGrid(grid, 8, 8))
    np.testing.assert_array_equal(found, np.ones((3, rows, rows)))


@pytest.mark.parametrize(("shape", "pixel_m", "seen"), [((25, 40), 1.0, True), ((25, 39), 1.0, False), ((25, 10), 2.0, True), ((24, 10), 2.0, False)])  # fmt: skip
def test_mud_counts_in_connected_parts_of_a_thousand_square_metres(
    shape: tuple[int, int], pixel_m: float, seen: bool
) -> None:
    image = np.broadcast_to(np.float32([150, 130, 100])[:, None, None], (3, *shape)).copy()
    colour = tuple(float(value) for value in _smoothed_lab(image)[:, 0, 0])
    ground = MuddyGround((MudGroup(colour, 0.01, (0.0,) * 4, probability=1.0),), 3.0)  # type: ignore[arg-type]
    assert not ground.is_found
    np.testing.assert_array_equal(ground.probability(image, pixel_m), np.full(shape, float(seen)))


def test_strata_of_a_sample_are_steps_of_probability_by_size_and_what_was_not_assessed() -> None:
    edges = np.array([0, *EDGES, 1])
    prob = np.repeat([np.nan, *(edges[1:] + edges[:-1]) / 2], 2)
    sides = np.tile([10.0, 20.0], len(prob) // 2)
    left = 100.0 * np.arange(len(prob))
    status = np.where(np.isnan(prob), "not_assessed", "assessed")
    table = gpd.GeoDataFrame(
        {"status": status, "damage_prob": prob}, geometry=shapely.box(left, 0, left + sides, sides), crs="EPSG:32633"
    )
    sample = draw_sample(table, looks=len(prob), likeliest=0)
    assert sample.stratum.tolist() == list(range(len(prob)))
    assert sorted(sample.rows) == list(range(len(prob)))


@pytest.mark.parametrize(
    ("rows", "seen", "expected"),
    [
        ([[1, 2, 3, 4]], [[1, 1, 1, 1]], 1.0),
        ([[1, 3, 2, 5]], [[1, 1, 1, 1]], np.corrcoef([1, 3, 2], [3, 2, 5])[0, 1]),
        ([[1, 2, 9, 4], [7, 5, 5, 6]], [[1, 1, 0, 1], [1, 1, 1, 1]], np.corrcoef([1, 7, 5, 5], [2, 5, 5, 6])[0, 1]),
        ([[1, 2]], [[1, 1]], 0.0),
        ([[2, 2, 2]], [[1, 1, 1]], 0.0),
        ([[1, 2, 3]], [[1, 0, 1]], 0.0),
    ],
)
def test_pixels_correlate_with_their_right_neighbours(
    rows: list[list[int]], seen: list[list[int]], expected: float
) -> None:
    assert _correlation(np.array(rows, float), np.array(seen, bool)) == pytest.approx(expected)


@pytest.mark.parametrize(("letters", "shown"), [(78, "'" + "a" * 78 + "'"), (79, "'" + "a" * 79 + "…")])
def test_values_of_up_to_80_characters_are_shown_whole(letters: int, shown: str) -> None:
    assert _short("a" * letters) == shown
