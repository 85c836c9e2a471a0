"""Objects of a class in label rasters: where, how large, which way, and the same however the raster is read."""

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings, strategies as st
from pyproj import Geod, Transformer
from refusals import raises_naming
from scipy.ndimage import label
from skimage.draw import polygon as fill

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import evaluate_detections
from deepnets4eo.objects import ObjectRules, extract_objects
from deepnets4eo.polygons import outlines, polygonize
from deepnets4eo.rasters import Layer

CAR = 4
UTM = "EPSG:32631"


def georeferenced(labels: np.ndarray, gsd: float = 0.1, crs: str | None = UTM) -> Layer:
    return Layer.open(labels, grid=Grid(labels.shape, Affine(gsd, 0, 500_000, 0, -gsd, 5_000_000), crs))


def drawn(shape: tuple[int, int], boxes: list[tuple[float, float, float, float, float]]) -> np.ndarray:
    """Labels with cars: (row, col, length, width in pixels, heading in degrees clockwise from the top)."""
    labels = np.zeros(shape, np.uint8)
    for row, col, length, width, heading in boxes:
        shape_of = outlines(np.array([[row, col, length, width, math.radians(heading - 90) % math.pi]]))[0]
        x, y = shape_of.exterior.xy
        labels[fill(np.array(y) - 0.5, np.array(x) - 0.5, shape)] = CAR
    return labels


@pytest.mark.parametrize("heading", [0, 17, 45, 90, 123, 171])
def test_a_car_has_its_length_width_heading_and_place(heading: int) -> None:
    labels = drawn((100, 120), [(50.3, 60.2, 45, 18, heading)])
    found = extract_objects(georeferenced(labels), "car", "isprs")
    assert len(found) == 1
    row = found.iloc[0]
    assert row["length_m"] == pytest.approx(4.5, abs=0.12)
    assert row["width_m"] == pytest.approx(1.8, abs=0.12)
    assert abs((row["heading_deg"] - heading + 90) % 180 - 90) < 2
    assert row["area_m2"] == pytest.approx((labels == CAR).sum() * 0.01)
    middle = row.geometry.centroid
    assert math.hypot(middle.x - 500_006.02, middle.y - (5_000_000 - 5.03)) < 0.08
    assert found.crs.to_epsg() == 32631
    assert not row["cut"]


def test_the_box_of_a_car_overlaps_the_true_one() -> None:
    """A rectangle through pixel corners would be too large by a staircase; measured over headings, at 0.3 m."""
    ious = []
    for heading in range(0, 180, 13):
        true = outlines(np.array([[50.3, 60.2, 15, 6, math.radians(heading - 90) % math.pi]]))[0]
        box = extract_objects(drawn((100, 120), [(50.3, 60.2, 15, 6, heading)]), "car", "isprs").geometry[0]
        ious.append(box.intersection(true).area / box.union(true).area)
    assert np.mean(ious) > 0.87
    assert np.min(ious) > 0.75


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.integers(9, 40))
def test_whole_regions_are_those_of_scipy_at_any_block_size(seed: int, block_px: int) -> None:
    labels = np.where(np.random.default_rng(seed).random((40, 37)) < 0.5, CAR, 1).astype(np.uint8)
    rules = ObjectRules(split="none", shape="polygon")
    found = extract_objects(labels, "car", "isprs", rules, block_px=block_px, workers=1)
    numbers, count = label(labels == CAR)
    assert len(found) == count
    assert found["area_m2"].tolist() == np.bincount(numbers.ravel())[1:].tolist()  # both in order of first pixels
    assert found.geometry.area.tolist() == found["area_m2"].tolist()


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10**6), st.sampled_from([13, 32, 50]), st.sampled_from(["distance", "area"]))
def test_objects_do_not_depend_on_seams(seed: int, block_px: int, split: str) -> None:
    rng = np.random.default_rng(seed)
    boxes = [(*rng.uniform(5, 75, 2), 22, 9, rng.uniform(0, 180)) for _ in range(9)]
    layer = georeferenced(drawn((80, 80), boxes), 0.2)
    rules = ObjectRules(opening_m=0.7, min_area_m2=2, split=split, object_area_m2=8)  # type: ignore[arg-type]
    whole = extract_objects(layer, "car", "isprs", rules, workers=1)
    cut = extract_objects(layer, "car", "isprs", rules, block_px=block_px, workers=2)
    assert whole.drop(columns="geometry").equals(cut.drop(columns="geometry"))
    assert shapely.equals_exact(whole.geometry.to_numpy(), cut.geometry.to_numpy(), 1e-9).all()


