"""Damage by area: every building counts where it stands, sums hold, and overlaps and gaps are named."""

import csv
import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from made_up_map import make_grid, make_images, make_map
from pyproj import Geod, Transformer
from refusals import raises_naming

from deepnets4eo.damage.areas import OUTSIDE, check_areas, count_areas, find_areas, read_areas
from deepnets4eo.errors import InputError
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters import Layer
from deepnets4eo.zonal import sums_by_share

WEST, SOUTH, EAST, NORTH = 360_000, 4_099_872, 360_128, 4_100_000  # of the made-up map's grid


def districts(*boxes, names=None, crs=32615):
    return gpd.GeoDataFrame({"code": range(len(boxes)), "name": names or [f"d{k}" for k in range(len(boxes))]},
                            geometry=[shapely.box(*each) for each in boxes], crs=crs)  # fmt: skip


HALVES = districts((WEST, SOUTH, WEST + 64, NORTH), (WEST + 64, SOUTH, EAST, NORTH), names=["west", "شرق"])


@pytest.fixture
def damage_map():
    made = make_map(60)
    made.estimates = {"buildings": {"damaged": {"expected": 20.0, "interval_95": [12.0, 31.0]}}}
    return made


def test_halves_of_a_map_sum_to_it(damage_map):
    rows = count_areas(damage_map.buildings, find_areas(HALVES, damage_map.buildings), damage_map.estimates)
    assert rows["area"].tolist() == ["west", "شرق"]
    assert rows["buildings"].sum() == 60
    for grade, column in (("destroyed", "destroyed"), ("no-damage", "no_damage")):
        assert rows[column].sum() == (damage_map.buildings["damage"] == grade).sum()
    assert rows["damaged"].sum() == pytest.approx(20.0, abs=0.2), "the number that is expected of the whole map"
    assert (rows["damaged_low"] < rows["damaged"]).all()
    assert (rows["damaged"] < rows["damaged_high"]).all()
    assert (rows["damaged_high"] <= rows["assessed"]).all()
    np.testing.assert_allclose(rows["share"], rows["damaged"] / rows["assessed"], atol=1e-4)
    parts = rows["damaged_high"] - rows["damaged_low"]
    assert parts.sum() > 31 - 12, "areas are less sure than the map of which they are parts"


def test_overlaps_and_gaps_are_counted_and_named(damage_map):
    areas = find_areas(
        districts((WEST, SOUTH, WEST + 80, NORTH), (WEST + 60, SOUTH, EAST - 30, NORTH)), damage_map.buildings
    )
    middles = damage_map.buildings.geometry.representative_point().x
    both, none = ((middles > WEST + 60) & (middles < WEST + 80)).sum(), (middles > EAST - 30).sum()
    rows = count_areas(damage_map.buildings, areas)
    assert rows["area"].tolist() == ["d0", "d1", OUTSIDE]
    assert rows["buildings"].tolist()[2] == none > 0
    assert rows["buildings"].sum() == 60 + both
    assert [finding.code for finding in areas.findings()] == ["areas_overlap", "areas_leave_gaps"]
    assert f"{both} building" in areas.findings()[0].message
    assert f"{none} building" in areas.findings()[1].message


def test_an_area_without_buildings_has_no_share(damage_map):
    rows = count_areas(damage_map.buildings, find_areas(districts((0, 0, 1, 1)), damage_map.buildings))
    assert rows["buildings"].tolist() == [0, 60]
    assert rows["damaged"][0] == rows["damaged_high"][0] == 0
    assert np.isnan(rows["share"][0])


def test_squares_cover_every_building_once(damage_map):
    for epsg in (32615, 4326):
        made = make_map(60, grid=make_grid(epsg=epsg))
        areas = find_areas("grid:50", made.buildings)
        assert np.bincount(areas.building, minlength=60).tolist() == [1] * 60
        assert not areas.findings()
        sides = areas.frame.to_crs(made.buildings.estimate_utm_crs()).area
        np.testing.assert_allclose(sides, 2500, rtol=0.01)
    assert len(find_areas("grid", damage_map.buildings).frame) <= 4


