"""Parts of large roofs: what is cut, and whose probability of damage a roof gets."""

import numpy as np
import pytest
import shapely

from deepnets4eo.damage.network.roof_parts import MAX_PARTS, Roofs, roof_parts

HALL = shapely.box(0, 0, 120, 40)  # pixels of 0.5 m: 60 by 20 m
HOUSE = shapely.box(150, 0, 170, 20)


def grades(*damaged: float) -> np.ndarray:
    """Return (N, 4) probabilities with this probability of damage, a third of it destroyed."""
    chance = np.array(damaged)[:, None]
    return np.hstack([(1 - chance) * 0.75, (1 - chance) * 0.25, chance * 2 / 3, chance / 3])


@pytest.mark.parametrize("degrees", [0, 30, 117])
def test_parts_cover_a_roof_without_overlap_whatever_its_direction(degrees):
    hall = shapely.affinity.rotate(HALL, degrees)
    parts = roof_parts(hall, side_px=32)
    assert len(parts) == 4  # 120 by 40 pixels: four along, one across
    np.testing.assert_allclose(shapely.area(parts), HALL.area / 4)
    assert shapely.union_all(parts).symmetric_difference(hall).area < 1e-6 * hall.area


def test_an_l_shaped_roof_has_no_part_in_its_corner():
    roof = shapely.Polygon([(0, 0), (80, 0), (80, 30), (30, 30), (30, 80), (0, 80)])
    parts = roof_parts(roof, side_px=20)
    assert all(shapely.area(parts) >= 200)
    assert not any(part.intersects(shapely.Point(70, 70)) for part in parts)


def test_a_roof_of_any_size_has_few_parts_and_one_without_area_none():
    assert len(roof_parts(shapely.box(0, 0, 50_000, 20_000), side_px=32)) <= 1.1 * MAX_PARTS
    assert len(roof_parts(shapely.Polygon(), side_px=32)) == 0


def test_only_large_roofs_have_parts_and_the_worst_part_decides():
    roofs = Roofs.of(np.array([HOUSE, HALL, HOUSE], object), 0.5, (64, 256))
    assert len(roofs) == 3
    assert roofs.whole.tolist() == [1, 1, 1, 1]
    assert roofs.centres.tolist() == [[10, 160], [20, 60], [10, 160]]
    found = roofs.by_worst_part(grades(0.2, 0.25, np.nan, 0.1, 0.9, np.nan, 0.3))
    np.testing.assert_allclose(found[:2, 2:].sum(axis=1), [0.2, 0.9])
    assert np.isnan(found[2]).all()  # a roof that was not seen stays unknown
    np.testing.assert_allclose(found[1, 3] / found[1, 2:].sum(), 1 / 3)  # each side keeps its proportions
    np.testing.assert_allclose(found.sum(axis=1)[:2], 1)


def test_parts_that_are_less_damaged_than_the_whole_change_nothing():
    roofs = Roofs.of(np.array([HALL], object), 0.5, (64, 256))
    probabilities = grades(0.6, 0.5, 0.4, np.nan, 0.1)
    np.testing.assert_array_equal(roofs.by_worst_part(probabilities), probabilities[:1])
    assert len(Roofs.of(np.array([HALL], object), 0.25, (64, 256)).whole) == 0  # 300 m²
