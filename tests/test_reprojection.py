"""Shapes in another CRS: sides keep their course, and nothing runs the long way round the Earth."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from refusals import raises_naming
from source_trees import ROOT, source_files

from deepnets4eo.damage.areas import find_areas
from deepnets4eo.degree_boxes import check_box
from deepnets4eo.errors import GridError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.grid import whole
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import Layer
from deepnets4eo.reprojection import cut_at_antimeridian, degrees_of, in_degrees, lonlat_box, to_crs
from deepnets4eo.zonal import Outlines, sums_by_share

UTM = "EPSG:32633"  # middle at 15° east
FIJI = "EPSG:32760"  # reaches beyond 180°
# tables of points, and grids of odc-geo, which adds points itself: nothing there has sides
POINTS_ONLY = {
    "damage/areas.py", "damage/comparison/maps.py", "evaluation/sampled/page.py", "objects/density.py",
    "prediction/clicked_scene.py", "inspection/files.py",
}  # fmt: skip
ODC = {"grid.py", "osm/reading.py"}


def test_shapes_on_a_cylinder_take_the_short_way_round_as_those_in_degrees_do() -> None:
    square = gpd.GeoSeries([shapely.box(179.99, -17, 180.01, -16.98)], crs=4326)
    middle, moved = to_crs(square, FIJI), square.to_crs(3857)  # of corners only: x of either sign
    wide = gpd.GeoSeries([shapely.Polygon([(x, y) for x, y in moved.iloc[0].exterior.coords])], crs=3857)
    assert np.ptp(wide.bounds.to_numpy()[0, ::2]) > 4e7
    for crs in (4326, FIJI, 3857):
        assert to_crs(to_crs(wide, crs), FIJI).area.iloc[0] == pytest.approx(middle.area.iloc[0], rel=1e-3)
    assert lonlat_box(degrees_of(wide.to_numpy(), CRS(3857))) == pytest.approx((179.99, -17, -179.99, -16.98))


def at(lon: float, lat: float, crs: str = UTM) -> tuple[float, float]:
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    return float(x), float(y)


@pytest.mark.parametrize("crs", [UTM, "EPSG:3035", "EPSG:2154", "EPSG:3413"])
def test_every_point_of_a_parallel_stays_on_the_border_of_its_province(crs):
    province = gpd.GeoSeries([shapely.box(3, 50, 17, 60)], crs=4326)
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(np.linspace(3, 17, 777), np.full(777, 60.0))
    distance = shapely.distance(shapely.boundary(to_crs(province, crs)[0]), shapely.points(x, y))
    corners_only = shapely.distance(shapely.boundary(province.to_crs(crs)[0]), shapely.points(x, y))
    assert distance.max() < 0.06
    assert corners_only.max() > 100


@pytest.mark.parametrize("target", ["EPSG:4326", "EPSG:2263", "EPSG:32634"])
def test_straight_sides_stay_on_their_course_whatever_the_unit_of_the_other_crs(target):
    """Degrees, feet and metres: back in metres, no point between two corners is farther than 5 cm from the straight side."""
    line = shapely.LineString([(450_000, 6_000_000), (560_000, 6_080_000)])
    moved = to_crs(gpd.GeoSeries([line], crs="EPSG:32633"), target)
    number = shapely.get_num_coordinates(moved.iloc[0])
    assert 5 < number < 1000
    between = shapely.segmentize(moved.iloc[0], moved.iloc[0].length / 5000)
    back = Transformer.from_crs(target, "EPSG:32633", always_xy=True).transform(*shapely.get_coordinates(between).T)
    assert shapely.distance(line, shapely.points(*back)).max() < 0.06


def test_sides_of_buildings_get_no_points():
    x, y = at(16, 60)
    houses = gpd.GeoSeries(shapely.box(x + np.arange(50) * 40, y, x + 30 + np.arange(50) * 40, y + 20), crs=UTM)
    there = to_crs(houses, "EPSG:3857")
    assert there.geom_equals_exact(houses.to_crs(3857), 0).all()


def test_a_house_north_of_a_border_along_a_parallel_is_in_the_northern_province():
    x, y = at(15, 60.002)
    house = gpd.GeoDataFrame({"id": ["a"]}, geometry=[shapely.box(x - 5, y - 5, x + 5, y + 5)], crs=UTM)
    halves = [shapely.box(13, 59, 17, 60), shapely.box(13, 60, 17, 61)]
    areas = find_areas(gpd.GeoDataFrame({"name": ["south", "north"]}, geometry=halves, crs=4326), house)
    assert [areas.frame["area"][number] for number in areas.area] == ["north"]


def test_outlines_on_a_raster_and_footprints_follow_the_parallel():
    x, y = at(15, 60)
    grid = GeoBox((40, 40), Affine(20, 0, x - 400, 0, -20, y + 400), UTM)  # 20 rows on each side of 60° north
    south = gpd.GeoDataFrame({"id": ["a"]}, geometry=[shapely.box(13, 59.9, 17, 60)], crs=4326)
    for painted in (Outlines.on(south, grid), Outlines.on(read_footprints(south).to(UTM).frame, grid)):
        inside = painted.paint(whole(grid)) >= 0
        assert abs(int(inside[:, 20].sum()) - 20) <= 1


def test_people_on_both_sides_of_180_are_counted_once():
    people = Layer.open(
        np.full((40, 3600), 10, np.float32), grid=GeoBox((40, 3600), Affine(0.1, 0, -180, 0, -0.1, -15), "EPSG:4326")
    )
    x, y = at(180, -16.8, FIJI)
    district = shapely.box(x - 20_000, y - 20_000, x + 20_000, y + 20_000)
    hexagon = shapely.Polygon([(179.9, -17), (-179.9, -17), (-179.9, -16.8), (179.9, -16.8)])
    two_parts = shapely.MultiPolygon([shapely.box(179.9, -17, 180, -16.8), shapely.box(-180, -17, -179.9, -16.8)])
    in_degrees_ = sums_by_share(people, gpd.GeoDataFrame(geometry=[hexagon, two_parts], crs=4326))
    assert in_degrees_ == pytest.approx([40.0, 40.0])
    in_metres = sums_by_share(
        people, gpd.GeoDataFrame(geometry=[district, to_crs(gpd.GeoSeries([hexagon], crs=4326), FIJI)[0]], crs=FIJI)
    )
    assert in_metres == pytest.approx([10 * 4e4**2 / (11_063 * 10_660), 40.0], rel=0.01)


def test_parts_that_do_not_cross_180_stay_as_they_are():
    france = shapely.MultiPolygon(
        [shapely.box(-5, 42, 8, 51), shapely.box(-178.2, -14.4, -178, -14.2), shapely.box(163, -23, 168, -20)]
    )
    world = shapely.box(-180, -60, 180, 75)
    antarctic = shapely.Polygon([(-180, -70), (0, -72), (180, -70), (180, -90), (-180, -90)])
    shapes = np.array([france, world, antarctic, None, shapely.Point(3, 4)], object)
    assert [a is b or a.equals_exact(b, 0) for a, b in zip(cut_at_antimeridian(shapes), shapes, strict=True)] == [
        True
    ] * 5


def test_holes_are_cut_with_their_shell():
    shell = [(179, 0), (-179, 0), (-179, 2), (179, 2)]
    hole = [(-179.8, 0.5), (-179.5, 0.5), (-179.5, 1.5), (-179.8, 1.5)]
    cut = cut_at_antimeridian(np.array([shapely.Polygon(shell, [hole])], object))[0]
    assert cut.area == pytest.approx(4 - 0.3)
    assert lonlat_box([cut]) == (179, 0, -179, 2)


def test_lines_and_points_beyond_180_are_cut_as_well() -> None:
    line, point = shapely.LineString([(179, 0), (-179, 1)]), shapely.Point(-179, 2)
    cut = in_degrees(gpd.GeoDataFrame(geometry=[line, point], crs=4326)).geometry
    assert sorted(part.bounds for part in cut[0].geoms) == [(-180, 0.5, -179, 1), (179, 0, 180, 0.5)]
    assert cut[1] == point


def test_check_states_the_extent_of_files_across_180(tmp_path):
    x, y = at(180, -16.8, FIJI)
    path = write_geotiff(
        tmp_path / "a.tif", np.ones((8, 8), np.uint8), crs=FIJI, transform=Affine(100, 0, x - 400, 0, -100, y)
    )
    gpd.GeoDataFrame(geometry=[shapely.box(x - 500, y - 500, x + 500, y + 500)], crs=FIJI).to_file(tmp_path / "b.gpkg")
    for file in (path, tmp_path / "b.gpkg"):
        extent = inspect(str(file)).facts["extent"]
        assert extent.startswith("longitude 179.99")
        assert " to -179.99" in extent


def test_shapes_on_both_sides_of_180_have_a_box_across_it():
    two = gpd.GeoSeries([shapely.box(179.9, -17, 180, -16.8), shapely.box(-180, -17, -179.9, -16.8)], crs=4326)
    assert check_box(lonlat_box(two.to_numpy())) == (179.9, -17, -179.9, -16.8)


@pytest.mark.parametrize("target", ["EPSG:4326", "EPSG:32631"])
def test_without_a_way_both_crs_are_named(target: str) -> None:
    shapes = gpd.GeoSeries([shapely.box(1, 1, 2, 2)], crs="ESRI:104903")
    with raises_naming(GridError, "Moon_2000", CRS.from_user_input(target).name):
        to_crs(shapes, target)
    with raises_naming(GridError, "Moon_2000"):
        degrees_of(shapes.to_numpy(), shapes.crs)


def test_polygons_go_to_another_crs_only_by_to_crs():
    files = [path for path in source_files("deepnets4eo") if ".to_crs(" in path.read_text(encoding="utf-8")]
    named = {path.relative_to(ROOT / "deepnets4eo").as_posix() for path in files}
    assert named <= POINTS_ONLY | ODC | {"reprojection.py"}
