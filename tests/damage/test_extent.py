"""Assessed is the ground near an assessed outline; imaged ground that no outline speaks of is another thing."""

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.damage.structure.extents import NEAR_M, map_extents
from deepnets4eo.rasters import Layer

GRID = GeoBox((400, 600), Affine(1, 0, 300_000, 0, -1, 4_000_000), "EPSG:32615")
IMAGE = shapely.box(300_000, 3_999_600, 300_600, 4_000_000)


def house(east: float, south: float) -> shapely.Polygon:
    return shapely.box(300_000 + east, 4_000_000 - south - 10, 300_000 + east + 10, 4_000_000 - south)


def image(*, nodata_columns: int = 0) -> Layer:
    values = np.full((3, *GRID.shape), 90, np.uint8)
    values[:, :, :nodata_columns] = 0
    return Layer.open(values, grid=GRID, nodata=0)


def areas(outlines: list[shapely.Polygon], assessed: list[bool], **keys: Layer | None) -> tuple[float, float]:
    found = map_extents(
        keys.get("post") or image(), keys.get("cloud"), np.array(outlines, dtype=object), np.array(assessed, bool)
    )
    return found.assessed.geometry.area.sum(), found.without_outlines.geometry.area.sum()


def test_assessed_ground_is_what_lies_near_an_assessed_outline() -> None:
    outlines = [house(100, 100), house(150, 100)]
    near = shapely.union_all(shapely.buffer(outlines, NEAR_M, quad_segs=32)).intersection(IMAGE).area
    assessed, bare = areas(outlines, [True, True])
    assert assessed == pytest.approx(near, rel=0.05)
    assert assessed + bare == pytest.approx(IMAGE.area)


def test_ground_near_an_outline_that_was_not_assessed_is_neither() -> None:
    outlines = [house(100, 100), house(450, 250)]
    assessed, bare = areas(outlines, [True, False])
    alone, _ = areas(outlines[:1], [True])
    assert assessed == alone
    assert IMAGE.area - assessed - bare == pytest.approx(shapely.buffer(outlines[1], NEAR_M).area, rel=0.05)


def test_nodata_and_clouds_belong_to_no_part() -> None:
    cloud = np.zeros((1, *GRID.shape), np.uint8)
    cloud[:, :200] = 1
    assessed, bare = areas([house(300, 300)], [True], post=image(nodata_columns=60), cloud=Layer.open(cloud, grid=GRID))
    assert assessed + bare == pytest.approx(200 * 540)


def test_without_outlines_nothing_is_assessed() -> None:
    assert areas([], []) == (0, pytest.approx(IMAGE.area))
    assert areas([shapely.Polygon()], [False]) == (0, pytest.approx(IMAGE.area))
    far = shapely.box(0, 0, 1, 1)
    assert areas([far], [True]) == (0, pytest.approx(IMAGE.area))


def test_clouds_and_missing_data_are_no_assessed_ground() -> None:
    cloud = np.zeros((1, *GRID.shape), np.uint8)
    cloud[:, :150] = 1
    layers = {"post": image(nodata_columns=60), "cloud": Layer.open(cloud, grid=GRID)}
    assert sum(areas([house(300, 300)], [True], **layers)) == pytest.approx(250 * 540)


def test_a_house_smaller_than_a_pixel_has_ground_around_it() -> None:
    coarse = GeoBox((40, 60), Affine(10, 0, 300_000, 0, -10, 4_000_000), "EPSG:32615")
    post = Layer.open(np.full((3, 40, 60), 90, np.uint8), grid=coarse)
    small = shapely.box(300_101, 3_999_891, 300_104, 3_999_894)  # holds no centre of a pixel of 10 m
    found = map_extents(post, None, np.array([small], object), np.array([True]))
    assert found.assessed.geometry.area.sum() == pytest.approx(np.pi * NEAR_M**2, rel=0.2)


def test_an_undeclared_collar_of_zeros_is_no_imaged_ground() -> None:
    collar = np.full((3, *GRID.shape), 90, np.uint8)
    collar[:, :, :60] = 0
    assessed, bare = areas([house(300, 300)], [True], post=Layer.open(collar, grid=GRID))
    assert assessed + bare == pytest.approx(400 * 540)
