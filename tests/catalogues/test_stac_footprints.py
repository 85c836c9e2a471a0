"""Where an item lies: over 180 degrees, around a pole, in longitudes of 0–360, or nowhere."""

from __future__ import annotations

import math
from typing import Any

import pytest
import shapely

from deepnets4eo.catalogues.stac_footprints import footprint
from deepnets4eo.errors import InputError


def ring(west: float, east: float, south: float = -17, north: float = -16) -> list[tuple[float, float]]:
    return [(west, south), (east, south), (east, north), (west, north), (west, south)]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"geometry": {"type": "Polygon", "coordinates": [*rings]}}


SPLIT = {"type": "MultiPolygon", "coordinates": [[ring(179.5, 180)], [ring(-180, -179.5)]]}


@pytest.mark.parametrize(
    "content",
    [
        polygon(ring(179.5, -179.5)),
        polygon(ring(179.5, 180.5)),
        polygon(ring(-180.5, -179.5)),
        {"geometry": SPLIT},
        {"geometry": {"type": "MultiPolygon", "coordinates": [[ring(179.5, -179.5)]]}},
        {"geometry": {"type": "GeometryCollection", "geometries": [SPLIT]}},
        {"bbox": [179.5, -17, -179.5, -16]},
        {"bbox": [179.5, -17, 0, -179.5, -16, 500], "geometry": None},
        {"bbox": [179.5, -17, 180.5, -16], "geometry": {"type": "Polygon", "coordinates": [[[math.nan, 0]] * 4]}},
        polygon(ring(179.5, -179.5)) | {"bbox": [-179.5, -17, 179.5, -16]},
    ],
)
def test_an_area_over_180_degrees_is_a_degree_wide_and_on_both_sides(content: dict[str, Any]) -> None:
    area = footprint(content)
    assert area.area == pytest.approx(1)
    assert sorted(part.bounds for part in shapely.get_parts(area)) == [(-180, -17, -179.5, -16), (179.5, -17, 180, -16)]
    assert not shapely.intersects(area, shapely.box(35, -16.8, 35.1, -16.7))


def test_holes_poles_and_the_whole_earth() -> None:
    hole = footprint(polygon(ring(178, -178), ring(-179.5, -179, -16.8, -16.2)))
    assert hole.area == pytest.approx(4 - 0.5 * 0.6)
    arctic = footprint(polygon([(0, 80), (90, 80), (180, 80), (-90, 80), (0, 80)]))
    assert arctic.area == pytest.approx(360 * 10)
    assert shapely.intersects(arctic, shapely.box(44, 88, 45, 89))
    assert footprint(polygon(ring(-180, 180))).area == pytest.approx(360)
    assert footprint({"bbox": [-180, -90, 180, 90]}).area == pytest.approx(360 * 180)
    assert footprint(polygon(ring(200, 201))).bounds == (-160, -17, -159, -16)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"bbox": [math.nan] * 4},
        {"bbox": [0, 0, math.inf, 1]},
        {"bbox": [0, 0]},
        {"bbox": "0 0 1 1"},
        {"bbox": [-179.5, -17, 179.5, -16]},  # the other way around, or around the Earth
        {"bbox": [500_000, 5_000_000, 500_100, 5_000_100]},
        {"geometry": {"type": "Point", "coordinates": [0, 0]}},
        {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}},
        {"geometry": {"type": "Polygon", "coordinates": 7}},
        {"geometry": [1]},
        polygon(ring(0, 1, 0, 91)),
    ],
)
def test_what_is_no_area_in_degrees_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="neither a geometry nor a bbox in degrees"):
        footprint(content)
