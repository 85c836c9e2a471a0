"""Event, dates, sensors, credit: what the user gives is checked, what the files carry is used and said."""

from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.damage.review import LOOKS
from deepnets4eo.damage.table.vocabulary import look_at
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import EventInfo, Finding, Phrase
from deepnets4eo.outputs.wording import Verbatim
from deepnets4eo.rasters import Layer


def layer(folder, name, **tags):
    """An image of eight pixels with these tags."""
    import rasterio

    path = folder / f"{name}.tif"
    write_geotiff(path, np.ones((3, 8, 8), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**tags)
    return Layer.open(path)


@pytest.mark.parametrize(
    "text", ["22.05.2011", "2011-13-01", "2011-02-29", "2011", "20110522", "2011-05-22T25:00", "yesterday"]
)
def test_what_is_no_iso_date_is_refused(text):
    with raises_naming(InputError, "date_post", "2011-05-22"):
        EventInfo(date_post=text)


@pytest.mark.parametrize("text", ["2011-05-22", "2011-05-22T17:41Z", "2011-05-22T17:41:30+02:00"])
def test_iso_dates_are_kept_as_given(text):
    assert EventInfo(date_pre=text).to_dict()["date_pre"] == text


def test_a_pre_image_that_is_younger_is_refused():
    with raises_naming(InputError, "date_pre", "2012-01-01", "date_post", "2011-05-22"):
        EventInfo(date_pre="2012-01-01", date_post="2011-05-22")
    assert not EventInfo(date_pre="2011-05-22T09:00", date_post="2011-05-22").has_reversed_dates


def test_times_are_compared_where_both_say_their_zone():
    assert not EventInfo(date_pre="2011-05-23T00:30+10:00", date_post="2011-05-22T20:00Z").has_reversed_dates
    with raises_naming(InputError, "date_post"):
        EventInfo(date_pre="2011-05-22T18:00Z", date_post="2011-05-22T06:00Z")
    assert not EventInfo(date_pre="2011-05-22T18:00", date_post="2011-05-22T06:00Z").has_reversed_dates


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred", "x" * 1001])
def test_texts_are_one_line(text):
    with pytest.raises(InputError, match="credit is .* expected one line of text"):
        EventInfo(credit=text)


def test_what_is_not_known_is_null_and_not_a_line():
    event = EventInfo(location="Joplin", producer="Team 7")
    assert event.title("Change map") == "Change map: Joplin"
    assert EventInfo().title("Change map") == "Change map"
    assert event.lines == ["Place: Joplin", "Producer: Team 7"]
    assert event.to_dict() == {
        "name": None, "place": "Joplin", "date_pre": None, "date_post": None, "sensor_pre": None, "sensor_post": None,
        "credit": None, "producer": "Team 7", "from_files": {},
    }  # fmt: skip


def test_tags_fill_what_is_not_given_and_a_finding_says_so(tmp_path):
    pre = layer(tmp_path, "before", TIFFTAG_DATETIME="2011:05:20 17:41:00", SATELLITEID="QB02")
    post = layer(tmp_path, "after", TIFFTAG_DATETIME="2020:01:01 00:00:00", ACQUISITION_DATE="2011-05-29")
    event = EventInfo(sensor_pre="QuickBird").with_tags(pre, post)
    assert (event.date_pre, event.date_post, event.sensor_pre, event.sensor_post) == (
        "2011-05-20",
        "2011-05-29",
        "QuickBird",
        "",
    )
    assert event.from_files == {
        "date_pre": "TIFFTAG_DATETIME of before.tif",
        "date_post": "ACQUISITION_DATE of after.tif",
    }
    (finding,) = event.findings()
    assert (finding.code, finding.severity) == ("dates_from_tags", "note")
    assert "2011-05-20, TIFFTAG_DATETIME of before.tif; 2011-05-29, ACQUISITION_DATE of after.tif" in finding.message
    assert "Date before: 2011-05-20 (from TIFFTAG_DATETIME of before.tif)" in event.lines


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("20230206_pre", "2023-02-06"),
        ("20230208_082309_88_2486_3B_AnalyticMS_SR", "2023-02-08"),
        ("T37SBA_20230206T081101_B02", "2023-02-06"),
        ("10300100E3-2023-02-07-visual", "2023-02-07"),
        ("LC08_L1TP_174035_20230211_20230217_02_T1", "2023-02-11"),  # acquired, then processed
        ("10300500E4F91500", ""),
        ("2023_pre", ""),
        ("20230230_pre", ""),
    ],
)
def test_a_day_in_the_name_of_an_image_is_taken_and_named(tmp_path, name, day):
    event = EventInfo().with_tags(layer(tmp_path, name), None)
    assert event.date_pre == day
    assert event.from_files == ({"date_pre": f"name of {name}.tif"} if day else {})
    assert [finding.code for finding in event.findings()] == ["dates_from_tags"] * bool(day)
    if day:
        assert f"{day}, name of {name}.tif" in event.findings()[0].message


