"""Footprints of every format and every kind of trouble."""

from __future__ import annotations

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.footprints import Footprints, read_footprints, read_table
from deepnets4eo.footprints.ids import make_ids
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import PLAIN_METRES

UTM = "EPSG:32615"


def houses(n: int = 3, crs: str | None = UTM, **columns: list) -> gpd.GeoDataFrame:
    shapes = [shapely.box(500_000 + 20 * k, 4_000_000, 500_010 + 20 * k, 4_000_008) for k in range(n)]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=crs)


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb", "a.parquet"])
def test_every_format_gives_the_same_outlines_and_ids(tmp_path: Path, name: str) -> None:
    table = houses(osm_id=[11, 12, 13], damage=["x", "y", "z"])
    path = tmp_path / name
    if name.endswith(".parquet"):
        table.to_parquet(path)
    else:
        (table.to_crs(4326) if name.endswith(".geojson") else table).to_file(path)
    found = read_footprints(path).to(UTM)
    order = np.argsort(found.frame["id"])
    assert found.frame["id"].iloc[order].tolist() == ["11", "12", "13"]
    assert not found.made_ids
    assert found.repaired == 0
    assert found.dropped == {}
    assert list(found.frame.columns) == ["id", "geometry"]
    assert found.attributes is not None
    assert found.attributes["damage"].iloc[order].tolist() == ["x", "y", "z"]
    expected = table.geometry.to_numpy()
    assert shapely.area(shapely.symmetric_difference(found.frame.geometry.to_numpy()[order], expected)).max() < 1e-3


def test_xbd_labels_give_degrees_and_pixels_joined_on_uid(tmp_path: Path) -> None:
    def feature(uid: str, wkt: str) -> dict:
        return {"properties": {"feature_type": "building", "subtype": "destroyed", "uid": uid}, "wkt": wkt}

    ground = [
        feature("u1", "POLYGON ((-94.5 37, -94.4999 37, -94.4999 37.0001, -94.5 37))"),
        feature("u2", "POLYGON ((-94.4 37, -94.3999 37, -94.3999 37.0001, -94.4 37))"),
    ]
    pixels = [feature("u2", "POLYGON ((20 2, 30 2, 30 9, 20 2))"), feature("u1", "POLYGON ((1 2, 9 2, 9 9, 1 2))")]
    path = tmp_path / "joplin_post.json"
    path.write_text(json.dumps({"metadata": {"gsd": 2.0}, "features": {"lng_lat": ground, "xy": pixels}}))
    found = read_footprints(path)
    assert found.frame["id"].tolist() == ["u1", "u2"]
    assert found.crs.to_epsg() == 4326
    assert found.attributes is not None
    assert found.attributes["subtype"].tolist() == ["destroyed"] * 2
    plain = GeoBox((64, 64), Affine.identity(), None)
    assert shapely.bounds(found.in_pixels(plain)).tolist() == [[1, 2, 9, 9], [20, 2, 30, 9]]


def test_xbd_labels_of_an_empty_image_are_refused_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_text(json.dumps({"features": {"lng_lat": [], "xy": []}, "metadata": {}}))
    with pytest.raises(InputError, match="empty"):
        read_footprints(path)


def test_xbd_label_without_uid_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"features": {"xy": [{"properties": {}, "wkt": "POINT (0 0)"}]}}))
    with pytest.raises(InputError, match="uid"):
        read_footprints(path)


def test_invalid_outlines_are_mended_and_counted() -> None:
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    spike = shapely.Polygon([(0, 0), (2, 0), (2, 2), (1, 2), (1, 5), (1, 2), (0, 2)])
    table = gpd.GeoDataFrame(geometry=[bow, spike, shapely.box(0, 0, 1, 1)], crs=UTM)
    found = read_footprints(table)
    assert found.repaired == 2
    assert found.frame.geometry.is_valid.all()
    assert found.frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"]).all()
    np.testing.assert_allclose(found.frame.geometry.area, [2.0, 4.0, 1.0])


