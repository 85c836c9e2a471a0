"""Maps that do not show how many buildings are damaged state a rank in place of every grade that is not certain."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pyogrio
import pytest
from made_up_map import make_grid, make_images, make_map

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.findings import findings_after_answers, share_findings
from deepnets4eo.damage.decision.inundation import inundation_after_answers
from deepnets4eo.damage.decision.site_fit import ShareEstimate
from deepnets4eo.damage.products.exchange_formats import write_csv, write_geojson, write_kml
from deepnets4eo.damage.products.profiles import write_cems, write_osm, write_unosat
from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.damage.products.tables import write_gpkg
from deepnets4eo.damage.products.words import count_sentence
from deepnets4eo.damage.review.moved_estimates import moved_share
from deepnets4eo.damage.review.teaching import grades_of_map
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.outputs import EventInfo, Finding, Phrase, number_text
from deepnets4eo.outputs.wording import LANGUAGES


@pytest.fixture
def wide_map():
    """A map of 60 buildings of which 0 to 50 may be damaged; the evidence of every second one leaves a single grade."""
    damage_map = make_map(60)
    row = {"expected": 9.0, "interval_95": [0.0, 50.0]}
    damage_map.estimates = {
        "buildings": dict.fromkeys((*GRADES, "damaged"), row),
        "built_area_m2": None,
        "confusion": {"destroyed": {}},
    }
    damage_map.damaged_share = {"value": 0.17, "interval_95": [0.0, 0.9]}
    damage_map.withhold_unknown_grades()
    return damage_map


def certain_of(before):
    return (before["damage_set"] == before["damage"]).to_numpy() & before["damage"].notna().to_numpy()


def test_only_grades_that_exclude_all_others_are_stated(wide_map):
    before, after = make_map(60).buildings, wide_map.buildings
    stated = after["damage"].isin(GRADES).to_numpy()
    assert (stated == certain_of(before)).all()
    assert 0 < stated.sum() < len(after)
    assert (after["damage"][stated] == before["damage"][stated]).all()
    assert (after["damage"].isna() == before["damage"].isna()).all(), "buildings that were not assessed stay so"
    assert "confusion" not in wide_map.estimates, "it is of grades that are not stated"


def test_the_rank_is_that_of_the_probability(wide_map):
    known = wide_map.buildings[wide_map.buildings["status"] == "assessed"]
    assert (known["damage_rank"] == (-known["damage_prob"]).rank()).all()
    quarters = wide_map.table.classes[known.index][known["damage"] == "not-known"]
    expected = pd.qcut(known["damage_rank"], 4, labels=["1", "2", "3", "4"]).astype(str)
    assert (quarters.str[-1] == expected[quarters.index]).mean() > 0.95, "their borders may differ by a building"
    assert wide_map.table.classes[wide_map.buildings["damage"].isna()].eq("not-assessed").all()


def test_buildings_in_new_water_keep_their_grade():
    damage_map = make_map(60)
    damage_map.buildings["inundated"] = "yes"
    damage_map.damaged_share = {"value": 0.2, "interval_95": [0.0, 0.9]}
    before = damage_map.buildings.copy()
    damage_map.withhold_unknown_grades()
    kept = damage_map.buildings["damage"] == before["damage"]
    assert kept[before["damage"].isin(GRADES[1:])].all()
    assert not kept[(before["damage"] == GRADES[0]) & ~certain_of(before)].any()


def test_likeliest_grades_come_back_and_told_maps_are_left(wide_map):
    pd.testing.assert_frame_equal(Buildings(wide_map.buildings).with_likeliest_grades().frame, make_map(60).buildings)
    told = make_map(60)
    told.damaged_share = {"value": 0.2, "interval_95": [0.1, 0.4]}
    told.withhold_unknown_grades()
    pd.testing.assert_frame_equal(told.buildings, make_map(60).buildings)


def test_a_number_that_its_interval_excludes_is_not_stated_until_answers_move_it():
    damage_map = make_map(60)
    damaged = {"expected": 30.0, "interval_95": [24.0, 36.0]}
    damage_map.damaged_share = {"value": 0.5, "interval_95": [0.4, 0.6], "contradicted": True}
    damage_map.estimates = {"buildings": dict.fromkeys((*GRADES, "damaged"), damaged)}
    damage_map.withhold_unknown_grades()
    assert "likeliest" in damage_map.buildings
    assert damage_map.headline().startswith(
        "The images do not show how many of 54 assessed buildings have major damage or worse: 24–36"
    )
    moved = moved_share(damage_map.damaged_share, damage_map.estimates, 60)
    assert not moved["contradicted"]
    assert moved["interval_95"] == [0.4, 0.6]


def test_findings_on_numbers_follow_the_answers():
    others = Finding("registration_assumed", "caution")
    before = (Finding("count_not_told", "caution", {"low": 9.0, "high": 25.0, "assessed": 25}), others, Finding("minor_not_told", "note", {"number": 5}))  # fmt: skip
    assert findings_after_answers(before, None, 25, EventInfo()) == (others,)
    kept, found = findings_after_answers(before, (0.2, 0.8), 25, EventInfo(name="Flood"))
    assert kept == others
    assert (found.code, found.severity, found.affected) == ("count_not_told", "caution", 15)
    assert found.message == "The images do not show how many buildings are damaged: 5 to 20 of 25 are possible."
    assert found == share_findings(ShareEstimate(0.5, "estimated", (0.2, 0.8), 0.0, 0.5), 25, EventInfo(name="Flood"))[0]  # fmt: skip


def test_the_interval_of_a_number_that_is_not_stated_is_the_open_one(wide_map):
    assert wide_map.open_interval == (0.0, 0.9)
    wide_map.damaged_share = {"interval_95": [0.1, 0.4]}
    assert wide_map.open_interval is None


def test_sums_of_grades_by_water_are_not_stated_until_the_number_is_known():
    damage_map = make_map(60)
    counts = {"inundated": 7, "structure": 31, "together": 37, "source": "flood.tif"}
    means = Phrase("in_water_damaged")
    in_water = Finding("buildings_in_water", "note", {"number": 7, "structure": 31, "by_water": None, "source": Finding.verbatim("flood.tif"), "means": means})  # fmt: skip
    damage_map.inundation, damage_map.findings = dict(counts), (in_water,)
    damage_map.damaged_share = {"value": 0.5, "interval_95": [0.0, 0.9]}
    for _ in range(2):  # of a map that is withheld already
        damage_map.withhold_unknown_grades()
    assert summarize(damage_map, make_grid())["inundation"] == counts | {"structure": None, "together": None}
    (finding,) = damage_map.findings
    for language in LANGUAGES:
        assert "31" in in_water.text(language=language)
        assert re.findall(r"\d+", finding.text(language=language)) == ["7"]
    damage_map.state_likeliest_grades()
    assert damage_map.inundation == counts
    assert damage_map.parameters == make_map(60).parameters
    grades = grades_of_map(damage_map.buildings)
    dry = np.zeros(60, bool)
    counted, (found,) = inundation_after_answers(damage_map.inundation, damage_map.findings, dry, grades, grades)
    assert found.values["structure"] == counted["structure"] == min(31, counted["together"])


def test_no_product_states_an_unknown_grade(wide_map, tmp_path):
    certain = int((certain_of(make_map(60).buildings) & (make_map(60).buildings["damage"] == GRADES[0])).sum())
    csv = pd.read_csv(write_csv(wide_map, tmp_path / "damage.csv"))
    assert (csv["damage"] == GRADES[0]).sum() == certain
    assert csv["damage_rank"].notna().sum() == (csv["status"] == "assessed").sum()
    features = json.loads(write_geojson(wide_map, tmp_path / "damage.geojson").read_text())["features"]
    assert sum(feature["properties"]["damage"] == GRADES[0] for feature in features) == certain
    kml = write_kml(wide_map, tmp_path / "damage.kml").read_text()
    assert kml.count(f"<styleUrl>#{GRADES[0]}</styleUrl>") == certain
    assert kml.count("Damaged or not is not known. Rank ") == (csv["damage"] == "not-known").sum()
    with closing(sqlite3.connect(write_gpkg(wide_map, tmp_path / "damage.gpkg"))) as database:
        (number,) = database.execute("SELECT count(*) FROM buildings WHERE damage = ?", GRADES[:1]).fetchone()
        (style,) = database.execute("SELECT styleQML FROM layer_styles WHERE f_table_name = 'buildings'").fetchone()
    assert number == certain
    assert {f'value="not-known-{quarter}"' for quarter in (1, 2, 3, 4)} <= set(
        re.findall(r'value="not-known-\d"', style)
    )
    summary = summarize(wide_map, make_grid())
    assert summary["by_grade"][GRADES[0]]["count"] == certain
    assert {row["share"] for row in (summary["damaged"], *summary["by_grade"].values())} == {None}
    unseen = make_map(60)
    unseen.damaged_share = {"interval_95": [0.0, 0.9]}
    unseen.buildings["damage_set"] = f"{GRADES[0]}|{GRADES[3]}"
    unseen.withhold_unknown_grades()
    assert [row["count"] for row in summarize(unseen, make_grid())["by_grade"].values()] == [None] * 4, (
        "unknown is not 0"
    )
    assert summary["buildings"]["grade_not_known"] == (csv["damage"] == "not-known").sum()


def test_formats_of_others_have_only_grades_that_are_stated(wide_map, tmp_path):
    stated = int(wide_map.table.graded.sum())
    assert len(pyogrio.read_dataframe(write_unosat(wide_map, tmp_path / "unosat.gpkg"))) == stated
    assert len(json.loads(write_osm(wide_map, tmp_path / "osm.geojson").read_text())["features"]) == stated
    (row,) = pyogrio.read_dataframe(write_cems(wide_map, tmp_path / "cems.gpkg"), layer="summaryTable_v1").to_dict(
        "records"
    )
    assert (row["not_analysed"], row["total"]) == (60 - stated, 60)


def test_the_page_lists_by_rank_and_the_sentence_names_no_count(wide_map, tmp_path):
    grid = make_grid()
    pre, post = make_images(grid, wide_map)
    html = write_report(wide_map, summarize(wide_map, grid), tmp_path / "report.html", post=post, pre=pre).read_text()
    page = json.loads(re.search(r'<script type="application/json" id="page">(.*?)</script>', html, re.DOTALL)[1])
    assert [each["key"] for each in page["classes"]][4:] == [*page["unknown"], "not-assessed"]
    assert sum(page["unknown"].values()) == (wide_map.buildings["damage"] == "not-known").sum()
    assessed = int(wide_map.table.assessed.sum())
    for language in LANGUAGES:
        sentence = count_sentence(wide_map, language)
        numbers = [number_text(value, language) for value in (assessed, 0, 50)]
        assert [number for number in re.findall(r"\d+", sentence) if number != "95"] == numbers
    assert "classified" not in wide_map.headline()
