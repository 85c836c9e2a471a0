"""Counts, intervals and areas against worked numbers and second computations."""

import math

import geopandas as gpd
import numpy as np
import pytest
import shapely
from made_up_map import make_grid, make_map

from deepnets4eo.damage.estimates import block_bootstrap, blocks_of, expected_count, widest
from deepnets4eo.damage.products.summary import area_km2, summarize
from deepnets4eo.damage.vocabulary import DAMAGED, GRADES
from deepnets4eo.files import plain


def test_expected_count_gives_the_worked_number():
    found = expected_count(np.repeat([0.9, 0.05], [100, 900]))
    assert found["expected"] == pytest.approx(135)
    assert found["sd"] == pytest.approx(7.19, abs=0.005)


def test_independent_buildings_get_the_binomial_interval_from_the_bootstrap():
    rng = np.random.default_rng(1)
    block, flags = np.repeat(np.arange(400), 10), rng.random(4000) < 0.2
    low, high = block_bootstrap(flags, block, rng)
    sd = math.sqrt(4000 * 0.2 * 0.8)
    assert high - low == pytest.approx(2 * 1.96 * sd, rel=0.15)


def test_neighbours_that_go_together_widen_the_interval():
    rng = np.random.default_rng(1)
    block = np.repeat(np.arange(400), 10)
    flags = np.repeat(rng.random(400) < 0.2, 10)
    low, high = block_bootstrap(flags, block, rng)
    assert high - low > 2.5 * (2 * 1.96 * math.sqrt(4000 * 0.2 * 0.8))


def test_blocks_shrink_for_small_places_and_few_blocks_give_no_interval():
    xy = np.random.default_rng(0).uniform(0, 400, (300, 2))
    block, side = blocks_of(xy)
    assert side == 125
    assert block.max() + 1 >= 12
    block, side = blocks_of(xy / 100)
    assert side < 100
    assert block_bootstrap(np.ones(300, bool), block, np.random.default_rng(0)) is None
    assert widest([2, 3], None, [1, 2.5]) == [1, 3]


def test_counts_add_up_and_shares_are_of_assessed_buildings_only():
    damage_map = make_map(300, assessed=0.7)
    found = summarize(damage_map, make_grid())
    frame = damage_map.buildings
    assert sum(found["by_grade"][grade]["count"] for grade in GRADES) == found["buildings"]["assessed"]
    assert found["buildings"]["assessed"] + found["buildings"]["not_assessed"] == 300
    assert sum(found["buildings"]["not_assessed_by_reason"].values()) == found["buildings"]["not_assessed"]
    for grade in GRADES:
        row = found["by_grade"][grade]
        assert row["share"] == pytest.approx((frame["damage"] == grade).sum() / (frame["status"] == "assessed").sum())
        assert row["interval_95"][0] <= row["count"] <= row["interval_95"][1]
        assert row["interval_95"][0] < row["interval_95"][1], "no interval of zero width"
        assert row["share_interval_95"] == [bound / found["buildings"]["assessed"] for bound in row["interval_95"]]
    damaged = found["damaged"]
    assert damaged["count"] == frame["damage"].isin(DAMAGED).sum()
    assert damaged["expected"] == pytest.approx(frame["damage_prob"].sum())
    assert damaged["interval_95"][0] <= damaged["expected"] <= damaged["interval_95"][1]


RATES = {
    "sensitivity": {"mean": 0.9, "sd": 0.05},
    "specificity": {"mean": 0.95, "sd": 0.03},
}


def rates_with_calls(buildings):
    called = buildings["damage_prob"] >= 0.5
    return {
        name: RATES | {"called": int(called[rows].sum())} for name, rows in buildings.groupby("method").groups.items()
    }


def test_the_headline_interval_holds_the_grading_error_where_the_rates_are_known():
    damage_map = make_map(300, assessed=1.0)
    damage_map.grading = rates_with_calls(damage_map.buildings)
    damaged = summarize(damage_map, make_grid())["damaged"]
    count = damaged["count"]
    undone = (count - 0.05 * 300) / 0.85  # Rogan & Gladen
    low, high = damaged["interval_95"]
    assert damaged["grading"]["interval_95"] == [low, high]
    assert damaged["share_interval_95"] == [low / 300, high / 300]
    assert (low + high) / 2 == pytest.approx(undone, abs=6)
    assert high - low > 20
    assert damaged["grading"]["rates"] == damage_map.grading