@pytest.mark.parametrize("crs", [32633, 3857, 2264, 4326])  # metres, metres of a web map at 60° north, US feet, degrees
def test_squares_have_sides_in_metres_on_the_ground(crs):
    place = (-79.0, 35.5) if crs == 2264 else (25.0, 60.2)
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(*place)
    step = 1e-4 if crs == 4326 else 9
    houses = gpd.GeoDataFrame(geometry=[shapely.box(x, y, x + step, y + step)], crs=crs)
    corners = find_areas("grid:500", houses).frame.to_crs(4326).geometry.iloc[0].exterior.coords
    sides = [Geod(ellps="WGS84").inv(*corners[k], *corners[k + 1])[2] for k in range(2)]
    np.testing.assert_allclose(sides, 500, rtol=0.01)


def test_a_house_on_the_line_between_areas_is_in_one_of_them():
    spots = ((500_000, 4_000_000), (500_100, 4_000_100), (500_250, 4_000_050))
    houses = gpd.GeoDataFrame(geometry=[shapely.box(x - 5, y - 5, x + 5, y + 5) for x, y in spots], crs=32633)
    assert find_areas("grid:250", houses).times.tolist() == [1, 1, 1]
    beside = districts((499_900, 3_999_000, 500_100, 4_001_000), (500_100, 3_999_000, 501_000, 4_001_000), crs=32633)
    areas = find_areas(beside, houses)
    assert areas.times.tolist() == [1, 1, 1]
    assert areas.area[areas.building == 1].tolist() == [0]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (
            {"UID": [1, 2, 3], "GID_0": ["TUR"] * 3, "NAME_2": ["Antakya", "Samandağ", None]},
            ["Antakya", "Samandağ", "3"],
        ),
        ({"NAME_1": ["a", "a", "b"], "GID_2": ["x", "y", "z"]}, ["x", "y", "z"]),
        ({"NAME_1": ["a", "a", "b"], "kind": ["k"] * 3}, ["a", "a", "b"]),
        ({"kind": ["district"] * 3}, ["1", "2", "3"]),
        ({"ward": [2, 3, 1]}, ["2", "3", "1"]),
        ({"kind": ["ward"] * 3, "GEOID": [42.0, 7.0, np.nan]}, ["42", "7", "3"]),
        ({"insee": [2.0, 3.0, np.nan]}, ["2", "3", "row 3"]),
        ({"POPULATION": [900, 300, 100], "zone_nr": [12, 11, 10]}, ["12", "11", "10"]),
        ({"density": [2.5, 1.0, 3.0], "area_m2": [9, 8, 7], "pop2020": [3, 1, 2]}, ["1", "2", "3"]),
        ({"NAME": ["a", "a", "b"], "COUNTYFP": [30, 20, 10]}, ["30", "20", "10"]),
        ({"rank": [3, 2, 1], "zone_id": [12, 11, 10]}, ["12", "11", "10"]),
        ({"code": pd.array([7, None, 5], "Int64")}, ["7", "2", "5"]),
        ({"code": pd.Series([9, 8, 7], dtype=object), "seen": [True, False, True]}, ["9", "8", "7"]),
    ],
)
def test_areas_are_named_by_text_or_codes_that_differ(columns, names):
    boxes = districts((0, 0, 1, 1), (1, 0, 2, 1), (2, 0, 3, 1)).geometry
    assert read_areas(gpd.GeoDataFrame(columns, geometry=boxes))["area"].tolist() == names


@pytest.mark.parametrize(("different", "by_name"), [(9, True), (8, False)])
def test_names_that_differ_in_nine_tenths_of_the_rows_are_kept(different, by_name):
    boxes = districts(*((left, 0, left + 1, 1) for left in range(10))).geometry
    columns = {"NAME": [f"a{min(row, different - 1)}" for row in range(10)], "zone_id": range(20, 30)}
    assert (read_areas(gpd.GeoDataFrame(columns, geometry=boxes))["area"][0] == "a0") is by_name


def test_keys_of_rows_name_areas_that_have_nothing_else():
    boxes = districts((0, 0, 1, 1), (1, 0, 2, 1)).geometry.to_numpy()
    keyed = gpd.GeoDataFrame(geometry=boxes, index=pd.Index([8, 3], name="key"))
    assert read_areas(keyed)["area"].tolist() == ["8", "3"]


def test_overlapping_parts_of_an_area_are_united():
    twice = shapely.MultiPolygon([shapely.box(0, 0, 4, 4), shapely.box(1, 1, 3, 3)])
    assert read_areas(gpd.GeoDataFrame(geometry=[twice], crs=32633)).area.tolist() == [16]


