"""The table of tags: what belongs where, how wide, and which tables are refused."""

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import Point

from deepnets4eo.errors import InputError
from deepnets4eo.files import write_yaml
from deepnets4eo.osm import OsmRules

RULES = OsmRules.load()


def table(**tags):
    (count,) = {len(values) for values in tags.values()}
    return gpd.GeoDataFrame(tags, geometry=[Point(0, 0)] * count)


def test_roads_are_as_wide_as_their_class_says():
    ways = table(highway=["motorway", "residential", "steps", "proposed", None])
    found = RULES.match(ways)["roads"]
    assert found.member.tolist() == [True, True, True, False, False]
    assert np.array_equal(found.line_m, [14.6, 5.5, 2.2, np.nan, np.nan], equal_nan=True)


def test_a_width_that_a_road_states_itself_wins_unless_it_is_none():
    ways = table(highway=["residential"] * 6, width=["7", "6,5 m", "12'", "0", "9000", None])
    assert RULES.match(ways)["roads"].line_m.tolist() == [7, 6.5, 5.5, 5.5, 5.5, 5.5]
    assert RULES.match(ways.assign(width=7.25))["roads"].line_m.tolist() == [7.25] * 6


def test_any_value_of_building_counts_but_no():
    found = RULES.match(table(building=["yes", "church", "no", "", None]))
    assert found["buildings"].member.tolist() == [True, True, False, False, False]
    assert not np.isfinite(found["buildings"].line_m).any()


def test_what_cannot_be_seen_from_above_is_left_out():
    ways = table(highway=["primary"] * 3, tunnel=["yes", "no", None])
    assert RULES.match(ways)["roads"].member.tolist() == [False, True, True]


def test_features_handed_over_as_a_class_are_of_it_whatever_their_tags():
    ways = table(highway=["primary", None], natural=["water", "wood"])
    found = RULES.match(ways, "roads")
    assert list(found) == ["roads"]
    assert found["roads"].member.all()
    assert found["roads"].line_m.tolist() == [14.6, 5.5]


def test_tags_in_one_text_column_are_spread():
    text = ['"building"=>"yes","name"=>"a, \\"b\\""', '"natural"=>"water"', None]
    spread = RULES.spread_tags(table(other_tags=text))
    found = RULES.match(spread)
    assert found["buildings"].member.tolist() == [True, False, False]
    assert found["water"].member.tolist() == [False, True, False]


def test_a_table_of_ones_own_is_read_from_its_file(tmp_path):
    path = write_yaml(tmp_path / "my.yaml", {"classes": {"rails": {"rules": [{"key": "railway", "values": "*"}]}}})
    assert OsmRules.load(path).names == ["rails"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": {}}, "describes no class"),
        ({"priority": ["sea"]}, r"priority names \['sea'\]"),
        ({"class": 1}, r"entries \['class'\]"),
        ({"classes": {"a": {"rules": [{"key": "x"}]}}}, "a key and values"),
        ({"classes": {"a": {"rules": [{"key": "x", "values": [True]}]}}}, "quotes"),
        ({"classes": {"a": {"line_m": -2}}}, "line_m is -2"),
        ({"classes": {"a": {"line_m": 0}}}, "line_m is 0, expected metres above 0"),
        ({"classes": {"a": {"point_m": True}}}, "point_m is True, expected metres above 0"),
        ({"classes": {"a": {"point_m": "3"}}}, "point_m is '3', expected metres above 0"),
        ({"classes": {"a": "roads"}}, "class 'a': got 'roads', expected entries such as line_m, point_m, rules"),
        ({"classes": {"a": {"rules": ["x"]}}}, "class 'a': got 'x', expected entries such as key, line_m"),
        ({"classes": {"a": {"rules": [{"values": "*"}]}}}, "a key and values"),
        ({"classes": {"a": {"rules": [{"key": "x", "values": 3}]}}}, "values are 3, expected words"),
        ({"classes": {"a": {"width": 3}}}, r"class 'a' has the entries \['width'\], expected some of line_m"),
    ],
)
def test_tables_without_sense_are_refused_by_name(tmp_path, change, message):
    sound = {"classes": {"a": {"rules": [{"key": "x", "values": "*"}]}}}
    path = write_yaml(tmp_path / "odd.yaml", sound | change)
    with pytest.raises(InputError, match=message) as caught:
        OsmRules.load(path)
    assert "odd.yaml" in str(caught.value)
