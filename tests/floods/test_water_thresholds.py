"""The threshold between water and land is found where both are, and nowhere else."""

from types import SimpleNamespace

import numpy as np
import pytest

from deepnets4eo.floods.date_findings import mode_findings
from deepnets4eo.floods.layer_names import POST
from deepnets4eo.floods.radar import RadarOptions
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.floods.thresholds import bimodal_tiles, find_water_threshold, grow_water, is_bimodal, parts_with
from deepnets4eo.floods.water_date import Tile, WaterDate, WaterSearch
from deepnets4eo.grid import Window
from deepnets4eo.outputs import Phrase

WATER, LAND, SPREAD = -20.0, -10.0, 1.5


def scene(water: Window | None, side: int = 512) -> np.ndarray:
    values = np.random.default_rng(0).normal(LAND, SPREAD, (side, side)).astype(np.float32)
    if water is not None:
        values[water.slices] += WATER - LAND
    return values


@pytest.mark.parametrize("method", ["otsu", "kittler", "em", "two-means"])
def test_a_small_lake_has_the_threshold_between_both_means(method):
    found = find_water_threshold(scene(Window(10, 10, 50, 60)), method)  # 1 % of the scene
    assert found is not None
    assert found.value == pytest.approx((WATER + LAND) / 2, abs=1.5)
    assert found.classes.means == pytest.approx([WATER, LAND], abs=0.3)
    assert np.sqrt(found.classes.variances) == pytest.approx(SPREAD, abs=0.3)


def test_a_tile_without_land_is_water_by_the_threshold_of_the_scene():
    found = find_water_threshold(scene(Window(10, 10, 50, 60)))
    date = RadarDate(("own",), unit="decibel", looks={"own": 4.0}, thresholds={"own": found})
    values = np.random.default_rng(1).normal(WATER, SPREAD, (1, 64, 64)).astype(np.float32)
    search = WaterSearch(RadarOptions(), None)
    for level, share in ((0.0, 1.0), (LAND - WATER, 0.0)):
        tile = Tile(values + np.float32(level), np.ones((64, 64), bool), search)
        assert (date.water(tile) > 0.5).mean() == pytest.approx(share, abs=0.01)


def test_only_tiles_with_both_modes_are_taken():
    tiles = bimodal_tiles(scene(Window(10, 10, 50, 60)))
    assert tiles == [Window(0, 0, 128, 128)]
    assert bimodal_tiles(scene(Window(0, 0, 512, 200))) == [Window(0, 0, 512, 512)]


def test_without_water_there_is_no_threshold():
    assert find_water_threshold(scene(None)) is None
    assert find_water_threshold(np.full((128, 128), np.nan, np.float32)) is None
    assert find_water_threshold(np.full((128, 128), -7, np.float32)) is None


def test_modes_of_few_pixels_or_of_two_numbers_are_not_believed():
    """At least half of the smallest tile must be seen; two numbers, as of a mask, are no distributions."""
    rng = np.random.default_rng(0)
    values = np.where(rng.random((64, 64)) < 0.5, WATER, LAND) + rng.normal(0, 1, (64, 64))
    for rows, apart in ((30, False), (34, True)):
        seen = np.where(np.arange(64)[:, None] < rows, values, np.nan).astype(np.float32)
        assert is_bimodal(seen) == apart
    two = np.where(values < (WATER + LAND) / 2, WATER, LAND).astype(np.float32)
    assert not is_bimodal(two)
    two[0, 0] = LAND + 1  # the highest value ends the histogram
    assert not is_bimodal(two)


def test_a_mode_that_is_no_water_is_not_looked_at():
    values = scene(Window(0, 0, 512, 200))
    for most, apart in ((WATER + 0.3, True), (WATER - 0.3, False), (WATER - 5, False)):
        assert is_bimodal(values, most) == apart


def test_two_modes_that_overlap_are_one():
    """Ashman's D of equal spreads is the distance over the spread."""
    rng = np.random.default_rng(0)
    for distance, apart in ((1.5, False), (3.0, True)):
        values = rng.normal(0, 1, (200, 200)) + distance * (rng.random((200, 200)) < 0.5)
        assert is_bimodal(values.astype(np.float32)) == apart


def test_odds_are_even_at_the_threshold_and_never_turn_back():
    found = find_water_threshold(scene(Window(0, 0, 512, 200)))
    odds = found.log_odds(np.linspace(-60, 30, 500, dtype=np.float32))
    assert (np.diff(odds) <= 0).all()
    assert found.log_odds(np.array([found.value], np.float32))[0] == pytest.approx(0, abs=1e-4)
    slope = (WATER - LAND) / SPREAD**2  # of the logarithm of two Gaussians of one spread
    assert found.log_odds(np.array([-16], np.float32))[0] == pytest.approx(-slope * (found.value + 16), rel=0.25)


def test_water_grows_from_sure_pixels_and_small_regions_are_left_out():
    probability = np.zeros((6, 12), np.float32)
    probability[0, :5] = [0.95, 0.6, 0.6, 0.4, 0.9]  # five pixels, of which the last is apart
    probability[3, :6] = 0.7  # no seed
    probability[5, 8:11] = [0.5, 0.99, np.nan]
    grown = grow_water(probability, 3)
    assert np.argwhere(grown).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert grow_water(probability, 2).sum() == 5


def test_parts_without_a_seed_or_too_small_are_left_out_wherever_they_come_in_the_order() -> None:
    mask = np.array([[1, 1, 0, 1, 0, 1, 1], [0, 0, 0, 1, 0, 1, 1]], bool)
    seeds = np.zeros_like(mask)
    seeds[0, 3] = True
    expected = np.zeros_like(mask)
    expected[:, 3] = True
    assert parts_with(mask, seeds).tolist() == expected.tolist(), "the last part has no seed"
    assert parts_with(mask, seeds, least_px=2).tolist() == expected.tolist()
    assert not parts_with(mask, seeds, least_px=3).any()


@pytest.mark.parametrize(
    ("kind", "thresholds", "code", "values"),
    [
        (RadarDate, {"VV": (-17.5, True, True), "VH": (-24.0, True, False)}, "threshold_bounded", {"thresholds": "VV -17.5 dB"}),
        (RadarDate, {"VV": (-17.5, False, False), "VH": (-24.0, True, True)}, "threshold_bounded", {"thresholds": "VH -24 dB"}),
        (RadarDate, {"VV": (-17.5, True, False), "VH": None}, None, {}),
        (RadarDate, {"VV": (-17.5, False, True), "VH": None}, "no_two_modes", {"what": Phrase("usual_threshold_taken", {"thresholds": "VV -17.5 dB"})}),
        (RadarDate, {"VV": None}, "no_two_modes", {"what": Phrase("no_water_mapped")}),
        (WaterDate, {"MNDWI": None}, "no_two_modes", {"what": Phrase("zero_taken")}),
        (WaterDate, {}, None, {}),
    ],
)  # fmt: skip
def test_findings_tell_whether_thresholds_were_measured_bounded_or_usual(kind, thresholds, code, values):
    """thresholds : by band, value, whether it was measured, and whether physics moved it."""
    words = {
        name: one and SimpleNamespace(value=one[0], measured=one[1], bounded=one[2]) for name, one in thresholds.items()
    }
    date = SimpleNamespace(thresholds=words, without_modes=lambda: kind.without_modes(None))
    mapper = SimpleNamespace(dates={POST: date})
    assert [(one.code, one.values) for one in mode_findings(mapper)] == ([(code, values)] if code else [])
