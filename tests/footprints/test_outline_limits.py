"""What is larger than any building, and what lies around many of them."""

import numpy as np
import pytest
import shapely

from deepnets4eo.footprints.outlines import encloses_others, larger_than_buildings, without


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


@pytest.mark.parametrize(
    ("name", "shapes", "expected"),
    [
        ("site", [*row_of(6, 12, 20), HALL], 1),
        ("the same site twice", [*row_of(6, 12, 20), HALL, HALL], 2),
        ("sites in a district in a town", [*row_of(6, 12, 20), HALL, shapely.box(0, 0, 160, 90), shapely.box(-1, -1, 2000, 99)], 3),
        ("houses beside it", [*row_of(6, 12, 20, at=200), HALL], 0),
        ("houses in its court", [*row_of(6, 12, 16, at=10), shapely.box(0, -20, 120, 60).difference(shapely.box(5, -5, 115, 30))], 0),
        ("hall with sheds", [*row_of(12, 4, 9), HALL], 0),
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