def test_rows_without_area_are_dropped_by_reason_and_the_rest_stays() -> None:
    shapes = [
        shapely.box(0, 0, 1, 1),
        None,
        shapely.Point(1, 1),
        shapely.Polygon([(0, 0), (1, 1), (2, 2)]),
        shapely.Polygon(),
        shapely.Polygon([(0, 0), (np.nan, 0), (1, 1)]),
    ]
    found = read_footprints(gpd.GeoDataFrame({"id": list("abcdef")}, geometry=shapes, crs=UTM))
    assert found.frame["id"].tolist() == ["a"]
    assert found.dropped == {"empty geometry": 2, "not a polygon": 1, "no area": 1, "coordinates not finite": 1}
    assert found.attributes is not None
    assert len(found.attributes) == 1


@pytest.mark.parametrize("farthest", [2e9, 1e300])
def test_coordinates_beyond_the_earth_are_dropped_by_row_with_the_reason(farthest: float) -> None:
    shapes = [shapely.box(0, 0, 9, 9), shapely.box(-farthest, -farthest, farthest, farthest), shapely.box(9, 0, 12, 5)]
    found = read_footprints(gpd.GeoDataFrame({"id": list("abc")}, geometry=shapes, crs=UTM))
    assert found.frame["id"].tolist() == ["a", "c"]
    assert found.dropped == {"coordinates beyond the Earth": 1}


def test_outlines_where_the_projection_has_no_degrees_are_dropped_by_row_with_the_reason() -> None:
    far = shapely.box(5e8, 4e6, 5e8 + 10, 4e6 + 10)  # metres that are far less than a billion, but no place in UTM
    at_the_edge = shapely.box(-500_000, 0, -499_990, 10)
    shapes = [shapely.box(500_000, 4e6, 500_009, 4e6 + 9), far, shapely.MultiPolygon([far, at_the_edge]), at_the_edge]
    found = read_footprints(gpd.GeoDataFrame({"id": list("abcd")}, geometry=shapes, crs=UTM))
    assert found.frame["id"].tolist() == ["a", "d"]
    assert found.dropped == {"coordinates beyond the Earth": 2}
    local = gpd.GeoDataFrame({"id": ["a"]}, geometry=[far], crs='LOCAL_CS["site",UNIT["metre",1]]')
    assert read_footprints(local).frame["id"].tolist() == [
        "a"
    ]  # a CRS without any place on the Earth has no such limit


def test_a_few_rows_of_impossible_degrees_are_dropped_and_the_rest_stays() -> None:
    house = shapely.box(9.0, 47.0, 9.001, 47.001)
    shapes = [house, shapely.box(500_000, 47.0, 500_010, 47.1), house, shapely.box(9.0, 95.0, 9.1, 95.1), house]
    found = read_footprints(gpd.GeoDataFrame({"id": list("abcde")}, geometry=shapes, crs=4326))
    assert found.frame["id"].tolist() == ["a", "c", "e"]
    assert found.dropped == {"coordinates beyond the Earth": 2}


def test_pixels_of_a_label_file_that_no_image_has_are_no_outline(tmp_path: Path) -> None:
    def feature(uid: str, wkt: str) -> dict:
        return {"properties": {"feature_type": "building", "subtype": "destroyed", "uid": uid}, "wkt": wkt}

    ground = [feature(uid, "POLYGON ((-94.5 37, -94.4999 37, -94.4999 37.0001, -94.5 37))") for uid in ("u1", "u2")]
    pixels = [feature("u1", "POLYGON ((1 2, 9 2, 9 9, 1 2))"), feature("u2", "POLYGON ((1 2, 9e30 2, 9 9, 1 2))")]
    path = tmp_path / "far_post.json"
    path.write_text(json.dumps({"metadata": {"gsd": 2.0}, "features": {"lng_lat": ground, "xy": pixels}}))
    found = read_footprints(path)
    assert found.pixels is not None
    assert shapely.is_empty(found.pixels).tolist() == [False, True]


def test_multipolygons_and_holes_are_kept() -> None:
    two = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)])
    court = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior.coords, [shapely.box(3, 3, 6, 6).exterior.coords])
    mixed = shapely.GeometryCollection([shapely.box(0, 0, 2, 2), shapely.LineString([(0, 0), (9, 9)])])
    found = read_footprints(gpd.GeoDataFrame(geometry=[two, court, mixed], crs=UTM))
    assert found.frame.geometry.geom_type.tolist() == ["MultiPolygon", "Polygon", "Polygon"]
    np.testing.assert_allclose(found.frame.geometry.area, [2, 72, 4])