def test_areas_in_metres_without_a_crs_are_refused(damage_map, tmp_path):
    HALVES.set_crs(None, allow_override=True).to_file(tmp_path / "d.geojson")
    with raises_naming(InputError, "d.geojson"):
        find_areas(tmp_path / "d.geojson", damage_map.buildings)


def test_areas_smaller_than_a_pixel_have_their_share_of_its_people():
    people = Layer.open(np.array([[1000, 400], [200, np.nan]], np.float32), grid=make_grid(size_px=2, gsd_m=1000.0))
    west, north = people.grid.affine.c, people.grid.affine.f
    boxes = [
        (0, -250, 250, 0),
        (500, -1500, 1500, -500),
        (-700, -600, 300, 900),
        (5000, -9, 5009, 0),
        (1200, -1900, 1700, -1200),
    ]
    frame = gpd.GeoDataFrame(
        geometry=[shapely.box(west + a, north + b, west + c, north + d) for a, b, c, d in boxes],
        crs=people.grid.crs.proj,
    )
    expected = [1000 / 16, 250 + 100 + 50, 1000 * 0.3 * 0.6, np.nan, 0]
    np.testing.assert_allclose(sums_by_share(people, frame), expected)


def test_people_of_large_areas_are_those_of_exact_coverage():
    exactextract = pytest.importorskip("exactextract")
    rng = np.random.default_rng(0)
    people = Layer.open(
        rng.integers(0, 50, (2100, 1300)).astype(np.float32), grid=make_grid(size_px=2100, gsd_m=1.0)[:, :1300]
    )
    west, north = people.grid.affine.c, people.grid.affine.f
    shapes = [
        shapely.Point(west + x, north - y).buffer(r) for x, y, r in ((650, 1000, 600), (1020, 1025, 9.3), (3, 2095, 40))
    ]
    frame = gpd.GeoDataFrame({"id": range(3)}, geometry=shapes, crs=people.grid.crs.proj)
    bounds = {"xmin": west, "ymin": north - 2100, "xmax": west + 1300, "ymax": north}
    source = exactextract.raster.NumPyRasterSource(people.read()[0][0], **bounds, srs_wkt=frame.crs.to_wkt())
    right = [row["properties"]["sum"] for row in exactextract.exact_extract(source, frame, "sum")]
    np.testing.assert_allclose(sums_by_share(people, frame), right, rtol=1e-6)


def test_hexagons_of_h3_hold_every_building_once(damage_map):
    h3 = pytest.importorskip("h3", reason="needs pip install deepnets4eo[h3]")
    areas = find_areas("h3:12", damage_map.buildings)
    assert np.bincount(areas.building, minlength=60).tolist() == [1] * 60
    middles = damage_map.buildings.geometry.representative_point().to_crs(4326)
    cells = [h3.latlng_to_cell(point.y, point.x, 12) for point in middles]
    named = dict(zip(areas.building.tolist(), areas.frame["area"].to_numpy()[areas.area], strict=True))
    assert np.mean([named[row] == cell for row, cell in enumerate(cells)]) > 0.9  # edges are straight on another plane
    assert count_areas(damage_map.buildings, areas)["buildings"].sum() == 60


def test_people_are_exposed_in_the_share_of_damaged_buildings(damage_map):
    grid = make_grid(size_px=16, gsd_m=8.0)
    people = Layer.open(np.full((1, 16, 16), 2.0, np.float32), grid=grid)
    rows = count_areas(damage_map.buildings, find_areas(HALVES, damage_map.buildings), damage_map.estimates, people)
    assert rows["people"].tolist() == [256.0, 256.0]
    np.testing.assert_allclose(rows["people_exposed"], rows["share"] * 256, rtol=1e-4)
    assert (rows["people_exposed_low"] <= rows["people_exposed"]).all()
    below = Layer.open(np.full((1, 16, 16), -1.0, np.float32), grid=grid)
    with pytest.raises(InputError, match="negative numbers of people"):
        count_areas(damage_map.buildings, find_areas(HALVES, damage_map.buildings), None, below)


def test_thousands_of_areas_take_no_time(damage_map):
    x, y = np.meshgrid(np.arange(WEST, EAST, 1.28), np.arange(SOUTH, NORTH, 1.28))
    cells = districts(*np.column_stack([x.ravel(), y.ravel(), x.ravel() + 1.28, y.ravel() + 1.28]))
    rows = count_areas(damage_map.buildings, find_areas(cells, damage_map.buildings), damage_map.estimates)
    assert len(rows) == 10_000
    assert rows["damaged"].sum() == pytest.approx(20.0, abs=0.2)


