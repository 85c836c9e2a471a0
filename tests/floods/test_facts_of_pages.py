"""The facts on the page of a flood: areas, what is not told, buildings, classes of the ground, dates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deepnets4eo.floods.page import _facts
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER

AREA = {"flood_ha": 12.0, "permanent_water_ha": 3.0, "not_seen_ha": 1.0}


def facts(mapped: int = FLOOD, before: bool = True, **more: Any) -> dict[str, str]:
    area = AREA | more.pop("area", {})
    opened: Any = SimpleNamespace(mapped=mapped, knows_before=before, kinds={})
    return dict(_facts(opened, {"area": area, **more}, "en"))


@pytest.mark.parametrize("unknown", [None, 7.0])
def test_ground_that_may_be_wet_or_dry_is_a_fact_only_if_there_is_any(unknown: float | None) -> None:
    named = facts(area={} if unknown is None else {"unknown_ha": unknown})
    assert named.get("Not told") == (None if unknown is None else "7.00 ha")
    assert (named["Flooded"], named["Permanent water"], named["Not seen"]) == ("12.0 ha", "3.00 ha", "1.00 ha")


def test_a_map_of_one_date_is_of_water_and_states_no_permanent_water() -> None:
    named = facts(PERMANENT_WATER, before=False)
    assert named == {"Water": "3.00 ha", "Not seen": "1.00 ha"}


def test_each_class_of_the_ground_has_its_flooded_area() -> None:
    cover = [{"class": "crops", "flood_ha": 5.0}, {"class": "built-up", "flood_ha": 0.25}]
    named = facts(cover=cover)
    assert (named["Flooded: crops"], named["Flooded: built-up"]) == ("5.00 ha", "0.250 ha")
