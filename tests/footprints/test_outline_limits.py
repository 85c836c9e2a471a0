"""What is larger than any building, and what lies around many of them."""

import numpy as np
import pytest
import shapely

from deepnets4eo.footprints import encloses_others, larger_than_buildings, repeated_outlines, without
from deepnets4eo.footprints.outlines import houses_of_rows


def test_two_square_kilometres_are_no_building_in_any_pixel_size() -> None:
    shapes = np.array([shapely.box(0, 0, 1400, 1400), shapely.box(0, 0, 1430, 1430), shapely.Polygon()], object)
    assert larger_than_buildings(shapes, 1.0).tolist() == [False, True, False]
    assert larger_than_buildings(shapes, 0.5).tolist() == [False] * 3
    left = without(shapes, larger_than_buildings(shapes, 1.0))
    assert shapely.is_empty(left).tolist() == [False, True, True]


def row_of(count: int, side: float, step: float, at: float = 0.0) -> list[shapely.Geometry]:
    return [shapely.box(at + x, 0, at + x + side, side) for x in np.arange(count) * step]


TOWN = row_of(30, 12, 25, at=1000)
HALL = shapely.box(0, 0, 120, 60)
CORNERS = [(x, y) for x in range(0, 120, 24) for y in range(0, 60, 20)]


@pytest.mark.parametrize(
    ("name", "shapes", "expected"),
    [
        ("site", [*row_of(6, 12, 20), HALL], 1),
        ("the same site twice", [*row_of(6, 12, 20), HALL, HALL], 2),
        ("sites in a district in a town", [*row_of(6, 12, 20), HALL, shapely.box(0, 0, 160, 90), shapely.box(-1, -1, 2000, 99)], 3),
        ("houses beside it", [*row_of(6, 12, 20, at=200), HALL], 0),
        ("houses in its court", [*row_of(6, 12, 16, at=10), shapely.box(0, -20, 120, 60).difference(shapely.box(5, -5, 115, 30))], 0),
        ("hall with sheds", [*row_of(12, 4, 9), HALL], 0),
        ("site of five houses", [*row_of(5, 12, 20), HALL], 1),
        ("site filled by 47 %", [*(shapely.box(x, y, x + 24, y + 20) for x, y in CORNERS[:7]), HALL], 1),
        ("block filled by 53 %", [*(shapely.box(x, y, x + 24, y + 20) for x, y in CORNERS[:8]), HALL], 0),
        ("houses of a tenth that fill a half", [*(shapely.box(x, 0, x + 24, 30) for x in range(0, 120, 24)), HALL], 1),
        ("hall with four annexes", [*row_of(4, 12, 20), HALL], 0),
        ("block filled by its parts", [*(shapely.box(x, y, x + 24, y + 20) for x in range(0, 120, 24) for y in range(0, 60, 20)), HALL], 0),
        ("duplicates", [HALL] * 12, 0),
        ("house of many parts", [shapely.MultiPolygon(row_of(9, 12, 20)), *row_of(9, 12, 20)], 0),
    ],
)  # fmt: skip
def test_only_outlines_around_houses_on_open_ground_are_those_of_sites(
    name: str, shapes: list[shapely.Geometry], expected: int
) -> None:
    found = encloses_others(np.array([*TOWN, *shapes, shapely.Polygon()], object))
    assert found.sum() == expected, name
    assert found[len(found) - 1 - expected : -1].all()
    order = np.random.default_rng(0).permutation(len(found))
    assert np.array_equal(encloses_others(np.array([*TOWN, *shapes, shapely.Polygon()], object)[order]), found[order])


def test_no_outlines_and_empty_ones_enclose_nothing() -> None:
    assert encloses_others(np.array([], object)).tolist() == []
    assert encloses_others(np.array([shapely.Polygon()], object)).tolist() == [False]


def test_slivers_make_no_site_of_a_house() -> None:
    house = shapely.box(0, 0, 20, 20)
    slivers = [shapely.box(1, row / 20, 18, row / 20 + 1e-6) for row in range(20, 380)]
    assert not encloses_others(np.array([house, *slivers], object)).any()


HOUSE = shapely.box(0, 0, 10, 8)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([HOUSE, shapely.box(0.5, 0.4, 10.5, 8.4)], [False, True]),  # a second source
        ([HOUSE, shapely.box(-0.5, -0.5, 10.5, 8.5)], [True, False]),  # a floor and its eaves
        ([HOUSE, shapely.box(0, 0, 5, 8), shapely.box(5, 0, 10, 8)], [False, True, True]),  # a building and its parts
        ([HOUSE, shapely.box(10, 0, 20, 8), shapely.box(8, 0, 9.9, 20)], [False, False, False]),  # neighbours
        ([HOUSE, shapely.box(4.9, 0, 14.9, 8)], [False, True]),  # half of its ground
        ([HOUSE, shapely.box(5.1, 0, 15.1, 8)], [False, False]),
        ([HOUSE, HOUSE, HOUSE], [False, True, True]),
        ([*row_of(6, 12, 20), HALL, *TOWN], [False] * 37),  # a site around houses
        ([HOUSE, shapely.Polygon(), shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 9)])], [False] * 3),
        ([], []),
    ],
)
def test_outlines_on_the_ground_of_another_are_repeated(shapes: list[shapely.Geometry], expected: list[bool]) -> None:
    assert repeated_outlines(np.array(shapes, object)).tolist() == expected


def houses_at(*places: float, side: float = 10.0) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.box(x, 0, x + side, side) for x in places])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (HOUSE, 1),
        (houses_at(0, 12), 1),  # two wings
        (houses_at(0, 100), 2),
        (houses_at(0, 12, 100, 112), 2),
        (houses_at(0, 12, 24, 36, 48), 5),
        (houses_at(0, 10.1, 20.2, 30.3, 40.4), 1),  # parts of one building with slits between them
        (houses_at(0, 10.4, 20.8, 31.2, 41.6), 1),  # 4 % of a width
        (houses_at(0, 10.6, 21.2, 31.8, 42.4), 5),  # 6 %: a terrace
        (houses_at(0, 10.6, 21.2, 31.8), 1),  # four parts make no terrace
        (houses_at(0, 19.9), 1),
        (houses_at(0, 20.1), 2),  # a width apart
        (shapely.MultiPolygon([*houses_at(0).geoms, *houses_at(40, 60, side=2).geoms]), 1),  # with two sheds
        (shapely.MultiPolygon([*houses_at(0).geoms, *houses_at(60, side=3.1).geoms]), 1),  # 9.6 % of the area
        (shapely.MultiPolygon([*houses_at(0).geoms, *houses_at(60, side=3.3).geoms]), 2),  # 10.9 %
        (shapely.Polygon(), 1),
    ],
)
@pytest.mark.parametrize("lat", [None, 0.0, 60.0, "180°"])
def test_scattered_parts_are_counted_as_houses(shape: shapely.Geometry, expected: int, lat: float | str | None) -> None:
    if lat is not None:
        north, east = (0.0, 179.9998) if isinstance(lat, str) else (lat, 15.0)
        steps = 1e-5 * np.array([1 / np.cos(np.radians(north)), 1])
        shape = shapely.transform(shape, lambda xy: [east, north] + xy * steps)
        shape = shapely.transform(shape, lambda xy: np.where(xy > 180, xy - 360, xy)) if east > 20 else shape
    counted = houses_of_rows(np.array([HOUSE, shape], object), in_degrees=lat is not None)
    assert counted.tolist() == [1, expected]
