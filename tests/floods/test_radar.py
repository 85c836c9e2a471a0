"""Permanent water, flood and what was not seen, in made-up radar pairs whose water is known (SYNTHETIC)."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from refusals import raises_naming
from scipy.special import expit

pytest.importorskip("numba")

from deepnets4eo.errors import InputError
from deepnets4eo.floods import (
    RadarImage,
    RadarOptions,
    RadarStatistics,
    WaterThreshold,
    equivalent_looks,
    measure_radar,
    radar as radar_maps,
    radar_water,
)
from deepnets4eo.floods.radar import CROSS, FilteredRadar
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER, find_water_threshold
from deepnets4eo.rasters import Layer, TwoGaussians

SIDE = 200
LEVELS = {"VV": (0.006, 0.12), "VH": (0.0012, 0.025)}  # of water and land
RIVER, FLOODED, DARK = (slice(None), slice(20, 60)), (slice(40, 160), slice(60, 120)), (slice(5, 25), slice(150, 190))


def image(name: str, *water: tuple[slice, slice], seed: int = 0, **tags: str) -> RadarImage:
    rng, wet = np.random.default_rng(seed), np.zeros((SIDE, SIDE), bool)
    for part in (*water, DARK):
        wet[part] = True
    return RadarImage(
        name,
        {band: (rng.gamma(4.4, 1 / 4.4, wet.shape) * np.where(wet, *level)).astype(np.float32) for band, level in LEVELS.items()},
        tags,
    )  # fmt: skip


def iou(mask: np.ndarray, *parts: tuple[slice, slice]) -> float:
    wet = np.zeros((SIDE, SIDE), bool)
    for part in parts:
        wet[part] = True
    return (mask & wet).sum() / (mask | wet).sum()


@pytest.fixture(scope="module")
def pair() -> tuple[RadarImage, RadarImage]:
    return image("pre.tif", RIVER), image("post.tif", RIVER, FLOODED, seed=1)


@pytest.mark.parametrize("speckle", ["refined-lee", "lee-sigma"])
def test_flood_and_permanent_water_are_told_apart(pair, speckle):
    water = radar_water(*pair, RadarOptions(speckle=speckle))
    assert iou(water.classes == FLOOD, FLOODED) > 0.95
    assert iou(water.classes == PERMANENT_WATER, RIVER, DARK) > 0.95
    assert water.probability[100, 90] > 0.9
    assert water.probability[100, 170] < 0.1
    assert water.statistics.looks["VV"] == pytest.approx(4.4, rel=0.15)


def test_without_pre_all_water_is_not_known_since_when(pair):
    water = radar_water(None, pair[1])
    assert iou(water.classes == PERMANENT_WATER, RIVER, FLOODED, DARK) > 0.95
    assert set(np.unique(water.classes)) == {DRY, PERMANENT_WATER}


def test_a_dry_scene_has_no_water_and_the_usual_threshold():
    """Fields of two kinds are no water, which is darker in every wind; values that are not calibrated have no usual threshold."""
    level = np.where(np.arange(SIDE) < 80, 0.05, 0.2)
    power = np.random.default_rng(0).gamma(4.4, level / 4.4, (SIDE, SIDE)).astype(np.float32)
    water = radar_water(None, RadarImage("dry.tif", {"VV": power, "VH": power / 5}))
    assert (water.classes == DRY).all()
    thresholds = water.statistics.thresholds
    assert {name: (one.value, one.measured) for name, one in thresholds.items()} == {
        "VV": (-15, False),
        "VH": (-22, False),
    }
    assert thresholds["VV"].log_odds(np.array([-17, -15, -13], np.float32)) == pytest.approx(
        [4.75, 0, -4.75]
    )  # 9.5 / 2² a dB
    even = radar_water(None, RadarImage("amplitudes.tif", {"VV": 1e5 * power[:, :80], "VH": 1e5 * power[:, :80]}))
    assert even.statistics.thresholds == {"VV": None, "VH": None}


def test_the_threshold_lies_where_physics_allows_it_and_one_polarisation_is_enough():
    """Water so calm that the middle of both modes is too low for VV, and so rough in VV that only VH shows it."""
    calm = image("calm.tif", RIVER)
    deep = {name: np.where(band < 0.01, band / 30, band) for name, band in calm.bands.items()}
    assert measure_radar(RadarImage("deep.tif", deep)).thresholds["VV"].value == -17
    rough = calm.bands | {"VV": np.random.default_rng(3).gamma(4.4, 0.12 / 4.4, (SIDE, SIDE)).astype(np.float32)}
    assert iou(radar_water(None, RadarImage("rough.tif", rough)).classes == PERMANENT_WATER, RIVER, DARK) > 0.9


@pytest.mark.parametrize(
    ("water", "land", "side", "valley"),
    [(-24.0, -12.0, 200, -18.0), (-21.6, -16.0, 200, -18.8), (-21.6, -16.0, 640, None)],
)
def test_the_valley_of_a_scene_with_two_modes_counts_and_that_of_a_part_if_they_are_far_apart(
    water: float, land: float, side: int, valley: float | None
) -> None:
    """Rough water in VH next to land, with a valley above the usual thresholds: half of the scene, or 5 % of it."""
    rng = np.random.default_rng(0)
    band = rng.normal(land, 2.0, (side, side)).astype(np.float32)
    band[:200, :100] += water - land
    found = find_water_threshold(band, levels=CROSS)
    assert found is not None
    bound = valley is None
    assert found.bounded == bound
    assert found.value == pytest.approx(CROSS.highest if bound else valley, abs=0.6)
    assert WaterThreshold.from_dict(found.to_dict()).bounded == bound


def test_rough_water_over_half_of_a_scene_is_found_by_the_valley_of_vh() -> None:
    """VV shows nothing in the wind, and the usual threshold of VH would miss a third of the water."""
    rng, wet = np.random.default_rng(4), np.arange(SIDE) < 90
    level = np.where(wet, 10**-2.12, 10**-1.55)
    bands = {
        name: rng.gamma(4.4, mean / 4.4, (SIDE, SIDE)).astype(np.float32)
        for name, mean in (("VV", 0.12), ("VH", level))
    }
    water = radar_water(None, RadarImage("rough.tif", bands)).classes == PERMANENT_WATER
    assert iou(water, np.s_[:, :90]) > 0.93
    fields = {"VV": bands["VV"], "VH": 1.5 * bands["VH"]}  # the darker half is too bright for water
    assert not radar_water(None, RadarImage("fields.tif", fields)).classes.any()


def test_water_in_post_alone_is_flood_where_pre_has_no_water():
    power = {band: np.random.default_rng(2).gamma(4.4, land / 4.4, (SIDE, SIDE)).astype(np.float32) for band, (_, land) in LEVELS.items()}  # fmt: skip
    water = radar_water(RadarImage("pre.tif", power), image("post.tif", FLOODED, seed=1))
    assert iou(water.classes == FLOOD, FLOODED, DARK) > 0.95


def test_decibel_and_power_give_the_same_map(pair):
    in_decibel = [RadarImage(one.name, {name: 10 * np.log10(band) for name, band in one.bands.items()}) for one in pair]
    assert (radar_water(*in_decibel).classes != radar_water(*pair).classes).mean() < 1e-3


def test_what_one_date_did_not_see_is_not_seen(pair):
    pre, post = ({name: band.copy() for name, band in one.bands.items()} for one in pair)
    pre["VV"][:10], post["VH"][-10:] = np.nan, np.nan
    water = radar_water(RadarImage("pre.tif", pre), RadarImage("post.tif", post))
    np.testing.assert_array_equal(
        (water.classes == NOT_SEEN).all(axis=1), np.r_[[True] * 10, [False] * 180, [True] * 10]
    )
    np.testing.assert_array_equal(np.isnan(water.probability), water.classes == NOT_SEEN)


def test_the_vector_of_changes_finds_the_flood_and_leaves_water_that_was_there(pair):
    water = radar_water(*pair, RadarOptions(comparison="change-vector"))
    assert iou(water.classes == FLOOD, FLOODED) > 0.95
    assert iou(water.classes == PERMANENT_WATER, RIVER, DARK) > 0.95
    swapped = radar_water(pair[1], pair[0], RadarOptions(comparison="change-vector"))
    assert not (swapped.classes == FLOOD).any()  # what becomes brighter is no flood


@pytest.mark.parametrize("comparison", ["drop", "change-vector"])
def test_water_that_darkened_less_than_the_minimum_is_not_new(pair, comparison):
    drop_db = 10 * np.log10(LEVELS["VV"][1] / LEVELS["VV"][0])  # 13 dB from ground to water
    for least, found in ((drop_db - 6, True), (drop_db + 6, False)):
        water = radar_water(*pair, RadarOptions(comparison=comparison, least_drop_db=least))
        assert (iou(water.classes == FLOOD, FLOODED) > 0.9) == found


def test_without_two_modes_of_change_the_vector_finds_no_flood():
    dates = [image(f"{seed}.tif", RIVER, seed=seed) for seed in (0, 1)]
    assert not (radar_water(*dates, RadarOptions(comparison="change-vector")).classes == FLOOD).any()


def test_windows_with_the_statistics_of_the_scene_are_the_map_of_the_scene(pair):
    whole, (before, after) = radar_water(*pair), (measure_radar(one) for one in pair)
    window = slice(30, 170), slice(0, 150)
    cut = [RadarImage(one.name, {name: band[window] for name, band in one.bands.items()}) for one in pair]
    part = radar_water(*cut, pre_statistics=before, post_statistics=after)
    inside = slice(4, -4), slice(4, -4)
    assert (part.classes[inside] != whole.classes[window][inside]).mean() < 2e-3


def test_mixed_dates_and_unknown_options_are_refused(pair):
    pre, post = pair
    with raises_naming(InputError, "'lee-sigme'", "'lee-sigma'"):
        radar_water(pre, post, RadarOptions(speckle="lee-sigme"))
    with raises_naming(InputError, "'otsi'", "'otsu'"):
        radar_water(pre, post, RadarOptions(method="otsi"))
    with raises_naming(InputError, "'vector'"):
        radar_water(pre, post, RadarOptions(comparison="vector"))
    with raises_naming(InputError, "POST"):
        radar_water(replace(pre, day=date(2021, 2, 1)), replace(post, day=date(2021, 1, 1)))


def test_a_date_before_without_water_does_not_hide_the_flood():
    """Its threshold would lie between two kinds of land, so that dark land would count as water that was there before."""
    rng, fields = np.random.default_rng(5), np.zeros((SIDE, SIDE), bool)
    fields[30:170, 50:130] = True
    level = {"VV": (0.04, 0.3), "VH": (0.008, 0.06)}  # darker fields could be water by any usual threshold
    pre = RadarImage("pre.tif", {
        band: (rng.gamma(4.4, 1 / 4.4, fields.shape) * np.where(fields, *level[band])).astype(np.float32) for band in level
    })  # fmt: skip
    post = image("post.tif", RIVER, FLOODED, seed=1)
    assert measure_radar(pre).thresholds["VV"].value > measure_radar(post).thresholds["VV"].value
    assert iou(radar_water(pre, post).classes == FLOOD, RIVER, FLOODED, DARK) > 0.9


def test_looks_are_never_fewer_than_one():
    walls = np.random.default_rng(0).pareto(1.0, (120, 120)).astype(np.float32)
    assert equivalent_looks(walls) == 1.0


@pytest.mark.real_data
def test_real_chips_without_two_modes_have_the_usual_thresholds(real_data):
    """Ghana is dry; Somalia has 1.6 % of water. Measured: 22 pixels of water, IoU 0.115, where land was water before."""
    for chip, least, most in (("Ghana_53713", 0.0, 2e-4), ("Somalia_699062", 0.1, 0.04)):
        values, labels = (
            Layer.open(real_data / "sen1floods11_more" / f"{chip}_{name}Hand.tif").read()[0] for name in ("S1", "Label")
        )
        water = radar_water(None, RadarImage(chip, {"VV": values[0], "VH": values[1]}))
        assert not any(one.measured for one in water.statistics.thresholds.values())
        mapped, truth = water.classes == PERMANENT_WATER, labels[0] == 1
        assert (mapped & ~truth & (labels[0] >= 0)).mean() < most
        assert (mapped & truth).sum() >= least * (mapped | truth)[labels[0] >= 0].sum()


def test_the_drop_is_the_mean_of_what_all_polarisations_lost() -> None:
    statistics = RadarStatistics(4.0, {})
    before = FilteredRadar({"vv": np.array([[-8.0, -10.0]]), "vh": np.array([[-14.0, -16.0]])}, statistics)
    after = FilteredRadar({"vv": np.array([[-18.0, -9.0]]), "vh": np.array([[-20.0, -19.0]])}, statistics)
    np.testing.assert_allclose(radar_maps._drop(before, after), [[(10 + 6) / 2, (-1 + 3) / 2]])
    alone = FilteredRadar({"vh": after.bands["vh"]}, statistics)
    np.testing.assert_allclose(radar_maps._drop(before, alone), [[6.0, 3.0]])
    np.testing.assert_allclose(
        radar_maps._signed_change(before, after), [[-np.sqrt((100 + 36) / 2), -np.sqrt((1 + 9) / 2)]], rtol=1e-6
    )


def test_one_polarisation_decides_after_the_event_and_all_of_them_before() -> None:
    """By hand: of two Gaussians of one variance, 10 dB apart, the odds change by exp(10 / 4) in each decibel."""

    def threshold(value: float) -> WaterThreshold:
        classes = TwoGaussians(np.full(2, 0.5), np.array([value - 5, value + 5]), np.full(2, 4.0), np.empty((2, 0)))
        return WaterThreshold(value, classes, [])

    bands = {
        "VV": np.array([[-16, -15.2, -15, np.nan]], np.float32),
        "VH": np.array([[-22.6, -23.4, -23, -30]], np.float32),
    }
    statistics = RadarStatistics({"VV": 4.4, "VH": 4.4}, {"VV": threshold(-15.0), "VH": threshold(-23.0)})
    date = FilteredRadar(bands, statistics)
    decibel = np.array([[(1, -0.4), (0.2, 0.4), (0, 0)]])
    np.testing.assert_allclose(date.water_probability()[:, :3], expit(2.5 * decibel.max(axis=-1)), rtol=1e-5)
    together = date.water_probability(at_most=statistics)
    np.testing.assert_allclose(together[:, :3], expit(2.5 * decibel.mean(axis=-1)), rtol=1e-5)
    assert np.isnan([date.water_probability()[0, 3], together[0, 3]]).all(), "one of the bands saw nothing"
    lower = RadarStatistics(statistics.looks, {"VV": threshold(-17.0), "VH": threshold(-20.0)})
    expected = expit(2.5 * np.mean([-1.0, -0.4]))
    assert date.water_probability(at_most=lower)[0, 0] == pytest.approx(expected, rel=1e-5), (
        "the lower thresholds count"
    )