def test_overlapping_parts_are_united() -> None:
    overlapping = shapely.GeometryCollection([shapely.box(0, 0, 4, 4), shapely.box(2, 2, 6, 6)])
    found = read_footprints(gpd.GeoDataFrame(geometry=[overlapping], crs=UTM))
    assert found.frame.geometry.is_valid.all()
    np.testing.assert_allclose(found.frame.geometry.area, [28])


ROUND = [(0, 0), (10, 0), (10, 10), (4, 10), (4, 4), (14, 4), (14, 6), (6, 6), (6, 8), (0, 8)]  # crosses itself


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (shapely.MultiPolygon([shapely.box(1, 1, 11, 9), shapely.box(0.5, 0.5, 11.5, 9.5)]), 99),  # a floor and its eaves
        (shapely.MultiPolygon([shapely.box(0, 0, 10, 8), shapely.box(5, 4, 15, 12)]), 140),
        (shapely.MultiPolygon([shapely.box(0, 0, 10, 8), shapely.box(0, 0, 10, 8)]), 80),
        (shapely.GeometryCollection([shapely.MultiPolygon([shapely.box(0, 0, 4, 4), shapely.box(1, 1, 3, 3)])]), 16),
        (shapely.Polygon(ROUND), 100),
        (shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(3, 3, 6, 6).exterior, shapely.box(3, 3, 5, 7).exterior]), 70),
        (shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(0, 0, 9, 9).exterior]), 81),
    ],
)  # fmt: skip
def test_parts_and_rings_that_overlap_are_one_area_and_holes_stay_holes(shape: shapely.Geometry, area: float) -> None:
    (mended,) = read_footprints(gpd.GeoDataFrame(geometry=[shape], crs=UTM)).frame.geometry
    assert mended.is_valid
    assert mended.area == pytest.approx(area)


def test_heights_are_flattened(tmp_path: Path) -> None:
    table = houses(1)
    table["geometry"] = shapely.force_3d(table.geometry.to_numpy(), 12.0)
    table.to_file(tmp_path / "z.gpkg")
    assert not read_footprints(tmp_path / "z.gpkg").frame.geometry.has_z.any()


@pytest.mark.parametrize("shape", [shapely.LineString([(0, 0), (1, 1)]), shapely.Point(3, 4)])
def test_lines_and_points_are_refused_by_name(shape: shapely.Geometry) -> None:
    with raises_naming(InputError, shape.geom_type):
        read_footprints(gpd.GeoDataFrame(geometry=[shape], crs=UTM))


def test_empty_layer_is_refused(tmp_path: Path) -> None:
    houses(1).iloc[:0].to_file(tmp_path / "none.gpkg")
    with pytest.raises(InputError, match="empty: no features"):
        read_footprints(tmp_path / "none.gpkg")


def test_unknown_crs_is_refused_with_the_remedy_and_can_be_assumed(tmp_path: Path) -> None:
    houses(2).to_file(tmp_path / "a.shp")
    (tmp_path / "a.prj").unlink()
    with raises_naming(InputError, "CRS", "--footprints-crs"):
        read_footprints(tmp_path / "a.shp")
    assert read_footprints(tmp_path / "a.shp", assume_crs=UTM).crs.to_epsg() == 32615


def test_geojson_in_metres_that_claims_degrees_is_refused(tmp_path: Path) -> None:
    houses(1, crs=None).to_file(tmp_path / "a.geojson")
    with pytest.raises(InputError, match="degrees"):
        read_footprints(tmp_path / "a.geojson")
    assert read_footprints(tmp_path / "a.geojson", assume_crs=UTM).crs.to_epsg() == 32615


@pytest.mark.parametrize("place", [(12.5, 41.9), (-95.4, 29.8)])  # latitude −95 is none
def test_exchanged_longitudes_and_latitudes_are_named(tmp_path: Path, place: tuple[float, float]) -> None:
    x, y = place
    grid = GeoBox((100, 100), Affine(1e-5, 0, x, 0, -1e-5, y + 1e-3), "EPSG:4326")
    right = gpd.GeoDataFrame(geometry=[shapely.box(x, y, x + 1e-4, y + 1e-4)], crs=4326)
    read_footprints(right).check_inside(grid, "post.tif")
    wrong = right.set_geometry(shapely.transform(right.geometry, lambda xy: xy[:, ::-1]))
    with pytest.raises((InputError, GridError), match="longitude and latitude seem to be exchanged"):
        read_footprints(wrong).check_inside(grid, "post.tif")
    elsewhere = right.translate(2, 0).to_frame("geometry")
    with raises_naming(GridError, "post.tif", "CRS"):
        read_footprints(elsewhere).check_inside(grid, "post.tif")