def test_every_product_has_the_areas(damage_map, tmp_path):
    pre, post = make_images(make_grid(), damage_map)
    HALVES.to_file(tmp_path / "districts.gpkg")
    damage_map.add_areas(tmp_path / "districts.gpkg")
    paths = damage_map.save(tmp_path / "out", pre=pre, post=post, also=())
    layer = pyogrio.read_dataframe(paths["damage.gpkg"], layer="areas")
    assert layer["area"].tolist() == ["west", "شرق"]
    with paths["areas.csv"].open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["area"] for row in rows] == ["west", "شرق"]
    assert [float(row["damaged"]) for row in rows] == pytest.approx(layer["damaged"].tolist())
    summary = json.loads(paths["summary.json"].read_text(encoding="utf-8"))
    assert summary["areas"][0]["damaged"] == pytest.approx(layer["damaged"][0])
    assert "areas.csv" in json.loads(paths["manifest.json"].read_text())["outputs"]


def test_areas_in_pixels_count_buildings_in_pixels(damage_map, tmp_path):
    """A GeoJSON states degrees, whatever it holds."""
    buildings = damage_map.buildings.set_crs(None, allow_override=True)
    expected = find_areas(HALVES, damage_map.buildings)
    HALVES.set_crs(None, allow_override=True).to_file(tmp_path / "d.geojson")
    for areas in (tmp_path / "d.geojson", HALVES.set_crs(None, allow_override=True)):
        np.testing.assert_array_equal(find_areas(areas, buildings).building, expected.building)


def test_areas_in_pixels_count_buildings_of_an_image_whose_pixel_size_is_stated(damage_map, tmp_path):
    image = Layer.open(np.zeros((1, 256, 256), np.uint8)).with_gsd(0.5)
    on_earth = make_grid().affine
    in_pixels = HALVES.set_crs(None, allow_override=True)
    in_pixels = in_pixels.set_geometry(transform_shapes(~on_earth, in_pixels.geometry.to_numpy()))
    middles = transform_shapes(image.grid.affine * ~on_earth, damage_map.buildings.geometry.to_numpy())
    buildings = damage_map.buildings.set_crs(None, allow_override=True).set_geometry(middles)
    buildings = buildings.set_crs(image.grid.crs.proj)
    in_pixels.to_file(tmp_path / "d.gpkg")
    expected = find_areas(HALVES, damage_map.buildings)
    check_areas(str(tmp_path / "d.gpkg"), buildings.crs, known=True, pixels=image.grid)
    found = find_areas(tmp_path / "d.gpkg", buildings, image.grid)
    np.testing.assert_array_equal(found.building, expected.building)
    np.testing.assert_array_equal(found.area, expected.area)
    with raises_naming(InputError, "--footprints-crs pixels"):
        find_areas(tmp_path / "d.gpkg", buildings)


def test_areas_that_are_elsewhere_than_the_map_are_refused_before_long_work(damage_map, tmp_path):
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    for crs, areas in ((None, HALVES), (local, HALVES), (local, HALVES.set_crs(None, allow_override=True))):
        buildings = damage_map.buildings.set_crs(crs, allow_override=True)
        with raises_naming(InputError, "damage.gpkg"):
            find_areas(areas, buildings)
        areas.to_file(tmp_path / "d.gpkg")
        with raises_naming(InputError, "damage.gpkg"):
            check_areas(str(tmp_path / "d.gpkg"), buildings.crs, known=True)


def test_what_are_no_areas_is_refused(damage_map, tmp_path):
    points = HALVES.assign(geometry=HALVES.centroid)
    with pytest.raises(InputError, match="the areas hold Point, expected polygons"):
        find_areas(points, damage_map.buildings)
    with raises_naming(InputError, "CRS"):
        find_areas(HALVES.set_crs(None, allow_override=True), damage_map.buildings)
    for words, error in (
        ("grid:0", "side of 10 to"),
        ("grid:x", "side of 10 to"),
        ("h3:16", "a number from 0 to 15"),
        ("h3:-1", "a number from 0 to 15"),
        (str(tmp_path / "no.gpkg"), "does not exist"),
    ):
        with pytest.raises(InputError, match=error):
            check_areas(words)