def test_touching_cars_are_told_apart() -> None:
    boxes = [(30, 30, 45, 18, 90), (45, 68, 45, 18, 90), (80, 40, 45, 18, 60)]  # the first two touch at a corner
    labels = drawn((110, 110), boxes)
    assert label(labels == CAR)[1] == 2
    layer = georeferenced(labels)
    together = extract_objects(layer, "car", "isprs", ObjectRules(split="none"))
    apart = extract_objects(layer, "car", "isprs", ObjectRules(min_area_m2=2))
    assert (len(together), len(apart)) == (2, 3)
    true = [outlines(np.array([[r, c, a, b, math.radians(h - 90) % math.pi]]))[0] for r, c, a, b, h in boxes]
    reference = (
        apart.iloc[:0]
        .reindex(range(3))
        .set_geometry(shapely.transform(np.array(true), lambda xy: xy * [0.1, -0.1] + [500_000, 5_000_000]), crs=UTM)
    )
    assert evaluate_detections(apart, reference).f1 == 1.0
    assert evaluate_detections(together, reference).recall < 0.5


def test_a_thin_bridge_is_cut_by_the_opening_and_crumbs_are_left_out() -> None:
    labels = drawn((60, 120), [(30, 30, 45, 18, 90), (30, 90, 45, 18, 90)])
    labels[29:31, 45:80] = CAR  # 0.2 m thin
    labels[5:8, 5:8] = CAR
    found = extract_objects(georeferenced(labels), "car", "isprs", ObjectRules(opening_m=0.5, split="none"))
    assert len(found) == 2
    assert found["length_m"].between(4.3, 4.7).all()
    assert len(extract_objects(georeferenced(labels), "car", "isprs", ObjectRules(min_area_m2=1.0))) == 2


def test_objects_at_the_edge_say_so() -> None:
    found = extract_objects(drawn((60, 100), [(0, 30, 45, 18, 90), (40, 60, 45, 18, 90)]), "car", "isprs")
    assert found["cut"].tolist() == [True, False]


def test_a_class_that_is_absent_gives_an_empty_table_with_its_columns() -> None:
    found = extract_objects(georeferenced(np.zeros((30, 30), np.uint8)), "car", "isprs", ObjectRules(opening_m=1.0))
    assert len(found) == 0
    assert [*found.columns] == ["id", "class", "area_m2", "length_m", "width_m", "heading_deg", "cut", "geometry"]
    assert found.crs.to_epsg() == 32631


def test_without_a_crs_a_pixel_is_a_metre_and_the_top_is_north() -> None:
    found = extract_objects(drawn((100, 120), [(50, 60, 45, 18, 30)]), "car", "isprs")
    assert found.crs is None
    assert found["length_m"][0] == pytest.approx(45, abs=1.2)
    assert found["heading_deg"][0] == pytest.approx(30, abs=2)
    assert found.geometry[0].centroid.distance(shapely.Point(60, 50)) < 1


def test_degrees_have_metres_too() -> None:
    labels = drawn((100, 120), [(50, 60, 45, 18, 30)])
    side = 0.1 / 111_319.49  # at 60° north a degree of longitude is half as long
    grid = Grid(labels.shape, Affine(2 * side, 0, 10, 0, -side, 60.0), "EPSG:4326")
    row = extract_objects(Layer.open(labels, grid=grid), "car", "isprs").iloc[0]
    assert row["length_m"] == pytest.approx(4.5, abs=0.12)
    assert row["heading_deg"] == pytest.approx(30, abs=2)


@pytest.mark.parametrize("turn", [20, 90, 180, 250])
def test_headings_are_of_the_ground_also_where_the_raster_is_turned(turn: int) -> None:
    labels = drawn((100, 120), [(50, 60, 45, 18, 30)])
    north_up = Affine(0.1, 0, 500_000, 0, -0.1, 5_000_000)
    grid = Grid(labels.shape, Affine.rotation(-turn, (500_000, 5_000_000)) * north_up, UTM)
    row = extract_objects(Layer.open(labels, grid=grid), "car", "isprs").iloc[0]
    assert row["heading_deg"] == pytest.approx((30 + turn) % 180, abs=2)
    corners = shapely.get_coordinates(row.geometry)[:4]
    sides = np.diff(corners, axis=0)
    east, north = sides[np.hypot(*sides.T).argmax()]
    assert math.degrees(math.atan2(east, north)) % 180 == pytest.approx(row["heading_deg"], abs=1e-3)


