"""damage.kml, damage.geojson and damage.csv: in WGS 84, to the letter of their standards, in bounded memory."""

import csv
import json
import sqlite3
import struct
import tracemalloc
from contextlib import closing
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from made_up_map import make_grid, make_map
from refusals import raises_naming

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.products import exchange_formats
from deepnets4eo.damage.products.exchange_formats import write_csv, write_geojson, write_kml, write_tiles
from deepnets4eo.damage.products.write import formats_of
from deepnets4eo.damage.table.vocabulary import UNGRADED, colors
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import EventInfo, Finding

KML = "{http://www.opengis.net/kml/2.2}"
WRITERS = {"damage.kml": write_kml, "damage.geojson": write_geojson, "damage.csv": write_csv}


@pytest.fixture
def damage_map():
    made = make_map(40)
    ring = shapely.box(*made.buildings.geometry.iloc[0].bounds)
    hole = ring.buffer(-2)
    made.buildings.loc[0, "geometry"] = ring.difference(hole)
    made.buildings.loc[1, "geometry"] = shapely.MultiPolygon([ring, shapely.affinity.translate(ring, 40)])
    made.event = EventInfo("Tornado <i>", "Joplin & around")
    made.findings = (Finding("coarse", "caution", {"message": "Pixels are large.", "remedy": "Give finer ones."}),)
    return made


@pytest.mark.parametrize("epsg", [32615, 4326])
@pytest.mark.parametrize("name", ["damage.kml", "damage.geojson"])
def test_outlines_come_back_in_wgs84(name, epsg, tmp_path):
    made = make_map(40, grid=make_grid(epsg=epsg))
    path = WRITERS[name](made, tmp_path / name)
    layers = [gpd.read_file(path, layer=layer) for layer, _ in pyogrio.list_layers(path)]
    column = "Name" if name.endswith("kml") else "id"
    back = {key: shape for frame in layers for key, shape in zip(frame[column], frame.geometry, strict=True)}
    expected = made.buildings.to_crs(4326)
    assert set(back) == set(expected["id"])
    for key, shape in zip(expected["id"], expected.geometry, strict=True):
        np.testing.assert_allclose(shapely.bounds(shapely.force_2d(back[key])), shape.bounds, rtol=0, atol=6e-8)


