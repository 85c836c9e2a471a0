"""What a map of water states in numbers and sentences, and which of its ground is sure: each case against words and values by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepnets4eo.floods import Recognition, products, radar_date
from deepnets4eo.floods.common_colours import _distances, _first_centres, common_colours
from deepnets4eo.floods.figures import _rest, _with_unknown, figure_findings, headline, headline_parts, page_headline
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.outputs import EventInfo, Finding, Phrase

AFTER, BOTH = {"post": "optical"}, {"pre": "radar", "post": "radar"}


def summary(
    seen: float = 100, flood: float = 20, unknown: float | None = None, sensors: Any = BOTH, buildings: Any = None, interval: Any = (15.0, 25.0)
) -> dict[str, Any]:  # fmt: skip
    name = "flood" if sensors is BOTH else "permanent_water"
    area = {"seen_ha": seen, f"{name}_ha": flood, f"{name}_ha_interval": interval, f"{name}_share": flood / seen if seen else None}  # fmt: skip
    area |= {} if unknown is None else {"unknown_ha": unknown}
    return {"area": area, "sensors": sensors} | ({} if buildings is None else {"buildings": buildings})


ALL = {"count": 1200, "known": 1200, "inundated": 30}
SOME = {"count": 1200, "known": 1100, "inundated": 30}


@pytest.mark.parametrize(
    ("map_of", "text", "rest"),
    [
        (summary(), "20.0 ha (15.0–25.0) flooded", ", 20.0 % of 100 ha of visible ground"),
        (summary(sensors=AFTER), "20.0 ha (15.0–25.0) of water of unknown age", ", 20.0 % of 100 ha of visible ground"),
        (summary(flood=0, interval=None), "No flood was found", " in 100 ha of visible ground"),
        (summary(flood=0, interval=None, sensors=AFTER), "No water was found", " in 100 ha of visible ground"),
        (summary(unknown=60), "20.0 ha (15.0–25.0) flooded", "; for 60.0 ha it is unknown"),
        (summary(unknown=100), "It is not known how much is flooded: 20.0 ha (15.0–25.0)", "; 100 ha are unknown, 100 ha are certainly wet or dry"),
        (summary(flood=0, interval=(0, 60), unknown=60), "It is not known how much is flooded: 0 ha (0–60.0)", "; 60.0 ha are unknown, 100 ha are certainly wet or dry"),
        (summary(seen=0, flood=0, interval=None), "", "Nothing could be compared."),
        (summary(seen=0, flood=0, interval=None, unknown=0), "", "Nothing could be compared."),
        (summary(seen=0, flood=0, interval=(0, 60), unknown=60), "It is not known how much is flooded: 0 ha (0–60.0)", "; 60.0 ha are unknown, 0 ha are certainly wet or dry"),
        (summary(buildings=ALL), "20.0 ha (15.0–25.0) flooded", ", 20.0 % of 100 ha of visible ground; 30 of 1,200 buildings stand in it"),
        (
            summary(buildings=SOME), "20.0 ha (15.0–25.0) flooded",
            ", 20.0 % of 100 ha of visible ground; 30 of 1,200 buildings are known to stand in it, for 100 it is unknown",
        ),
    ],
)  # fmt: skip
def test_one_line_states_the_water_and_what_is_not_known(map_of: dict[str, Any], text: str, rest: str) -> None:
    assert headline_parts(map_of) == (text, rest)
    has_range = text and map_of["area"].get("unknown_ha") is None and "(" in text
    assert headline(map_of) == text + rest + ("; the range does not include errors of the map" if has_range else "")


@pytest.mark.parametrize(
    ("map_of", "number", "key", "share", "looked_at"),
    [
        (summary(), "20.0 ha", "flood_is", 0.2, "100 ha"),
        (summary(sensors=AFTER), "20.0 ha", "water_is", 0.2, "100 ha"),
        (summary(flood=0, interval=None), "0 ha", "flood_of", 0.0, "100 ha"),
        (summary(unknown=60), "20.0 ha", "flood_is", 0.2, "160 ha"),
        (summary(unknown=100), "15.0–25.0 ha", "flood_may_be", 0.2, "200 ha"),
        (summary(flood=0, interval=None, unknown=60), "0 ha", "flood_may_be", 0.0, "160 ha"),
    ],
)
def test_a_page_begins_with_the_water_or_the_range_that_it_may_have(
    map_of: dict[str, Any], number: str, key: str, share: float, looked_at: str
) -> None:
    found = page_headline(map_of)
    values = {"share": share, "seen": Phrase.verbatim(looked_at)}
    assert (found.number, found.sentence) == (number, Phrase(key, values).text("en"))
    assert (found.bar is None) == (map_of["area"]["flood_ha_interval" if map_of["sensors"] is BOTH else "permanent_water_ha_interval"] is None)  # fmt: skip
    with_houses = page_headline(map_of | {"buildings": SOME})
    houses = Phrase("buildings_in_flood", {"number": 30, "known": 1100}).text("en")
    assert with_houses.sentence == f"{found.sentence} {houses}"
    assert Phrase("buildings_not_known", {"number": 100}).text("en") in with_houses.limit
    assert Phrase("buildings_not_known", {"number": 100}).text("en") not in found.limit


def test_a_page_of_nothing_says_so() -> None:
    found = page_headline(summary(seen=0))
    assert (found.number, found.sentence) == (Phrase("number_unknown").text("en"), Phrase("nothing_compared").text("en"))  # fmt: skip
    assert page_headline(summary(seen=0, flood=0, unknown=5)).number != found.number


def test_unknown_ground_may_all_be_flooded_and_is_no_longer_not_seen() -> None:
    area = {"flood_ha": 5.0, "flood_ha_interval": (4.0, 6.0), "flood_share": 0.1, "not_seen_ha": 12.0, "interval_of": "borders", "seen_ha": 50.0}  # fmt: skip
    found = _with_unknown(area, 8.0, 0.01)
    assert found == area | {
        "not_seen_ha": 4.0, "unknown_ha": 8.0, "flood_share": None, "flood_ha_interval": (4.0, 13.0),
        "interval_of": "borders; the upper end of the flood holds all ground that is not known",
    }  # fmt: skip
    assert _with_unknown(area | {"flood_ha_interval": None}, 8.0, 0.01)["flood_ha_interval"] == (5.0, 13.0)
    assert (_rest(5.0, 5.0, 0.01), _rest(5.0, 2.0, 0.01), _rest(1.0, 0.9991, 0.01), _rest(1.0, 0.998, 0.01)) == (
        0,
        3,
        0,
        pytest.approx(0.002),
    )


@pytest.mark.parametrize(
    ("flood", "unknown", "share"), [(51, None, 0.51), (50, None, None), (60, 20, None), (61, 20, 61 / 120)]
)
def test_a_flood_of_more_than_half_of_what_is_looked_at_is_doubted(flood: float, unknown: Any, share: Any) -> None:
    found = figure_findings(summary(flood=flood, unknown=unknown))
    assert found == ([] if share is None else [Finding("most_flooded", "caution", {"share": share})])
    assert figure_findings(summary(seen=0, flood=0)) == []


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The steps after a map of water, each of which names its result; what was recognised can be changed."""
    found = SimpleNamespace(recognition=Recognition(1000, 500), asked=[])
    for name, value in {
        "measure_recognition": lambda *_: found.recognition,
        "with_mud": lambda labels, path, scene, mapper, seen: (f"{labels} with mud", seen),
        "write_proven_water": lambda labels, *_: (f"{labels}, proven", ["of age"]),
        "write_sure_water": lambda labels, path, scene, mapper, outlines, dry, reach_m: found.asked.append(reach_m) or f"{labels}, sure",
        "write_without_flood": lambda labels, path: f"{labels}, without flood",
        "level_findings": lambda _: ["level"], "mode_findings": lambda _: ["mode"],
    }.items():  # fmt: skip
        monkeypatch.setattr(products, name, value)
    return found