def test_outlines_in_pixels_lie_where_a_georeferenced_image_has_these_pixels() -> None:
    grid = GeoBox((100, 100), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_010), UTM)
    table = gpd.GeoDataFrame(geometry=[shapely.box(2, 3, 8, 9)])
    for one in (table, table.set_crs("EPSG:4326")):
        found = read_footprints(one, assume_crs="pixels", image=grid)
        assert found.crs.to_epsg() == 32615
        assert shapely.bounds(found.frame.geometry.to_numpy()).tolist() == [
            [500_001, 4_000_005.5, 500_004, 4_000_008.5]
        ]
        assert shapely.bounds(found.in_pixels(grid)).tolist() == [[2, 3, 8, 9]]


def test_outlines_in_pixels_of_no_image_fit_one_without_crs_only() -> None:
    table = gpd.GeoDataFrame(geometry=[shapely.box(2, 3, 8, 9)])
    found = read_footprints(table, assume_crs="pixels")
    plain = GeoBox((16, 16), Affine.identity(), None)
    assert shapely.bounds(found.in_pixels(plain)).tolist() == [[2, 3, 8, 9]]
    with raises_naming(GridError, "CRS"):
        found.in_pixels(GeoBox((16, 16), Affine.identity(), UTM))
    with raises_naming(GridError, "CRS"):
        read_footprints(houses(1)).in_pixels(plain)


def test_in_pixels_puts_rows_down_and_columns_right() -> None:
    grid = GeoBox((100, 100), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_010), UTM)
    assert shapely.bounds(read_footprints(houses(1)).in_pixels(grid)).tolist() == [[0, 4, 20, 20]]


def test_several_layers_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "city.gpkg"
    houses(2).to_file(path, layer="roofs")
    houses(3).to_file(path, layer="parcels")
    gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=UTM).to_file(path, layer="trees")
    with pytest.raises(InputError, match="several layers: roofs, parcels"):
        read_footprints(path)
    assert len(read_footprints(path, layer="parcels")) == 3
    with raises_naming(InputError, "'houses'"):
        read_footprints(path, layer="houses")


def test_the_only_polygon_layer_is_found_beside_points_and_styles(tmp_path: Path) -> None:
    path = tmp_path / "city.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=UTM).to_file(path, layer="trees")
    houses(2).to_file(path, layer="roofs")
    pyogrio.write_dataframe(gpd.pd.DataFrame({"styleName": ["a"]}), path, layer="layer_styles")
    assert len(read_footprints(path)) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not exist"):
        read_footprints(tmp_path / "nowhere.gpkg")


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb", "a.parquet"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.95])
def test_a_file_cut_short_is_an_input_error(tmp_path: Path, name: str, share: float) -> None:
    table = houses(400, number=list(range(400)))
    path = tmp_path / name
    table.to_parquet(path) if name.endswith(".parquet") else table.to_file(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match="a\\."):
        read_footprints(path)


def test_a_raster_or_text_given_as_footprints_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("hello")
    with pytest.raises(InputError, match="could not be read"):
        read_footprints(path)


def test_antimeridian_outlines_are_cut_not_stretched_round_the_world() -> None:
    fiji = shapely.Polygon([(179.999, -17), (-179.999, -17), (-179.999, -16.999), (179.999, -16.999)])
    beyond = shapely.box(179.5, 10, 180.5, 11)
    found = read_footprints(gpd.GeoDataFrame(geometry=[fiji, beyond], crs="EPSG:4326"))
    np.testing.assert_allclose(found.frame.geometry.area, [0.002 * 0.001, 1.0], rtol=1e-6)
    west, _, east, _ = found.frame.total_bounds
    assert west >= -180
    assert east <= 180
    metres = found.to("EPSG:32760").frame.geometry
    assert metres.is_valid.all()
    assert metres.area.iloc[0] == pytest.approx(0.002 * 111_320 * np.cos(np.radians(17)) * 110.6, rel=0.02)


