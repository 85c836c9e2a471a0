"""Areas of a map in its summary and on its page."""

from __future__ import annotations

import geopandas as gpd
import pytest
import shapely

from deepnets4eo.maps.areas import LabelArea
from deepnets4eo.maps.region_page import one_class
from deepnets4eo.outputs import Quantity, Unit


def test_polygons_of_one_class_are_summed_in_hectares_or_take_the_area_that_is_given() -> None:
    polygons = gpd.GeoDataFrame({"area_m2": [12_000.0, 500.0]}, geometry=[shapely.box(0, 0, 1, 1)] * 2)
    (entry,), numbers = one_class("water", (0, 0, 255), polygons)
    assert entry == {"key": "class-0", "title": "water", "color": [0, 0, 255], "count": 2, "area_ha": 1.25}
    assert numbers.tolist() == [0, 0]
    (stated,), _ = one_class("water", (0, 0, 255), polygons, Quantity(3.0, Unit.hectares))
    assert stated["area_text"] == Quantity(3.0, Unit.hectares).text("en")


@pytest.mark.parametrize(("unknown", "more"), [(None, {}), (0.5, {"changed_in_doubt_ha": 0.5})])
def test_a_summary_has_the_interval_of_the_area_and_none_of_the_ground_seen(
    unknown: float | None, more: dict[str, float]
) -> None:
    area = LabelArea(Quantity(2.0, Unit.hectares, (1.0, 3.0), unknown), Quantity(8.0, Unit.hectares, (7.0, 9.0)), 64)
    stated = area.to_dict("changed")
    assert "64 px" in stated.pop("interval_of")
    assert stated == {
        "changed_ha": 2.0, "changed_ha_interval": (1.0, 3.0), "interval_level": 0.95, "seen_ha": 8.0, "changed_share": 0.25,
    } | more  # fmt: skip
