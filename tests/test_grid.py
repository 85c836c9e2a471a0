"""Grids and windows: pure geometry, compared with arrays."""

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod
from refusals import raises_naming

from deepnets4eo.errors import GridError
from deepnets4eo.grid import (
    Window,
    blocks,
    check_affine,
    check_grid,
    crop,
    gsd_m,
    mean_gsd_m,
    overlap_share,
    pixel_areas_m2,
    transform_shapes,
    whole,
)
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import Layer

sides = st.integers(1, 60)
offsets = st.integers(-70, 70)


@given(st.builds(Window, offsets, offsets, sides, sides))
def test_clipping_keeps_exactly_the_pixels_inside(window: Window) -> None:
    inside = np.zeros((300, 300), bool)
    inside[100:150, 100:140] = True
    drawn = np.zeros_like(inside)
    drawn[100 + window.row : 100 + window.row + window.height, 100 + window.col : 100 + window.col + window.width] = (
        True
    )
    clipped = window.clip((50, 40))
    assert clipped.height * clipped.width == (inside & drawn).sum()
    assert min(clipped.height, clipped.width) >= 0


@given(sides, sides, st.integers(1, 30))
def test_blocks_cover_every_pixel_once(height: int, width: int, block_px: int) -> None:
    count = np.zeros((height, width), int)
    for window in blocks((height, width), block_px):
        count[window.slices] += 1
    assert (count == 1).all()


def test_a_cropped_grid_keeps_its_place_also_beyond_the_edge() -> None:
    grid = GeoBox((10, 20), Affine(0.5, 0, 100, 0, -0.5, 200), "EPSG:32633")
    part = crop(grid, Window(-2, 3, 4, 5))
    assert tuple(part.shape) == (4, 5)
    assert part.affine * (0, 0) == grid.affine * (3, -2)
    assert whole(grid) == Window(0, 0, 10, 20)


def test_a_window_in_another_is_relative_to_it() -> None:
    assert Window(10, 20, 3, 4).within(Window(8, 15, 30, 30)) == Window(2, 5, 3, 4)
    assert Window(10, 20, 3, 4).grow(2) == Window(8, 18, 7, 8)


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:4326", Affine(6e-6, 0, -94.49, 0, -6e-6, 37.07)),
        ("EPSG:3857", Affine(0.6, 0, -10_518_500, 0, -0.6, 4_449_000)),
        ("EPSG:32615", Affine(0.6, 0, 367_000, 0, -0.6, 4_104_000)),
        ("EPSG:2263", Affine(2, 0, 980_000, 0, -2, 195_000)),  # feet
        ("EPSG:2056", Affine(0.6, 0, 2_600_000, 0, -0.6, 1_200_000)),  # Switzerland: an oblique Mercator projection
        ("EPSG:26931", Affine(0.6, 0, 815_000, 0, -0.6, 580_000)),  # Alaska, likewise
        ("EPSG:4087", Affine(0.6, 0, 1_113_200, 0, -0.6, 6_679_000)),  # equidistant cylindrical, at 60° north
        ("EPSG:6933", Affine(0.6, 0, 964_900, 0, -0.6, 6_358_000)),  # of equal area, at 60° north
        ("EPSG:3413", Affine(0.6, 0, 0, 0, -0.6, -3_300_000)),  # polar, at 60° north
    ],
)
def test_the_ground_size_of_a_pixel_is_that_of_the_ellipsoid(crs: str, affine: Affine) -> None:
    grid = GeoBox((200, 200), affine, crs)
    centre = (
        GeoBox((1, 1), affine * Affine.translation(99, 99) * Affine.scale(2), crs)
        .extent.to_crs("EPSG:4326")
        .boundingbox
    )
    geod, (west, south, east, north) = Geod(ellps="WGS84"), centre.bbox
    middle = (south + north) / 2
    rows, cols = gsd_m(grid)
    assert rows == pytest.approx(geod.inv(west, south, west, north)[2] / 2, rel=0.02)
    assert cols == pytest.approx(geod.inv(west, middle, east, middle)[2] / 2, rel=0.02)