def test_ids_that_are_all_alike_or_mostly_missing_are_not_used() -> None:
    assert read_footprints(houses(3, id=[0, 0, 0])).frame["id"].tolist() == ["1", "2", "3"]
    found = read_footprints(houses(4, osm_id=[np.nan, np.nan, 5.0, np.nan]))
    assert found.made_ids
    assert found.frame["id"].tolist() == ["1", "2", "3", "4"]


def test_an_id_column_given_by_name_is_used_repaired_and_counted() -> None:
    found = read_footprints(houses(5, key=["a", "a", None, "a-2", "a"]), id_column="key")
    assert found.frame["id"].tolist() == ["a", "a-3", "row-3", "a-2", "a-4"]
    assert found.renamed == 3
    assert not found.made_ids
    with raises_naming(InputError, "'name'"):
        read_footprints(houses(1, key=["a"]), id_column="name")


def test_whole_number_ids_beside_a_gap_stay_whole() -> None:
    assert read_footprints(houses(3, osm_id=[616763436, np.nan, 7])).frame["id"].tolist() == ["616763436", "row-2", "7"]


def test_geopackage_row_keys_are_ids_of_last_resort(tmp_path: Path) -> None:
    houses(2).to_file(tmp_path / "a.gpkg")
    found = read_footprints(tmp_path / "a.gpkg")
    assert found.frame["id"].tolist() == ["1", "2"]
    assert not found.made_ids


@given(st.lists(st.sampled_from(["a", "b", "a-2", "", "a-2-2", "row-1"]), min_size=1, max_size=12))
def test_ids_come_out_unique_and_first_comers_keep_theirs(values: list[str]) -> None:
    ids, made, renamed, _ = make_ids(houses(len(values), key=[value or None for value in values]), "key", "test")
    assert len(set(ids)) == len(values)
    assert not made
    assert renamed == sum(a != b for a, b in zip(ids, values, strict=True))
    for value in set(values) - {""}:
        assert value in set(ids)


def test_footprints_pass_through_unchanged() -> None:
    found = read_footprints(houses(1))
    assert isinstance(found, Footprints)
    assert read_footprints(found) is found


@pytest.mark.real_data
def test_joplin_footprints_read_with_ids_and_microsoft_ones_get_made_ids(real_data: Path) -> None:
    ours = read_footprints(real_data / "joplin" / "footprints_overlap.geojson")
    assert len(ours) == 365
    assert ours.frame["id"].iloc[0] == "jop-0000"
    theirs = read_footprints(real_data / "joplin" / "joplin.geojson")
    assert len(theirs) == 2823
    assert theirs.made_ids


PLAIN = GeoBox((400, 300), Affine.identity(), None)
IN_METRES = GeoBox((400, 300), Affine.scale(0.3), PLAIN_METRES)  # as --gsd 0.3 makes it


def test_outlines_without_crs_are_in_the_pixels_of_an_image_without_one(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame(geometry=[shapely.box(2, 3, 8, 9)])
    table.to_parquet(tmp_path / "a.parquet")
    for source in (table, tmp_path / "a.parquet"):
        found = read_footprints(source, image=PLAIN)
        assert shapely.bounds(found.in_pixels(PLAIN)).tolist() == [[2, 3, 8, 9]]


def test_a_geojson_whose_coordinates_are_no_degrees_is_in_pixels_of_an_image_without_crs(tmp_path: Path) -> None:
    pixels = gpd.GeoDataFrame(geometry=[shapely.box(20, 200, 28, 209), shapely.box(90, 300, 99, 309)], crs="EPSG:4326")
    for name in ("a.geojson", "b.json"):
        (tmp_path / name).write_text(pixels.to_json())
        assert read_footprints(tmp_path / name, image=PLAIN).in_pixels(PLAIN)[0].bounds == (20, 200, 28, 209)
        with pytest.raises(InputError, match="degrees.*pixels"):  # an image with a CRS has its place
            read_footprints(tmp_path / name, image=GeoBox((400, 300), Affine.identity(), UTM))
    pixels.to_file(tmp_path / "a.gpkg")
    with pytest.raises(InputError, match="degrees.*pixels"):
        read_footprints(tmp_path / "a.gpkg", image=PLAIN)


@pytest.mark.parametrize("plain", [PLAIN, IN_METRES], ids=["pixels", "pixels of a stated size"])
@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "table"])
def test_a_stated_crs_is_kept_and_refused_for_an_image_without_one(name: str, plain: GeoBox, tmp_path: Path) -> None:
    table = gpd.GeoDataFrame(geometry=[shapely.box(32.5, 15.6, 32.6, 15.7)], crs="EPSG:4326")
    if name != "table":
        table.to_file(tmp_path / name)
    source = table if name == "table" else tmp_path / name
    with raises_naming(GridError, "CRS", "EPSG:4326", "--footprints-crs"):
        read_footprints(source, image=plain).in_pixels(plain)
    said = read_footprints(source, assume_crs="pixels", image=plain)
    assert said.in_pixels(plain)[0].bounds == pytest.approx((32.5, 15.6, 32.6, 15.7))