def test_geojson_follows_rfc_7946(damage_map, tmp_path):
    text = write_geojson(damage_map, tmp_path / "damage.geojson").read_text(encoding="utf-8")
    collection = json.loads(text)
    assert collection["type"] == "FeatureCollection"
    assert "crs" not in collection
    assert collection["event"] == damage_map.event.to_dict()
    assert collection["findings"][0]["code"] == "coarse"
    assert len(collection["caveats"]) > 3
    kinds = set()
    for feature in collection["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        kinds.add(shape.geom_type)
        for part in shapely.get_parts(shape):
            assert part.exterior.is_ccw
            assert not any(hole.is_ccw for hole in part.interiors)
        xy = shapely.get_coordinates(shape)
        np.testing.assert_array_equal(xy, np.round(xy, 7))
    assert kinds == {"Polygon", "MultiPolygon"}
    properties = [feature["properties"] for feature in collection["features"]]
    assert [row["id"] for row in properties] == damage_map.buildings["id"].tolist()
    missing = next(row for row in properties if row["status"] == "not_assessed")
    assert missing["damage"] is missing["damage_prob"] is missing["confidence"] is None
    assert missing["reason"]


def test_a_building_on_the_antimeridian_is_cut(tmp_path):
    made = make_map(1, assessed=1.0)
    over = gpd.GeoSeries([shapely.box(-6_000, 0, 6_000, 6_000)], crs="+proj=aeqd +lat_0=-17 +lon_0=180 +units=m")
    made.buildings = made.buildings.set_geometry(over.to_numpy(), crs=over.crs)
    collection = json.loads(write_geojson(made, tmp_path / "damage.geojson").read_text())
    shape = shapely.geometry.shape(collection["features"][0]["geometry"])
    sides = sorted(part.bounds[::2] for part in shapely.get_parts(shape))
    assert [np.round(side, 1).tolist() for side in sides] == [[-180.0, -179.9], [179.9, 180.0]]


def test_a_building_on_the_antimeridian_has_its_position_there(tmp_path):
    made = make_map(3, assessed=1.0)
    sides = [shapely.box(-6_000, 0, 6_000, 6_000), shapely.box(20, 0, 40, 20), shapely.box(-40, 0, -20, 20)]
    over = gpd.GeoSeries(sides, crs="+proj=aeqd +lat_0=-17 +lon_0=180 +units=m")
    made.buildings = made.buildings.set_geometry(over.to_numpy(), crs=over.crs)
    with write_csv(made, tmp_path / "damage.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    both, east, west = (float(row["longitude"]) for row in rows)
    assert abs(both) == pytest.approx(180, abs=1e-5)
    assert (east, west) == (pytest.approx(-179.99972, abs=1e-5), pytest.approx(179.99972, abs=1e-5))


def test_kml_has_a_folder_and_a_light_fill_for_each_grade(damage_map, tmp_path):
    damage_map.buildings.loc[2, "id"] = "a<b & \x01\x1b"
    document = ET.parse(write_kml(damage_map, tmp_path / "damage.kml")).getroot().find(f"{KML}Document")
    assert document.find(f"{KML}name").text == "Building damage: Tornado <i>, Joplin & around"
    description = document.find(f"{KML}description").text
    assert "CAUTION: Pixels are large. Give finer ones." in description
    assert "not validated in the field" in description
    for style in document.findall(f"{KML}Style"):
        red, green, blue = colors()[style.get("id")]
        assert style.find(f"{KML}LineStyle/{KML}color").text == f"ff{blue:02x}{green:02x}{red:02x}"
        assert int(style.find(f"{KML}PolyStyle/{KML}color").text[:2], 16) < 0x60, "the roof stays visible"
    folders = document.findall(f"{KML}Folder")
    assert [folder.find(f"{KML}name").text for folder in folders][:2] == ["Destroyed", "Major damage"]
    marks = [mark for folder in folders for mark in folder.findall(f"{KML}Placemark")]
    assert len(marks) == len(damage_map.buildings)
    assert "a<b & ??" in {mark.find(f"{KML}name").text for mark in marks}
    assert {mark.find(f"{KML}styleUrl").text[1:] for mark in marks} == {*GRADES, UNGRADED}
    by_name = {mark.find(f"{KML}name").text: mark for mark in marks}
    assert len(by_name["way/1000"].findall(f".//{KML}innerBoundaryIs")) == 1
    assert len(by_name["way/1001"].findall(f"{KML}MultiGeometry/{KML}Polygon")) == 2
    row = damage_map.buildings[damage_map.buildings["damage"] == "destroyed"].iloc[0]
    words = by_name[row["id"]].find(f"{KML}description").text
    assert words.startswith(f"Destroyed. Probability of major damage or worse {round(row['damage_prob'], 4)}")
    rest = damage_map.buildings[damage_map.buildings["status"] != "assessed"].iloc[0]
    assert by_name[rest["id"]].find(f"{KML}description").text == f"Not assessed: {rest['reason']}"


def test_csv_has_latitude_and_longitude_and_no_formula(damage_map, tmp_path):
    damage_map.buildings.loc[3, "id"] = "=HYPERLINK(1)"
    with write_csv(damage_map, tmp_path / "damage.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[3]["id"] == "'=HYPERLINK(1)"
    middle = damage_map.buildings.geometry.centroid.to_crs(4326)
    np.testing.assert_allclose([float(row["latitude"]) for row in rows], middle.y, atol=1e-6)
    np.testing.assert_allclose([float(row["longitude"]) for row in rows], middle.x, atol=1e-6)
    assert {row["damage"] for row in rows} == {*GRADES, ""}


def test_every_row_of_the_csv_says_what_is_known_of_the_event(damage_map, tmp_path):
    damage_map.synthetic = True
    damage_map.event = EventInfo(name="=Tornado", location="Joplin", date_post="2011-05-23")
    with write_csv(damage_map, tmp_path / "damage.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    known = {"event": "'=Tornado", "place": "Joplin", "date_post": "2011-05-23", "synthetic": "SYNTHETIC"}
    assert all(row | known == row for row in rows)
    assert not {"date_pre", "credit", "from_files"} & rows[0].keys()
    damage_map.synthetic, damage_map.event = False, EventInfo()
    with write_csv(damage_map, tmp_path / "damage.csv").open(encoding="utf-8", newline="") as stream:
        assert not known.keys() & next(csv.DictReader(stream)).keys()


@pytest.mark.parametrize("name", WRITERS)
def test_pieces_do_not_change_the_file_and_buildings_without_crs_are_refused(name, damage_map, tmp_path, monkeypatch):
    whole = WRITERS[name](damage_map, tmp_path / name).read_bytes()
    monkeypatch.setattr(exchange_formats.pieces, "__defaults__", (7,))
    assert WRITERS[name](damage_map, tmp_path / name).read_bytes() == whole
    if name == "damage.csv":  # which has pixels there
        return
    with raises_naming(InputError, "CRS"):
        WRITERS[name](make_map(3, grid=make_grid(epsg=None)), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_csv_of_a_picture_without_crs_is_in_pixels(tmp_path):
    damage_map = make_map(3, grid=make_grid(epsg=None))
    with write_csv(damage_map, tmp_path / "damage.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    middle = damage_map.buildings.geometry.centroid
    np.testing.assert_allclose([float(row["y"]) for row in rows], middle.y, atol=1e-6)
    np.testing.assert_allclose([float(row["x"]) for row in rows], middle.x, atol=1e-6)
    assert "latitude" not in rows[0]
    assert formats_of(None, None) == ("csv",)


@pytest.mark.parametrize("name", WRITERS)
def test_memory_does_not_grow_with_the_buildings(name, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange_formats.pieces, "__defaults__", (200,))
    peaks = []
    for number in (500, 3000):
        made = make_map(number)
        tracemalloc.start()
        WRITERS[name](made, tmp_path / name)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2500 * 200, "bytes; a building is over 400 bytes of the file"


def test_an_empty_map_is_written(tmp_path):
    made = make_map(3)
    made.buildings = made.buildings.iloc[:0]
    paths = [write(made, tmp_path / name) for name, write in WRITERS.items()]
    assert json.loads(paths[1].read_text())["features"] == []
    assert ET.parse(paths[0]).getroot().tag == f"{KML}kml"
    assert len(paths[2].read_text().splitlines()) == 1


def test_buildings_without_an_outline_have_no_position_and_stop_no_format(tmp_path):
    made = make_map(3)
    ring = shapely.box(*made.buildings.geometry.iloc[0].bounds)
    shapes = [ring, shapely.Polygon(), shapely.box(5e8, 4e6, 5e8 + 10, 4e6 + 10)]  # the last has no degrees in UTM
    made.buildings = made.buildings.set_geometry(gpd.GeoSeries(shapes, made.buildings.index, crs=made.buildings.crs))
    for name, write in WRITERS.items():
        write(made, tmp_path / name)
    with (tmp_path / "damage.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    centre = gpd.GeoSeries([ring.centroid], crs=made.buildings.crs).to_crs(4326).iloc[0]
    assert [float(rows[0][axis]) for axis in ("longitude", "latitude")] == pytest.approx([centre.x, centre.y], abs=1e-6)
    assert [(row["latitude"], row["longitude"]) for row in rows[1:]] == [("", ""), ("", "")]
    features = json.loads((tmp_path / "damage.geojson").read_text(encoding="utf-8"))["features"]
    assert [feature["geometry"] is None for feature in features] == [False, True, True]


@pytest.mark.parametrize("suffix", ["pmtiles", "mbtiles"])
def test_tiles_have_the_grades_and_say_what_they_are(suffix, damage_map, tmp_path):
    path = write_tiles(damage_map, tmp_path / f"damage.{suffix}")
    info = pyogrio.read_info(path)
    assert (info["layer_name"], info["dataset_metadata"]["name"]) == ("buildings", damage_map.title)
    assert "not validated in the field" in info["dataset_metadata"]["description"]
    assert [info["dataset_metadata"][name] for name in ("minzoom", "maxzoom")] == ["14", "15"]
    back = gpd.read_file(path).drop_duplicates("id").set_index("id").to_crs(damage_map.buildings.crs)
    expected = damage_map.buildings.set_index("id")
    assert back["damage"].dropna().to_dict() == expected["damage"].dropna().to_dict()
    assert back.loc[expected.index].centroid.distance(expected.centroid).max() < 2, "metres; outlines are cut at tiles"


@pytest.mark.parametrize("suffix", ["pmtiles", "mbtiles"])
def test_tiles_of_a_town_on_the_antimeridian_open_there(suffix, tmp_path):
    made = make_map(2, assessed=1.0)
    sides = [shapely.box(200, 0, 240, 20), shapely.box(-40, 0, -20, 20)]
    over = gpd.GeoSeries(sides, crs="+proj=aeqd +lat_0=-17 +lon_0=180 +units=m")
    made.buildings = made.buildings.set_geometry(over.to_numpy(), crs=over.crs)
    path = write_tiles(made, tmp_path / f"damage.{suffix}")
    if suffix == "pmtiles":
        lon, lat = np.array(struct.unpack("<ii", path.read_bytes()[119:127])) / 1e7
    else:
        with closing(sqlite3.connect(path)) as database:
            centre = database.execute("SELECT value FROM metadata WHERE name = 'center'").fetchone()[0]
        lon, lat, zoom = map(float, centre.split(","))
        assert zoom == 14
    assert (lon, lat) == (pytest.approx(-179.9990, abs=5e-4), pytest.approx(-17, abs=1e-3))  # of 95 m east