def sure(event: EventInfo, tmp_path: Any, *, by_appearance: bool = True) -> tuple[Any, bool, list[Any]]:
    opened: Any = SimpleNamespace(scene="scene", outlines="outlines", findings=["opened"])
    mapper: Any = SimpleNamespace(dates={"post": SimpleNamespace(by_appearance=by_appearance)})
    return products._sure_labels(opened, mapper, "labels", "dry", tmp_path / "sure.tif", event)  # type: ignore[arg-type,return-value]


DATES = {"date_pre": "2023-02-01", "date_post": "2023-02-09"}


def codes(findings: list[Any]) -> list[str]:
    return [one if isinstance(one, str) else one.code for one in findings]


def test_water_that_is_recognised_is_sure(steps: Any, tmp_path: Any) -> None:
    labels, has_mud, findings = sure(EventInfo(name="Flood", **DATES), tmp_path)
    assert (labels, has_mud) == ("labels with mud, proven", False)
    assert codes(findings) == ["opened", "level", "mode", "of age"]
    steps.recognition = replace(steps.recognition, muddy="found")
    labels, has_mud, findings = sure(EventInfo(name="Flood", **DATES), tmp_path)
    assert (has_mud, codes(findings)) == (True, ["muddy_water_found", "opened", "level", "mode", "of age"])