def test_geometries_without_a_table_are_refused_in_one_line() -> None:
    boxes = gpd.GeoSeries([shapely.box(0, 0, 8, 6)] * 3, crs="EPSG:32615")
    for source, kind in ((boxes, "GeoSeries"), (boxes.to_frame().rename(columns=str).drop(columns="0"), "DataFrame")):
        with raises_naming(InputError, kind):
            read_footprints(source)


def osm_text(**ways: dict[str, str]) -> str:
    """OpenStreetMap XML of squares side by side, a way each."""
    nodes, parts = [], []
    for k, (name, tags) in enumerate(ways.items()):
        west, corners = 10.068 + 0.0005 * k, ((0, 0), (3, 0), (3, 3), (0, 3))
        refs = [4 * k + n for n in (1, 2, 3, 4, 1)]
        nodes += [
            f'<node id="{4 * k + n}" lat="{48.136 + y * 1e-4}" lon="{west + x * 1e-4}"/>'
            for n, (x, y) in enumerate(corners, 1)
        ]
        text = "".join(f'<nd ref="{ref}"/>' for ref in refs) + "".join(
            f'<tag k="{a}" v="{b}"/>' for a, b in tags.items()
        )
        parts.append(f'<way id="{name[1:]}">{text}</way>')
    return f'<osm version="0.6">{"".join(nodes + parts)}</osm>'


def test_buildings_of_an_openstreetmap_file_have_the_ids_of_their_ways_and_other_areas_are_left_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "site.osm"
    path.write_text(osm_text(w101={"building": "yes"}, w205={"building": "house", "amenity": "cafe"}, w330={"landuse": "grass"}, w331={"building": "no"}))  # fmt: skip
    found = read_footprints(path)
    assert found.frame["id"].tolist() == ["101", "205"]
    assert not found.made_ids
    assert found.dropped == {"no building tag": 2}
    assert any(problem.startswith("2 areas have no building tag") for problem in inspect(str(path)).problems)
    pyogrio.write_dataframe(pyogrio.read_dataframe(path, layer="multipolygons"), tmp_path / "site.gpkg")
    assert read_footprints(tmp_path / "site.gpkg").frame["id"].tolist() == ["101", "205"]


@pytest.mark.parametrize("order", [(4, 3, 2, 1), (-1, -2, -3, -4)])
def test_openstreetmap_files_of_editors_are_read(tmp_path: Path, order: tuple[int, ...]) -> None:
    text = osm_text(w9={"building": "yes"})
    for number, new in enumerate(order, 1):
        text = re.sub(f'(id|ref)="{number}"', rf'\1="n{new}"', text)
    path = tmp_path / "town.osm"
    path.write_text(text.replace('"n', '"'))
    found = read_footprints(path)
    assert found.frame["id"].tolist() == ["9"]
    assert inspect(path).facts["features"] == "1: 1 MultiPolygon"