def test_without_a_crs_a_pixel_counts_as_a_metre() -> None:
    assert gsd_m(GeoBox((5, 5), Affine.scale(0.3), None)) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("crs", "x", "y", "area_m2"),
    [
        ("ESRI:54008", 8_600_000, 5_540_000, 1.0),  # sinusoidal, as MODIS has it: of equal area, with sheared pixels
        ("ESRI:54009", -6_400_000, 5_300_000, 1.0),  # Mollweide, likewise
        ("EPSG:2065", -760_000, -1_050_000, 1.0),  # longitudes from Ferro
        ("EPSG:27572", 600_000, 2_400_000, 1.0),  # degrees of a hundred to the right angle, from Paris
        ("EPSG:3857", 20_037_508, 8_399_738, 0.2508),  # on the antimeridian, at 60° north
    ],
)
def test_the_area_of_a_pixel_is_that_on_the_ground(crs: str, x: float, y: float, area_m2: float) -> None:
    grid = GeoBox((4, 4), Affine(1, 0, x, 0, -1, y), crs)
    assert pixel_areas_m2(grid, np.array([(2.0, 2.0)]))[0] == pytest.approx(area_m2, rel=0.004)
    assert mean_gsd_m(grid) ** 2 == pytest.approx(area_m2, rel=0.004)


@pytest.mark.parametrize(("latitude", "degrees"), [(0.0, 1e-5), (37.07, 6e-6), (-60.0, 1e-3), (78.0, 1e-4)])
def test_areas_and_sides_of_pixels_in_degrees_are_those_of_the_ellipsoid(latitude: float, degrees: float) -> None:
    grid = GeoBox((4, 4), Affine(degrees, 0, 10, 0, -degrees, latitude + 2 * degrees), "EPSG:4326")
    pixel = shapely.box(10, latitude - degrees / 2, 10 + degrees, latitude + degrees / 2)
    geod = Geod(ellps="WGS84")
    area_m2 = geod.geometry_area_perimeter(pixel)[0] if degrees > 1e-4 else None
    rows = geod.inv(10, latitude - degrees / 2, 10, latitude + degrees / 2)[2]
    cols = geod.inv(10, latitude, 10 + degrees, latitude)[2]
    assert gsd_m(grid) == pytest.approx((rows, cols), rel=1e-5)
    assert pixel_areas_m2(grid, np.array([(2.0, 2.0)]))[0] == pytest.approx(area_m2 or rows * cols, rel=2e-5)
    assert mean_gsd_m(grid) ** 2 == pytest.approx(rows * cols, rel=2e-5)


def test_areas_of_places_without_coordinates_do_not_stop_the_others() -> None:
    grid = GeoBox((60, 1), Affine(1, 0, 0, 0, -1, 60), "EPSG:4326")
    areas = pixel_areas_m2(grid, np.array([(0.5, 0.5), (np.nan, np.nan), (0.5, 59.5)]))
    assert areas[[0, 2]] / 1e6 == pytest.approx([6102, 12308], rel=0.04)
    assert len(pixel_areas_m2(grid, np.zeros((0, 2)))) == 0


LOCAL = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


@pytest.mark.parametrize(
    ("crs", "x", "y"), [("EPSG:32615", 5e5, 6.6e6), ("EPSG:2154", 7e5, 6.6e6), ("EPSG:32615", 1e9, 1e9), (LOCAL, 9, 9)]
)
def test_units_of_national_grids_and_of_building_sites_count_as_metres(crs: str, x: float, y: float) -> None:
    assert gsd_m(GeoBox((8, 8), Affine(0.25, 0, x, 0, -0.5, y), crs)) == (0.5, 0.25)


