"""Label rasters to polygons: valid, in metres, with common borders; houses at any angle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod
from rasterio.transform import from_origin
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import whole
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.polygons import Shaping, extraction, polygonize
from deepnets4eo.rasters import Layer

UTM = "EPSG:32615"


HALF_METRE = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


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


def test_areas_are_those_of_each_polygons_latitude() -> None:
    labels = np.zeros((60, 8), np.uint8)
    labels[2:4, 2:4] = labels[56:58, 2:4] = 1
    layer = Layer.open(labels, grid=GeoBox((60, 8), Affine(1, 0, 0, 0, -1, 60), "EPSG:4326"))
    north, south = polygonize(layer, {1: "lake"})["area_m2"]
    for area_m2, top in ((north, 58), (south, 4)):
        box = shapely.box(2, top - 2, 4, top)
        assert area_m2 == pytest.approx(abs(Geod(ellps="WGS84").geometry_area_perimeter(box)[0]), rel=0.01)


@pytest.mark.parametrize(
    ("crs", "transform"), [("EPSG:4326", from_origin(0, 60, 1, 1)), ("EPSG:3857", from_origin(0, 8e6, 1e5, 1e5))]
)
def test_regions_that_reach_over_many_degrees_have_the_area_of_all_their_pixels(crs: str, transform: Affine) -> None:
    labels = np.zeros((60, 30), np.uint8)
    labels[20:] = 1
    grid = GeoBox(labels.shape, transform, crs)
    measured = polygonize(Layer.open(labels, grid=grid), {0: "north", 1: "south"}).set_index("class").area_m2
    ground = GroundArea(grid).of(whole(grid), labels == 0, labels == 1) * 1e4
    assert measured[["north", "south"]].to_numpy() == pytest.approx(ground, rel=1e-3)


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
def test_a_house_at_any_angle_comes_back_as_four_right_angles(angle: float, length: float, depth: float) -> None:
    truth = turned_house(angle, (length, depth))
    labels = rasterio.features.rasterize([(truth, 1)], out_shape=(100, 100))
    found = polygonize(Layer.open(labels), {1: "building"}, Shaping(simplify_m=1.0, right_angles=True)).geometry[0]
    sides = np.diff(shapely.get_coordinates(found.exterior), axis=0)
    cosines = (
        np.sum(sides * np.roll(sides, 1, axis=0), axis=1) / np.prod(np.hypot(*sides.T)[[[0], [-1]]], axis=0).mean()
    )
    np.testing.assert_allclose(cosines / max(1, np.abs(cosines).max()), 0, atol=1e-6)
    drawn = polygonize(Layer.open(labels), {1: "building"}).geometry[0]  # what the raster kept of the house
    assert overlap(found, truth) > overlap(drawn, truth) - 0.04
    assert len(sides) == 4


def overlap(a: shapely.Polygon, b: shapely.Polygon) -> float:
    return a.intersection(b).area / a.union(b).area


def test_houses_cut_by_the_edge_are_simplified_but_not_squared() -> None:
    labels = rasterio.features.rasterize(
        [(shapely.affinity.translate(turned_house(31), -40, 0), 1)], out_shape=(100, 100)
    )
    plain = polygonize(Layer.open(labels), {1: "a"}, Shaping(simplify_m=1.0)).geometry[0]
    squared = polygonize(Layer.open(labels), {1: "a"}, Shaping(simplify_m=1.0, right_angles=True)).geometry[0]
    assert squared.equals(plain)
    assert 0 <= squared.bounds[0] <= 0.5


def test_simplified_outlines_stay_within_the_tolerance_and_lose_the_stairs() -> None:
    labels = rasterio.features.rasterize([(turned_house(31), 1)], out_shape=(100, 100))
    plain = polygonize(Layer.open(labels), {1: "a"}).geometry[0]
    smooth = polygonize(Layer.open(labels), {1: "a"}, Shaping(simplify_m=1.0)).geometry[0]
    assert shapely.hausdorff_distance(plain.exterior, smooth.exterior, densify=0.02) <= 1.5
    assert len(smooth.exterior.coords) < len(plain.exterior.coords) / 8


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 5]), st.floats(0.1, 4))
def test_simplified_classes_keep_common_borders_without_gap_or_overlap(seed: int, zoom: int, tolerance: float) -> None:
    coarse = np.random.default_rng(seed).integers(0, 3, (9, 11)).astype(np.uint8)
    labels = rasterio.features.rasterize(
        [
            (shapely.affinity.rotate(shapely.box(col, row, col + 1, row + 1), 21, origin=(5, 5)), int(coarse[row, col]))
            for row in range(9)
            for col in range(11)
        ],
        out_shape=(9 * zoom, 11 * zoom),
        transform=Affine.scale(1 / zoom),
    )
    found = polygonize(Layer.open(labels), None, Shaping(simplify_m=tolerance)).geometry.to_numpy()
    assert shapely.is_valid(found).all()
    assert shapely.coverage_is_valid(found)
    assert shapely.area(found).sum() == pytest.approx(shapely.union_all(found).area)


def test_images_and_odd_settings_are_refused() -> None:
    with raises_naming(InputError, "3", "uint8"):
        polygonize(Layer.open(np.zeros((3, 4, 4), np.uint8)))
    with raises_naming(InputError, "simplify_m", "-1"):
        Shaping(simplify_m=-1)


@pytest.mark.parametrize("classes", [{"1": "a"}, ["a", "b"], {1.5: "a"}])
def test_classes_that_name_no_label_values_are_refused(classes: object) -> None:
    with pytest.raises(InputError, match="expected label values as whole numbers"):
        polygonize(Layer.open(np.ones((4, 4), np.uint8)), classes)


def test_arrays_and_paths_are_traced_as_layers_are(tmp_path: Path) -> None:
    labels = np.array([[1, 1, 0], [1, 1, 0]], np.uint8)
    path = tmp_path / "labels.npy"
    np.save(path, labels)
    for source in (labels, str(path)):
        assert polygonize(source, {np.uint8(1): "building"})["class"].tolist() == ["building"]


def test_a_class_whose_value_is_nodata_is_named_before_it_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    labels = Layer.open(np.array([[0, 0, 1], [0, 1, 1]], np.uint8), nodata=0)
    isprs, mask = Legend.load("isprs"), Legend.load("change-mask")
    polygonize(labels, dict(zip(isprs.values, isprs.names, strict=True)), legend=isprs)
    assert 'declares 0 as nodata, which is its value for "impervious": of that class nothing is traced.' in caplog.text
    caplog.clear()
    polygonize(Layer.open(np.array([[0, 255]], np.uint8), nodata=255), {1: "change"}, legend=mask)
    assert 'declares 255 as nodata, which is its value for "change"' in caplog.text
    caplog.clear()
    polygonize(labels, {1: "building"}, legend=isprs)  # of which all is there
    polygonize(Layer.open(np.array([[0, 1]], np.uint8), nodata=np.nan), {1: "building"}, legend=isprs)
    assert not caplog.text


@pytest.mark.parametrize("crs", [None, "EPSG:32633", "EPSG:4326"])
@pytest.mark.parametrize("shaping", [Shaping(min_area_m2=4), Shaping(min_area_m2=4, simplify_m=1.0)])
def test_small_regions_left_out_early_are_those_left_out_by_their_area(
    monkeypatch: pytest.MonkeyPatch, crs: str | None, shaping: Shaping
) -> None:
    """Of several classes, some within others and across the seams of blocks; in degrees pixels of the south are larger."""
    values = np.random.default_rng(0).integers(0, 3, (150, 140)).astype(np.uint8)
    side = 1e-5 if crs == "EPSG:4326" else 1.0
    grid = GeoBox(values.shape, Affine(side, 0, 10, 0, -side, 50), crs)
    early = polygonize(Layer.open(values, grid=grid), None, shaping, block_px=32)
    monkeypatch.setattr(extraction, "SURELY", 0.0)
    late = polygonize(Layer.open(values, grid=grid), None, shaping, block_px=32)
    assert len(early) > 100
    assert early.equals(late)