def test_estimates_of_the_job_are_the_intervals_of_every_grade():
    damage_map = make_map(300, assessed=1.0)
    rows = {
        name: {"expected": 10.0 * k, "interval_95": [5.0 * k, 20.0 * k]} for k, name in enumerate((*GRADES, "damaged"))
    }
    damage_map.estimates = {"buildings": rows, "built_area_m2": None}
    damage_map.damaged_share = {"value": 0.3, "status": "estimated"}
    found = summarize(damage_map, make_grid())
    assert found["by_grade"]["destroyed"]["interval_95"] == [15.0, 60.0]
    assert (found["damaged"]["expected"], found["damaged"]["interval_95"]) == (40.0, [20.0, 80.0])
    assert found["by_grade"]["destroyed"]["share_interval_95"] == [15.0 / 300, 60.0 / 300]
    assert found["damaged"]["share_interval_95"] == [20.0 / 300, 80.0 / 300]
    low, high = found["by_grade"]["destroyed"]["wilson"]
    assert low < found["by_grade"]["destroyed"]["share"] < high
    assert "share" in found["intervals"]["share_interval_95"]
    assert found["damaged"]["count"] == damage_map.buildings["damage"].isin(DAMAGED).sum()
    assert found["damaged_share"] == {"value": 0.3, "status": "estimated"}
    assert found["estimates"]["buildings"] == rows


def test_calls_are_those_of_the_rates_whatever_share_and_site_made_of_the_probabilities():
    damage_map = make_map(300, assessed=1.0)
    damage_map.grading = rates_with_calls(damage_map.buildings)
    even = summarize(damage_map, make_grid())["damaged"]
    damage_map.buildings["damage_prob"] **= 3
    damage_map.parameters["damaged_share"] = 0.1
    rare = summarize(damage_map, make_grid())["damaged"]
    assert rare["interval_95"] == even["interval_95"]


def test_a_method_without_rates_leaves_the_interval_without_grading_error():
    damage_map = make_map(300, assessed=1.0)
    damage_map.grading = {"pre_post": RATES | {"called": 3}}  # some are judged from the post image alone
    damaged = summarize(damage_map, make_grid())["damaged"]
    assert damaged["grading"] is None
    wilson = [300 * bound for bound in damaged["wilson"]]
    assert damaged["interval_95"] == widest(damaged["model_based"]["interval_95"], damaged["block_bootstrap"], wilson)


def test_where_no_building_is_damaged_the_interval_still_has_a_width():
    damage_map = make_map(40, assessed=1.0)
    damage_map.buildings["damage"], damage_map.buildings["damage_prob"] = "no-damage", 0.001
    found = summarize(damage_map, make_grid())
    low, high = found["damaged"]["interval_95"]
    assert (found["damaged"]["count"], low) == (0, 0)
    assert high >= found["by_grade"]["destroyed"]["interval_95"][1] > 1


def test_imaged_ground_without_outlines_is_an_area_of_its_own():
    damage_map = make_map()
    whole = summarize(damage_map, make_grid())["area_km2"]
    assert whole["imaged_without_outlines"] is None
    strip = shapely.box(360_000, 4_099_972, 360_128, 4_100_000)
    damage_map.extent_without_outlines = gpd.GeoDataFrame(geometry=[strip], crs=damage_map.assessed_extent.crs)
    parts = summarize(damage_map, make_grid())["area_km2"]
    assert parts["imaged_without_outlines"] == pytest.approx(128 * 28 / 1e6)
    assert parts["not_assessed"] == pytest.approx(max(whole["not_assessed"] - 128 * 28 / 1e6, 0))


def test_the_same_seed_gives_the_same_summary():
    assert plain(summarize(make_map(), make_grid())) == plain(summarize(make_map(), make_grid()))


def test_nothing_assessed_has_no_shares_and_no_intervals():
    found = summarize(make_map(20, assessed=0), make_grid())
    assert found["buildings"]["assessed"] == 0
    assert found["damaged"]["interval_95"] is None
    assert found["by_grade"]["destroyed"] == {"count": 0, "share": None, "share_interval_95": None, "interval_95": None}


def test_areas_agree_between_projected_and_geographic():
    planar = summarize(make_map(), make_grid())["area_km2"]
    assert planar["assessed"] == pytest.approx((248 * 0.5) ** 2 / 1e6)
    assert planar["not_assessed"] == pytest.approx((128**2 - 124**2) / 1e6)
    square = gpd.GeoDataFrame(geometry=[shapely.box(359_000, 4_099_000, 361_000, 4_101_000)], crs=32615)
    assert area_km2(square.to_crs(4326)) == pytest.approx(4.0, rel=2e-3)  # UTM's scale factor is not 1
    assert area_km2(gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)])) is None


@pytest.mark.parametrize("crs", [3857, 4087, 3035])
def test_areas_are_those_on_the_ground_where_a_projection_stretches(crs: int):
    square = gpd.GeoDataFrame(geometry=[shapely.box(359_000, 6_599_000, 361_000, 6_601_000)], crs=32632)
    assert area_km2(square.to_crs(crs)) == pytest.approx(4.0, rel=4e-3)


def test_feet_are_turned_into_metres():
    feet = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 5280, 5280)], crs=2263)
    assert area_km2(feet) == pytest.approx(1.609347**2, rel=1e-5)


def test_a_synthetic_map_says_so():
    damage_map = make_map()
    damage_map.synthetic = True
    found = summarize(damage_map)
    assert found["synthetic"]
    assert found["caveats"][0].startswith("SYNTHETIC")