def test_a_wrong_class_is_answered_with_the_nearest() -> None:
    with raises_naming(LabelError, "'car'"):
        extract_objects(np.zeros((4, 4), np.uint8), "cra", "isprs")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "both"}, "split is 'both'"),
        ({"split": "area"}, "object_area_m2"),
        ({"min_area_m2": -1}, "min_area_m2"),
        ({"depth": 0.0}, "depth"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ObjectRules(**wrong)


def test_fractions_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="whole numbers"):
        extract_objects(np.zeros((4, 4), np.float32), "car", "isprs")


def test_values_that_stand_for_others_in_the_legend_are_read_so():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:6] = 255
    assert len(extract_objects(mask, "change", "change-mask")) == 1


def test_a_class_whose_value_is_nodata_is_named(caplog: pytest.LogCaptureFixture) -> None:
    labels = Layer.open(drawn((60, 60), [(30, 30, 20, 8, 0)]), nodata=CAR)
    assert len(extract_objects(labels, "car", "isprs")) == 0
    assert 'declares 4 as nodata, which is its value for "car"' in caplog.text
    caplog.clear()
    extract_objects(labels, "tree", "isprs")
    assert not caplog.text


def test_each_object_is_measured_in_the_metres_of_its_own_latitude():
    """A raster in degrees from 54° to 60° north, against the geodesic of pyproj."""
    labels = np.zeros((300, 60), np.uint8)
    labels[5:10, 5:15] = labels[290:295, 5:15] = 4
    layer = Layer.open(labels, grid=Grid((300, 60), Affine(0.01, 0, 25, 0, -0.02, 60), "EPSG:4326"))
    cars = extract_objects(layer, "car", "isprs")
    geod = Geod(ellps="WGS84")
    right = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in cars.geometry]
    np.testing.assert_allclose(cars.area_m2, right, rtol=2e-3)
    for row, north in ((0, 60 - 7.5 * 0.02), (1, 60 - 292.5 * 0.02)):
        across, down = geod.inv(25, north, 25.1, north)[2], geod.inv(25, north - 0.05, 25, north + 0.05)[2]
        np.testing.assert_allclose(
            cars.loc[row, ["length_m", "width_m"]].astype(float), [max(across, down), min(across, down)], rtol=2e-3
        )
    least = float(cars.area_m2.mean())
    assert len(extract_objects(layer, "car", "isprs", ObjectRules(min_area_m2=least))) == 1


@pytest.mark.parametrize(
    ("crs", "lon", "lat"), [(UTM, 17.9, 70.0), ("EPSG:3413", -150.0, 70.0), ("EPSG:3034", 25.0, 60.0)]
)
def test_headings_are_of_true_north_and_not_of_the_grid(crs: str, lon: float, lat: float) -> None:
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    labels = drawn((100, 120), [(50, 60, 45, 18, 30)])
    grid = Grid(labels.shape, Affine(0.1, 0, x - 6, 0, -0.1, y + 5), crs)
    row = extract_objects(Layer.open(labels, grid=grid), "car", "isprs").iloc[0]
    along = np.array([np.sin(np.radians(30)), np.cos(np.radians(30))])
    ends = [
        Transformer.from_crs(crs, 4326, always_xy=True).transform(*(np.array([x, y]) + 2 * side * along))
        for side in (-1, 1)
    ]
    azimuth = Geod(ellps="WGS84").inv(*ends[0], *ends[1])[0]
    assert abs((row["heading_deg"] - azimuth + 90) % 180 - 90) < 1.5


def test_values_that_the_legend_lacks_are_named_for_a_chosen_class_too(caplog: pytest.LogCaptureFixture) -> None:
    """As numbers of another legend, or numbers from 1 instead of 0, whose objects are of another class."""
    labels = np.zeros((8, 8), np.uint8)
    labels[2:4, 2:4] = 4
    for values, named in ((labels, False), (labels + np.uint8(100), True), (labels.astype(np.int16) - 1, True)):
        caplog.clear()
        extract_objects(values, "car", "isprs")
        assert ("not in legend" in caplog.text) == named
        caplog.clear()
        polygonize(values, {4: "car"}, legend=Legend.load("isprs"))
        assert ("not in legend" in caplog.text) == named