def test_a_tag_of_acquisition_counts_before_a_name_and_a_name_before_the_time_of_writing(tmp_path):
    pre = layer(tmp_path, "20230206_a", ACQUISITION_DATE="2023-01-05")
    post = layer(tmp_path, "20230207_b", TIFFTAG_DATETIME="2024:01:05 00:00:00")
    event = EventInfo().with_tags(pre, post)
    assert (event.date_pre, event.date_post) == ("2023-01-05", "2023-02-07")


def test_names_of_reversed_dates_are_a_caution_and_tiles_of_two_days_have_none(tmp_path):
    later, sooner = layer(tmp_path, "20230207_a"), layer(tmp_path, "20230206_b")
    event = EventInfo().with_tags(later, sooner)
    (finding,) = event.findings()
    assert (finding.code, finding.severity) == ("dates_reversed", "caution")
    assert "2023-02-07, name of 20230207_a.tif" in finding.message
    tiles = Layer.open([later.source, sooner.source])
    assert EventInfo().with_tags(tiles, None).date_pre == ""


def test_the_time_that_a_satellites_side_file_gives_is_used(tmp_path):
    import rasterio

    path = tmp_path / "scene.tif"
    write_geotiff(path, np.ones((3, 8, 8), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2011-05-29 17:41:00", SATELLITEID="WV02")
    event = EventInfo().with_tags(None, Layer.open(path))
    assert (event.date_post, event.sensor_post) == ("2011-05-29", "WV02")


def test_given_dates_are_not_replaced_and_bad_tags_not_used(tmp_path):
    post = layer(tmp_path, "after", TIFFTAG_DATETIME="2011:05:29 00:00:00", SATELLITEID="x" * 2000)
    given = EventInfo(date_post="2011-05-22")
    assert given.with_tags(None, post) == given
    assert given.findings() == ()
    bad = layer(tmp_path, "bad", TIFFTAG_DATETIME="0000:00:00 00:00:00")
    assert EventInfo().with_tags(bad, bad) == EventInfo()


def test_tags_with_a_younger_pre_image_are_a_caution(tmp_path):
    pre = layer(tmp_path, "before", TIFFTAG_DATETIME="2024:05:20 17:41:00")
    event = EventInfo(date_post="2011-05-22").with_tags(pre, pre)
    (finding,) = event.findings()
    assert (finding.code, finding.severity) == ("dates_reversed", "caution")
    assert "(2024-05-20, TIFFTAG_DATETIME of before.tif)" in finding.message


@pytest.mark.parametrize(
    ("tag", "text", "day"),
    [
        ("acquisition_date", "2011-05-24T17:01:02Z", "2011-05-24"),
        ("NITF_IDATIM", "20110524170102", "2011-05-24"),
        ("DATE_ACQUIRED", "2011/05/24", "2011-05-24"),
        ("TIFFTAG_DATETIME", "soon", ""),
        ("TIFFTAG_DATETIME", "20110524170", ""),
    ],
)
def test_dates_are_read_in_the_ways_that_tags_write_them(tmp_path, tag, text, day):
    assert EventInfo().with_tags(None, layer(tmp_path, "after", **{tag: text})).date_post == day


@pytest.mark.parametrize(
    "name",
    [
        "Hurricane Harvey",
        "Cyclone Idai",
        "Typhoon Haiyan",
        "storm surge of 1953",
        "Monsoon 2022",
        "Huracán Otis",
        "Furacão",
    ],
)
def test_storms_are_floods_and_wind(name: str) -> None:
    event = EventInfo(name=name)
    assert event.is_flood is True
    assert event.is_wind
    assert event.is_only_flood is None  # a map of damage does not take all ground for wet
    assert event.names_hazard
    assert not event.is_earthquake


@pytest.mark.parametrize(
    ("name", "flood", "wind"),
    [
        ("Moore tornado", False, True),
        ("Windhoek", None, False),
        ("Warsaw", None, False),
        ("Storm", None, True),
        ("Flood", True, False),
        ("Twister", False, True),
        ("Gale", None, True),
        ("Hailstorm", None, True),
        ("Rainstorm", None, False),
        ("Flash flood after a rainstorm", True, False),
        ("Tsunami", True, False),
        ("تسونامي", True, False),
        ("Lahar", True, False),
        ("Kakhovka dam explosion", True, False),
        ("Rupture de barrage", True, False),
        ("Landslide", None, False),
        ("Mud slide", None, False),
        ("Glissement de terrain", None, False),
        ("War", None, False),
        ("Guerra", None, False),
        ("Firenze", None, False),
        ("Galesburg", None, False),
    ],
)
def test_wind_is_told_from_floods(name: str, flood: bool | None, wind: bool) -> None:
    event = EventInfo(name=name)
    assert (event.is_flood, event.is_only_flood, event.is_wind) == (flood, flood, wind)


@pytest.mark.parametrize(
    "name",
    [
        *("Beirut blast", "Port explosion", "Explosión", "Explosão", "انفجار بيروت", "Bombing", "Bombardement", "Shelling", "Air strike", "القصف"),
        *("Bushfire", "Incêndio", "Feu de forêt", "حرائق الغابات", "Éruption", "Erupción", "Erupção", "بركان", "Quake", "Tremor", "Temblor"),
    ],
)  # fmt: skip
def test_everyday_names_of_dry_hazards_are_understood_in_five_languages(name: str) -> None:
    event = EventInfo(name=name)
    assert event.is_flood is False
    assert not event.is_wind
    assert event.names_hazard
    assert not event.hazard_findings


@pytest.mark.parametrize("name", ["Quake", "Tremor", "Temblor", "Abalo sísmico", "Sismo", "الزلزال", "هزة ارضية"])
def test_everyday_names_of_earthquakes_are_understood(name: str) -> None:
    assert EventInfo(name=name).is_earthquake


@pytest.mark.parametrize("name", ["Landslide", "Mudslide", "Deslave", "Deslizamento", "انهيار أرضي", "Hail", "حرب"])
def test_hazards_that_change_no_decision_are_words_for_a_hazard(name: str) -> None:
    assert EventInfo(name=name).names_hazard


def test_a_name_without_a_hazard_is_noted_and_asked_for() -> None:
    (note,) = EventInfo(name="Hatay 2023").hazard_findings
    assert "Hatay 2023" in note.message
    assert note.remedy.startswith("Name the hazard: --event name=HAZARD")
    assert EventInfo().hazard_findings == EventInfo(name="Hatay earthquake").hazard_findings == ()
    assert EventInfo(name="War in the north").names_hazard


HAZARD_REQUEST = Phrase("name_the_hazard")


@pytest.mark.parametrize(
    ("values", "requests"),
    [
        ({}, False),
        ({"hazard": None}, False),
        ({"hazard": HAZARD_REQUEST}, True),
        ({"reasons": (HAZARD_REQUEST,)}, True),
    ],
)
def test_a_finding_states_whether_it_requests_the_hazard(values: dict[str, Any], requests: bool) -> None:
    finding = Finding("no_hazard_word", "note", {"name": Verbatim(HAZARD_REQUEST.text()), **values})
    assert finding.requests_hazard is requests
    assert Finding.from_dict(finding.to_dict()).requests_hazard is requests


def test_the_advice_on_a_wide_interval_has_the_looks_and_the_share_of_this_map() -> None:
    advice = {
        name: Phrase("count_not_told.remedy", EventInfo(name=name).count_advice((0.5, 0.9), look_at(LOOKS + 1))).text()
        for name in ("", "Flood", "Séisme")
    }
    for name in ("", "Flood"):
        assert advice[name].startswith(f"Look at {LOOKS} buildings")
    assert look_at(LOOKS).text() == "Look at all buildings", "a small map has no sample"
    assert "0.70 for 70 in 100" in advice[""]
    assert "neighbouring quarter" in advice["Séisme"]
    assert "Name the hazard" not in advice["Séisme"]


@pytest.mark.parametrize(("tag", "warned"), [("ACQUISITION_DATE", True), ("TIFFTAG_DATETIME", False)])
def test_tiles_taken_on_two_days_are_named_and_tiles_written_on_two_days_are_not(tmp_path, caplog, tag, warned):
    tiles = [layer(tmp_path, f"tile_{number}", **{tag: f"2011:05:2{number} 10:00:00"}) for number in (1, 2)]
    mosaic = Layer.open([tile.source for tile in tiles])
    assert (mosaic.acquired, mosaic.written) == (None, None)
    assert ("together they have no day" in caplog.text) is warned
