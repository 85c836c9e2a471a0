"""Outlines grow into the border between them up to the middle, and nowhere else."""

import numpy as np
import pytest
import shapely

from deepnets4eo.polygons import grow_into_borders


def test_a_row_of_houses_fills_the_borders_between_them() -> None:
    houses = np.array([shapely.box(10 * k, 0, 10 * k + 8, 8) for k in range(3)])
    borders = np.array([shapely.box(10 * k + 8, 0, 10 * k + 10, 8) for k in range(2)])
    grown = grow_into_borders(houses, borders, 1.0)
    assert np.allclose(shapely.area(grown), [72, 80, 72], atol=0.5)
    assert shapely.area(shapely.intersection(grown[0], grown[1])) < 0.01
    assert np.allclose(shapely.bounds(grown)[:, 1], 0, atol=0.01)


def test_a_narrow_border_goes_to_one_house_and_none_overlaps() -> None:
    houses = np.array([shapely.box(0, 0, 8, 8), shapely.box(8.5, 0, 16, 8)])
    grown = grow_into_borders(houses, np.array([shapely.box(8, 0, 8.5, 8)]), 1.0)
    assert shapely.area(shapely.union_all(grown)) > 127.9
    assert shapely.area(shapely.intersection(*grown)) < 0.01


def test_houses_away_from_borders_stay_as_they_are() -> None:
    houses = np.array([shapely.box(0, 0, 8, 8)])
    far = np.array([shapely.box(20, 0, 22, 8)])
    assert shapely.equals(grow_into_borders(houses, far, 1.0), houses).all()
    assert shapely.equals(grow_into_borders(houses, far[:0], 1.0), houses).all()
    assert len(grow_into_borders(houses[:0], far, 1.0)) == 0


def test_an_outline_that_would_touch_itself_at_one_point_stays_valid() -> None:
    # Grown over the border, one of them has a crack that narrows to the corner of the other at (387, 320.25).
    houses = np.array(
        [
            shapely.Polygon([(386, 320.25), (386.75, 317.5), (384, 317)]),
            shapely.Polygon([(387, 320.25), (388.5, 324.5), (391, 320.5)]),
        ]
    )
    border = shapely.Polygon([(387, 320.5), (387, 320), (385, 320.5), (388, 322.5)])
    grown = grow_into_borders(houses, np.array([border]), 1.0)
    assert shapely.is_valid(grown).all()
    assert (shapely.area(grown) > shapely.area(houses)).all()


@pytest.mark.filterwarnings("error")
def test_a_border_with_a_side_of_next_to_no_length_warns_of_nothing() -> None:
    house = shapely.box(178.007782, 0, 186, 6)
    border = shapely.Polygon([(177.945907, 3.178482e-20), (178.007782, 0), (177.945907, 0)])
    (grown,) = grow_into_borders(np.array([house]), np.array([border]), 1.0)
    assert grown.is_valid
    assert grown.area == pytest.approx(house.area)


def test_each_outline_grows_into_its_own_border() -> None:
    houses = np.array([shapely.box(0, 0, 8, 8), shapely.box(50, 0, 58, 8)])
    borders = np.array([shapely.box(8, 0, 9, 8), shapely.box(58, 0, 59, 8)])
    assert shapely.area(grow_into_borders(houses, borders, 1.0)) == pytest.approx([72, 72], abs=0.1)