NOWHERE = [
    Affine(0, 0, 0, 0, 0, 0),
    Affine(math.nan, 0, 0, 0, -1, 0),
    Affine(0.5, 0, math.inf, 0, -0.5, 0),
    Affine(1, 1, 0, 1, 1, 0),
    Affine(0.5, 0, 0, 0, 0, 0),
    Affine(1e300, 0, 0, 0, -1e300, 0),
    Affine(1e-300, 0, 0, 0, -1e-300, 0),
    Affine(1e-9, 0, 5e5, 0, -1e-9, 4e6),
]


@pytest.mark.parametrize("affine", NOWHERE)
def test_a_transform_that_maps_pixels_nowhere_is_refused_by_name(affine: Affine) -> None:
    with raises_naming(GridError, "a.tif", "gdal_edit"):
        check_affine(affine, (10, 20), "a.tif")


@pytest.mark.parametrize(
    "affine",
    [
        Affine.identity(),
        Affine(0.05, 0, 600_000, 0, -0.05, 5_400_000),
        Affine(1e-7, 0, 179.9, 0, -1e-7, 89.9),
        Affine(0.5, 0, 5e5, 0, -0.5, 4e6) * Affine.rotation(30),
        Affine(10_000, 0, -2e7, 0, -10_000, 1e7),
    ],
)
def test_transforms_of_real_rasters_pass(affine: Affine) -> None:
    check_affine(affine, (10, 20), "a.tif")


def test_a_raster_without_a_size_on_the_ground_is_refused(tmp_path: Path) -> None:
    for number, affine in enumerate(NOWHERE[3:5] + [Affine(1e300, 0, 0, 0, -1e300, 0)]):
        path = write_geotiff(tmp_path / f"{number}.tif", np.ones((4, 4), np.uint8), crs="EPSG:32615", transform=affine)
        with raises_naming(GridError, "georeference", number):
            Layer.open(path)
        assert inspect(str(path)).kind == "unreadable"


def test_extents_that_have_no_transformation_into_each_other_are_a_grid_error() -> None:
    engineering = 'LOCAL_CS["works",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
    first, second = (GeoBox((9, 9), Affine(1, 0, 0, 0, -1, 9), crs) for crs in ("EPSG:32615", engineering))
    with pytest.raises(GridError, match="there is no way from"):
        overlap_share(first, second)


def test_shapes_move_as_shapelys_own_affine_moves_them():
    affine = Affine.rotation(33) * Affine.scale(0.3, -0.4) * Affine.translation(500_000.1, 4e6)
    courtyard = shapely.box(0, 0, 9, 9).difference(shapely.box(2, 3, 4, 5))
    shapes = np.array([courtyard, None, shapely.Polygon(), shapely.LineString([(0, 0), (3, 1)])], object)
    moved = transform_shapes(affine, shapes)
    assert moved[1] is None
    for found, shape in zip(moved[[0, 2, 3]], shapes[[0, 2, 3]], strict=True):
        assert found.wkb == shapely.affinity.affine_transform(shape, affine.to_shapely()).wkb


@pytest.mark.parametrize(
    ("affine", "fits"),
    [
        ((10, 0, 500_000, 0, -10, 4_000_000), False),  # metres
        ((1, 0, 0, 0, -1, 640), False),  # pixels
        ((0.5, 0, 180, 0, -0.5, 90), True),  # 0 to 360 degrees east, and beyond
        ((0.01, 0, -180.005, 0, -0.01, 90.005), True),  # cells around the pole
    ],
)
def test_coordinates_beyond_the_degrees_of_a_crs_are_refused(affine: tuple[float, ...], fits: bool) -> None:
    grid = GeoBox((100, 300), Affine(*affine), "EPSG:4326")
    if fits:
        check_grid(grid, "a.tif")
    else:
        with raises_naming(GridError, "a.tif", "EPSG:4326", "rather metres"):
            check_grid(grid, "a.tif")
