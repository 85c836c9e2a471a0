"""Counts, intervals and areas against worked numbers and second computations."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from made_up_map import make_grid, make_map

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.products.qgis_layout import LayoutWords
from deepnets4eo.damage.products.summary import area_km2, description_lines, summarize
from deepnets4eo.damage.products.words import count_sentence
from deepnets4eo.damage.table.probabilities import expected_count
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.files import plain
from deepnets4eo.outputs import Phrase, number_text
from deepnets4eo.outputs.wording import LANGUAGES


def test_expected_count_gives_the_worked_number():
    found = expected_count(np.repeat([0.9, 0.05], [100, 900]))
    assert found["expected"] == pytest.approx(135)
    assert np.diff(found["interval_95"]) == pytest.approx(2 * 1.96 * 7.19, abs=0.02)


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
    assert damaged["method"] == "independent"
    assert {row["method"] for row in found["by_grade"].values()} == {"wilson"}
    assert all(method in found["intervals"] for method in ("site", "independent", "wilson"))


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
    assert {row["method"] for row in (found["damaged"], *found["by_grade"].values())} == {"site"}
    intervals = [key for row in found["by_grade"].values() for key in row if "interval" in key]
    assert sorted(intervals) == ["interval_95"] * 4 + ["share_interval_95"] * 4, "one interval a count"
    assert found["damaged"]["count"] == damage_map.buildings["damage"].isin(DAMAGED).sum()
    assert found["damaged_share"] == {"value": 0.3, "status": "estimated"}
    assert found["estimates"]["buildings"] == rows


@pytest.mark.parametrize(
    ("classified", "interval", "said"),
    [
        (265, [243.2, 277.8], "265 of 328 assessed buildings classified as major damage or worse · true number 243–278 (95 %)"),
        (0, [0.0, 96.4], "0 of 328 assessed buildings classified as major damage or worse · true number 0–96 (95 %). If you expected more damage, "
        "name the hazard: --event name=HAZARD. Look at 40 buildings: `deepnets4eo review FOLDER --serve`."),
        (0, [0.0, 241.0], "The images do not show how many of 328 assessed buildings have major damage or worse: 0–241 are possible (95 %). Look at 40 buildings: `deepnets4eo review FOLDER --serve`, then `deepnets4eo review FOLDER --update`; or give the share of damaged buildings if "
        "a survey or report states it: --set damaged_share=SHARE (0.37 for 37 in 100)."),
    ],
)  # fmt: skip
def test_one_sentence_says_how_many_in_every_product(classified, interval, said, tmp_path):
    damage_map = make_map(328, assessed=1.0)
    damage_map.buildings["damage"] = np.where(np.arange(328) < classified, "destroyed", "no-damage")
    row = {"expected": 259.2, "interval_95": interval}
    damage_map.estimates = {"buildings": dict.fromkeys((*GRADES, "damaged"), row), "built_area_m2": None}
    damage_map.damaged_share = {"value": 0.8, "interval_95": [bound / 328 for bound in interval]}
    assert damage_map.headline() == said
    assert summarize(damage_map)["headline"] == said
    assert description_lines(damage_map)[0] == said
    assert count_sentence(damage_map, "en") == said.partition(" (95 %)")[0] + " (95 %)"
    if classified:
        french = "265 bâtiments sur 328 évalués : dommages importants ou pire · nombre réel 243–278 (95 %)"
        assert count_sentence(damage_map, "fr") == french


@pytest.mark.parametrize(("graded", "said"), [(50, "10 of 60 outlines not known"), (51, None)])
def test_the_headline_states_outlines_without_a_grade_if_they_are_a_fifth_of_the_others(graded, said):
    damage_map = make_map(60, assessed=1.0)
    left = np.arange(60) >= graded
    damage_map.buildings.loc[left, ["status", "damage"]] = ["not_assessed", None]
    assert ("outlines not known" in damage_map.headline()) is (said is not None)
    assert said is None or said in damage_map.headline()
    assert ("non connues" in count_sentence(damage_map, "fr")) is (said is not None)


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
    nothing = dict.fromkeys(("share", "expected", "interval_95", "method", "share_interval_95"))
    assert found["by_grade"]["destroyed"] == {"count": 0, **nothing}


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_lines_have_the_number_its_interval_and_what_they_leave_out(language):
    damage_map = make_map(1328, assessed=1.0)
    damage_map.buildings["damage"] = np.where(np.arange(1328) < 265, "destroyed", "no-damage")
    damage_map.estimates = {"buildings": {"damaged": {"expected": 1259.2, "interval_95": [243.2, 1277.8]}}}
    told = damage_map.page_headline(language)
    assert told.number == number_text(265, language)
    assert number_text(1328, language) in told.sentence
    assert told.sentence.count(".") - told.sentence.count("1.") == 1, "one sentence"
    assert (told.bar.low, told.bar.high, told.bar.whole, told.bar.value) == (243.2, 1277.8, 1328, 265)
    assert told.bar.ends == ("0", number_text(1328, language))
    assert number_text(1278, language) in told.bar.words
    seen = damage_map.buildings.index >= 5
    damage_map.buildings.loc[~seen, ["status", "reason"]] = ["not_assessed", "under cloud"]
    assert Phrase("result_left_unassessed", {"number": 5}).text(language) in damage_map.page_headline(language).limit
    damage_map.damaged_share = {"value": 0.8, "interval_95": [0.0, 0.9]}
    wide = damage_map.page_headline(language)
    assert (wide.bar.value, wide.stated) == (None, ("count_not_told",)), "too wide to be told"
    for end in (243, 1278):
        assert number_text(end, language) in wide.number
    none = make_map(9, assessed=0.0).page_headline(language)
    assert (none.sentence, none.bar) == (Phrase("result_none").text(language), None)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_map_of_images_that_do_not_match_says_first_that_it_rests_on_the_image_after(language, tmp_path):
    damage_map = make_map(40, assessed=1.0)
    plain_words = damage_map.page_headline(language).limit, count_sentence(damage_map, language), damage_map.headline()
    damage_map.registration = {"status": "failed", "matrix": [[1, 0, 0], [0, 1, 0]]}
    warning = Phrase("result_post_only").text(language)
    assert damage_map.page_headline(language).limit == f"{warning} {plain_words[0]}"
    assert count_sentence(damage_map, language) == f"{warning} {plain_words[1]}"
    english = Phrase("result_post_only").text()
    assert damage_map.headline() == summarize(damage_map)["headline"] == f"{english} {plain_words[2]}"
    assert description_lines(damage_map)[0].startswith(english)
    assert LayoutWords.of(damage_map, "").sentence.startswith(english), "QGIS"
    none = make_map(9, assessed=0.0)
    none.registration = {"status": "failed"}
    assert none.page_headline(language).sentence == Phrase("result_none").text(language)