def test_ways_and_relations_that_lack_nodes_are_left_out_by_reason(tmp_path: Path) -> None:
    ring = '<relation id="5"><member type="way" ref="8" role="outer"/><tag k="type" v="multipolygon"/><tag k="building" v="yes"/></relation>'
    text = osm_text(w7={"building": "yes"}, w8={}, w9={"building": "yes"}).replace("</osm>", f"{ring}</osm>")
    path = tmp_path / "town.osm"
    for lost, left in ((11, ["relation 5", "way 7"]), (7, ["way 7", "way 9"])):
        path.write_text(re.sub(f'<node id="{lost}"[^>]*/>', "", text))
        found = read_footprints(path)
        assert found.dropped == {"nodes not in the file": 1}
        assert found.attributes is not None
        kinds = found.attributes["osm_way_id"].notna().map({True: "way", False: "relation"})
        assert sorted(kinds + " " + found.frame["id"]) == left
    path.write_text(re.sub(r'<node id="(3|7|11)"[^>]*/>', "", text))
    with pytest.raises(InputError, match="nodes"):
        read_footprints(path)


def test_features_that_overpass_turbo_calls_tainted_are_left_out() -> None:
    table = houses(3, crs="EPSG:4326", tainted=[True, None, "false"])
    table = table.set_geometry([shapely.box(k, 0, k + 0.001, 0.001) for k in range(3)], crs=4326)
    assert read_footprints(table).dropped == {"nodes not in the file": 1}


def test_areas_without_a_building_tag_in_an_overpass_export_are_no_buildings() -> None:
    ids = [f"way/{k}" for k in range(4)]
    table = houses(4, **{"@id": ids, "building": ["yes", None, None, "roof"], "leisure": [None, "park", None, None]})
    found = read_footprints(table)
    assert found.frame["id"].tolist() == ["way/0", "way/3"]
    assert found.dropped == {"no building tag": 2}
    with pytest.raises(InputError, match=r'no row with a building tag.*way\["building"\]'):
        read_footprints(houses(2, **{"@id": ids[:2], "landuse": ["grass", "forest"]}))
    assert len(read_footprints(houses(2, **{"@id": ids[:2], "name": ["a", None]}))) == 2


def test_outlines_of_other_sources_without_a_building_tag_stay() -> None:
    mixed = houses(3, osm_id=[7, None, None], building=["yes", None, None], source=["osm", "ml", "ml"])
    assert len(read_footprints(mixed)) == 3
    assert len(read_footprints(houses(2, place=["Joplin", "Joplin"]))) == 2


@pytest.mark.parametrize("with_metadata", [True, False])
def test_geometry_in_parquets_own_type_is_read(with_metadata, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    class Wkb(pa.ExtensionType):
        def __init__(self, text):
            self.text = text
            super().__init__(pa.binary(), "geoarrow.wkb")

        def __arrow_ext_serialize__(self):
            return self.text

    if int(pa.__version__.split(".")[0]) < 21:
        pytest.skip("pyarrow 21 writes this type")
    crs = gpd.GeoSeries([], crs=32615).crs.to_json_dict()
    shapes = shapely.box([0, 20], 0, [10, 35], 10)
    column = pa.ExtensionArray.from_storage(
        Wkb(json.dumps({"crs": crs}).encode()), pa.array(shapely.to_wkb(shapes), pa.binary())
    )
    geo = {"version": "2.0.0", "primary_column": "geometry",
           "columns": {"geometry": {"encoding": "WKB", "geometry_types": [], "crs": crs}}}  # fmt: skip
    table = pa.table({"id": ["a", "b"], "geometry": column})
    if with_metadata:
        table = table.replace_schema_metadata({b"geo": json.dumps(geo).encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    back = read_table(tmp_path / "a.parquet")
    assert back.crs.to_epsg() == 32615
    assert back["id"].tolist() == ["a", "b"]
    assert back.area.tolist() == [100, 150]


def test_advice_on_options_of_gdal_is_left_out_of_messages(tmp_path: Path) -> None:
    houses(1).to_file(tmp_path / "a.shp")
    (tmp_path / "a.shx").unlink()
    with pytest.raises(InputError, match="Unable to open .*Expected a whole file") as refused:
        read_footprints(tmp_path / "a.shp")
    assert "option" not in str(refused.value).replace(str(tmp_path), "")  # the folder has the name of this test


@pytest.mark.parametrize(("whole", "severity"), [(19, "note"), (18, "caution")])
def test_more_than_a_twentieth_of_the_rows_left_out_is_a_caution(whole: int, severity: str) -> None:
    table = houses(whole + 1)
    table.loc[0, "geometry"] = shapely.Polygon()
    (finding,) = read_footprints(table).findings()
    assert (finding.code, finding.severity, finding.values["read"]) == ("footprints_dropped", severity, whole + 1)
