"""Label rasters to polygons: seamless, valid, in metres; squared outlines; files."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.polygons import Shaping, polygonize
from deepnets4eo.regions import trace_regions
from deepnets4eo.regularize import right_angled
from deepnets4eo.scene import Layer
from deepnets4eo.vector_files import write_vector

UTM = "EPSG:32615"
HALF_METRE = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


def by_rasterio(labels: np.ndarray) -> list[tuple[bytes, int]]:
    """The second opinion: GDAL on the whole raster, spelled in one way."""
    found = []
    for shape, value in rasterio.features.shapes(labels, mask=labels > 0, connectivity=4):
        polygon = shapely.make_valid(shapely.geometry.shape(shape))
        polygon = max(shapely.get_parts(polygon), key=shapely.area)
        found.append((shapely.to_wkb(shapely.normalize(polygon)), int(value)))
    return sorted(found)


@given(
    st.integers(1, 26), st.integers(1, 26), st.integers(1, 4), st.sampled_from([2, 5, 9, 64]), st.integers(0, 10_000)
)
@settings(max_examples=50, deadline=None)
def test_any_cut_into_blocks_gives_the_polygons_of_the_whole_raster(
    height: int, width: int, zoom: int, block_px: int, seed: int
) -> None:
    coarse = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    labels = np.kron(coarse, np.ones((zoom, zoom), np.uint8))[:height, :width].copy()
    found = trace_regions(Layer.open(labels), [1, 2], block_px=block_px, workers=1)
    assert shapely.is_valid(found.polygons).all()
    mine = sorted(zip(shapely.to_wkb(found.polygons), found.values.tolist(), strict=True))
    assert mine == by_rasterio(labels)
    whole = trace_regions(Layer.open(labels), [1, 2], block_px=1000, workers=1)
    assert shapely.to_wkb(found.polygons).tolist() == shapely.to_wkb(whole.polygons).tolist()


def test_order_follows_first_pixels() -> None:
    labels = np.array([[0, 0, 2, 0, 3], [1, 0, 2, 0, 3], [1, 0, 0, 0, 0]], np.uint8)
    assert trace_regions(Layer.open(labels), [1, 2, 3], block_px=2).values.tolist() == [2, 3, 1]


def test_holes_stay_and_their_islands_are_regions_too() -> None:
    labels = np.ones((30, 30), np.uint8)
    labels[8:22, 8:22] = 0
    labels[12:18, 12:18] = 1
    found = polygonize(Layer.open(labels), {1: "building"}, block_px=7)
    assert found["area_m2"].tolist() == [900 - 196, 36]
    assert [len(polygon.interiors) for polygon in found.geometry] == [1, 0]


def test_regions_that_touch_by_a_corner_are_apart_and_rings_that_touch_themselves_are_valid() -> None:
    ring = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]], np.uint8)
    found = polygonize(Layer.open(ring), {1: "a"})
    assert found.geometry.is_valid.all()
    assert len(found) == 1
    assert len(found.geometry[0].interiors) == 2
    assert len(polygonize(Layer.open(np.eye(3, dtype=np.uint8)), {1: "a"})) == 3


def test_void_and_nodata_never_become_polygons() -> None:
    labels = np.array([[1, 255, 7], [1, 255, 7]], np.uint8)
    found = polygonize(Layer.open(labels, nodata=7))
    assert found["class"].tolist() == ["1"]
    assert found["id"].tolist() == ["1"]


def test_an_image_without_the_class_gives_an_empty_layer_with_all_columns() -> None:
    found = polygonize(Layer.open(np.zeros((40, 40), np.uint8)), {1: "building"}, Shaping(5, 1, right_angles=True))
    assert len(found) == 0
    assert list(found.columns) == ["id", "class", "value", "area_m2", "geometry"]


def test_areas_are_square_metres_and_outlines_lie_on_the_ground() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 20:50] = 1
    labels[30:32, 5:8] = 1
    layer = Layer.open(labels, grid=GeoBox((40, 60), HALF_METRE, UTM))
    found = polygonize(layer, {1: "building"}, Shaping(min_area_m2=10))
    assert found["area_m2"].tolist() == [75.0]
    assert found.crs.to_epsg() == 32615
    assert found.geometry[0].equals(shapely.box(500_010, 3_999_990, 500_025, 3_999_995))
    assert found.geometry[0].exterior.is_ccw


def test_geographic_rasters_are_measured_in_metres() -> None:
    labels = np.zeros((50, 50), np.uint8)
    labels[10:30, 10:30] = 1
    step = 1 / 111_319.49
    layer = Layer.open(labels, grid=GeoBox((50, 50), Affine(step, 0, 30, 0, -step, 60), "EPSG:4326"))
    found = polygonize(layer, {1: "building"}, Shaping(simplify_m=1))
    assert found["area_m2"][0] == pytest.approx(200, rel=0.01)
    assert found.geometry[0].bounds == pytest.approx((30 + 10 * step, 60 - 30 * step, 30 + 30 * step, 60 - 10 * step))


def turned_house(angle_deg: float, size: tuple[float, float] = (40.0, 24.0)) -> shapely.Polygon:
    house = shapely.box(50 - size[0] / 2, 50 - size[1] / 2, 50 + size[0] / 2, 50 + size[1] / 2)
    return shapely.affinity.rotate(house, angle_deg)


@given(st.floats(0, 90), st.floats(16, 60), st.floats(12, 40))
@settings(max_examples=40, deadline=None)
def test_a_house_at_any_angle_comes_back_as_four_right_angles(angle: float, length: float, depth: float) -> None:
    truth = turned_house(angle, (length, depth))
    labels = rasterio.features.rasterize([(truth, 1)], out_shape=(100, 100))
    found = polygonize(Layer.open(labels), {1: "building"}, Shaping(simplify_m=1.0, right_angles=True)).geometry[0]
    sides = np.diff(shapely.get_coordinates(found.exterior), axis=0)
    cosines = (
        np.sum(sides * np.roll(sides, 1, axis=0), axis=1) / np.prod(np.hypot(*sides.T)[[[0], [-1]]], axis=0).mean()
    )
    np.testing.assert_allclose(cosines / max(1, np.abs(cosines).max()), 0, atol=1e-6)
    overlap = found.intersection(truth).area / found.union(truth).area
    assert overlap > 0.85
    assert len(sides) == 4


def test_simplified_outlines_stay_within_the_tolerance_and_lose_the_stairs() -> None:
    labels = rasterio.features.rasterize([(turned_house(31), 1)], out_shape=(100, 100))
    plain = polygonize(Layer.open(labels), {1: "a"}).geometry[0]
    smooth = polygonize(Layer.open(labels), {1: "a"}, Shaping(simplify_m=1.0)).geometry[0]
    assert shapely.hausdorff_distance(plain.exterior, smooth.exterior, densify=0.02) <= 1.5
    assert len(smooth.exterior.coords) < len(plain.exterior.coords) / 8


def test_round_outlines_are_not_squared() -> None:
    tank = shapely.Point(0, 0).buffer(10)
    triangle = shapely.Polygon([(0, 0), (20, 0), (0, 3)])
    assert right_angled(triangle, 1.0) is triangle
    squared = right_angled(tank, 1.0, min_iou=0.97)
    assert squared is tank


def test_jogs_below_the_limit_go_and_wings_stay() -> None:
    ell = shapely.Polygon([(0, 0), (20, 0), (20, 8), (8, 8), (8, 20), (0, 20)])
    jagged = shapely.Polygon([(0, 0), (9, 0), (9, 0.4), (11, 0.4), (11, 0), (20, 0), (20, 8), (8, 8), (8, 20), (0, 20)])
    squared = right_angled(shapely.affinity.rotate(jagged, 17), 1.0)
    assert len(squared.exterior.coords) - 1 == 6
    assert shapely.affinity.rotate(squared, -17, origin=(10, 10)).symmetric_difference(ell).area < 6


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), min_size=3, max_size=12), st.floats(0.1, 8))
@settings(max_examples=150, deadline=None)
def test_squaring_always_gives_a_valid_polygon_that_overlaps(points: list[tuple[float, float]], side: float) -> None:
    hull = shapely.Polygon(sorted(points, key=lambda p: np.arctan2(p[1] - 15, p[0] - 15)))
    if hull.geom_type != "Polygon" or hull.area < 1 or not hull.is_valid:
        return
    squared = right_angled(hull, side)
    assert squared.is_valid
    assert squared.intersection(hull).area / squared.union(hull).area >= 0.85


def test_images_and_odd_settings_are_refused() -> None:
    with pytest.raises(InputError, match="3 bands of uint8"):
        polygonize(Layer.open(np.zeros((3, 4, 4), np.uint8)))
    with pytest.raises(InputError, match="simplify_m is -1"):
        Shaping(simplify_m=-1)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet"])
@pytest.mark.parametrize("empty", [False, True])
def test_every_format_is_written_whole_and_alone(tmp_path: Path, suffix: str, empty: bool) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[4:9, 4:9] = 0 if empty else 1
    frame = polygonize(Layer.open(labels, grid=GeoBox((20, 20), HALF_METRE, UTM)), {1: "building"})
    path = write_vector(frame, tmp_path / f"houses{suffix}")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    back = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path)
    assert len(back) == len(frame)
    if not empty:
        assert back["id"].tolist() == ["1"]
        assert back.to_crs(UTM).geometry[0].symmetric_difference(frame.geometry[0]).area < 1e-3
        assert back.crs.to_epsg() == (4326 if suffix == ".geojson" else 32615)


def test_unknown_suffixes_and_unwritable_folders_are_refused(tmp_path: Path) -> None:
    frame = polygonize(Layer.open(np.ones((4, 4), np.uint8)))
    with pytest.raises(InputError, match="'.dwg', which names no vector format"):
        write_vector(frame, tmp_path / "a.dwg")
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "folder.gpkg" / "x").touch()
    with pytest.raises(OutputError, match="folder.gpkg"):
        write_vector(frame, tmp_path / "folder.gpkg")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.gpkg"]