@pytest.mark.parametrize(
    ("event", "by_appearance", "doubted"),
    [
        (EventInfo(**DATES), True, True),  # whoever maps a flood states that there is one
        (EventInfo(**DATES), False, False),  # unless what shows it measures water
        (EventInfo(name="Flood", **DATES), False, True),
        (EventInfo(name="Hurricane", **DATES), False, True),
        (EventInfo(name="Earthquake", **DATES), False, False),
    ],
)
def test_a_flood_of_which_nothing_is_found_leaves_ground_unknown(
    event: EventInfo, by_appearance: bool, doubted: bool, steps: Any, tmp_path: Any
) -> None:
    steps.recognition = Recognition(1000, 0)
    labels, has_mud, findings = sure(event, tmp_path, by_appearance=by_appearance)
    mapped = "labels, proven" if event.is_flood is False else "labels with mud, proven"
    assert (labels, has_mud) == (f"{mapped}, sure" if doubted else mapped, False)
    assert steps.asked == ([np.inf] if doubted else [])
    assert ("water_not_told" in codes(findings), "of age" in codes(findings)) == (doubted, not doubted)
    assert codes(findings)[0] == ("water_not_told" if doubted else "opened")


def test_colours_at_a_dry_hazard_are_no_flood(steps: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, has_mud, findings = sure(EventInfo(name="Earthquake", **DATES), tmp_path)
    assert (labels, has_mud) == ("labels, proven, without flood", False)
    assert findings[0] == Finding("flood_at_dry_hazard", "caution", {"name": Finding.verbatim("Earthquake")})
    monkeypatch.setattr(products, "write_without_flood", lambda labels, path: None)
    labels, _, findings = sure(EventInfo(name="Earthquake", **DATES), tmp_path)
    assert (labels, codes(findings)) == ("labels, proven", ["opened", "level", "mode"])


@pytest.mark.parametrize(("dates", "doubted"), [(DATES, False), ({"date_pre": "2023-02-01"}, True), ({"date_post": "2023-02-09"}, True), ({}, True)])  # fmt: skip
def test_the_order_of_dates_is_doubted_unless_both_are_known(
    dates: dict[str, str], doubted: bool, steps: Any, tmp_path: Any
) -> None:
    steps.recognition = Recognition(1000, 10, receded=200)
    _, _, findings = sure(EventInfo(name="Flood", **dates), tmp_path)
    assert ("dates_swapped" in codes(findings)) is doubted


def test_groups_of_colours_have_their_means_and_empty_ones_stay() -> None:
    values = np.array([[0.0, 0], [2, 0], [100, 50], [102, 52], [101, 51]])
    found = common_colours(values, 2)
    np.testing.assert_allclose(sorted(found.tolist()), [[1, 0], [101, 51]])
    np.testing.assert_allclose(common_colours(values, 1), [values.mean(axis=0)])
    norms = (values**2).sum(axis=1)
    np.testing.assert_allclose(_distances(values[:2], values, norms)[:, 2], [100**2 + 50**2, 98**2 + 50**2])
    chosen = _first_centres(values, norms, 2)
    assert sorted(row[0] > 50 for row in chosen.tolist()) == [False, True]  # far from each other


class Read:
    """Bands of radar that were read. values : their mean"""

    unit = "power"

    def __init__(self, mean: float) -> None:
        self.values, self.valid, self.mean = np.full((1, 2, 2), mean), np.ones((2, 2), bool), mean


@pytest.mark.parametrize("by_change", [False, True])
def test_two_dates_of_radar_are_levelled_and_compared_where_both_are_seen(
    by_change: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, post = Read(1.0), Read(2.0)
    first.valid[0, 0], post.valid[1, 1] = False, False
    seen: list[Any] = []
    monkeypatch.setattr(RadarDate, "_image", lambda self, sample: f"image {sample.mean:g}")
    monkeypatch.setattr(RadarDate, "_statistics", property(lambda self: "statistics"), raising=False)
    monkeypatch.setattr(
        RadarDate, "_filter", lambda self, values, valid, options, statistics: seen.append((values.mean(), valid.tolist(), statistics)) or values.mean()
    )  # fmt: skip
    monkeypatch.setattr(radar_date, "check_radar_pair", lambda *images: seen.append(images))
    monkeypatch.setattr(radar_date, "level_shift_db", lambda *images: 1.5)
    monkeypatch.setattr(radar_date, "two_tracks", lambda *images: (37, 110))
    monkeypatch.setattr(
        radar_date, "find_change_threshold", lambda before, after, method: f"{before:g} to {after:g} by {method}"
    )
    search: Any = SimpleNamespace(options=SimpleNamespace(by_change_vector=by_change, method="otsu"))
    date = RadarDate(("vv",))
    found = date.measure_with(first, date, post, search)  # type: ignore[arg-type]
    assert (found.level_db, found.tracks) == (1.5, (37, 110))
    assert found.change == ("1 to 2 by otsu" if by_change else None)
    both = [[False, True], [True, False]]
    assert seen == [("image 1", "image 2"), *([(1, both, "statistics"), (2, both, "statistics")] if by_change else [])]
    assert date.measure_with(first, "optical", post, search) is date  # type: ignore[arg-type]
