"""Vector files are read when their first bytes are of a harmless format, and reach nothing else."""

import bz2
import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import read_footprints, read_table
from deepnets4eo.formats import vector_file, vectors
from deepnets4eo.formats.unpacking import unpack
from deepnets4eo.grid import Grid
from deepnets4eo.inspection import inspect
from deepnets4eo.osm import OsmRules, read_area
from deepnets4eo.osm.reading import read_features

HOUSES = gpd.GeoDataFrame(
    {"id": [1, 2]}, geometry=[shapely.box(0, 0, 8, 6), shapely.box(20, 0, 30, 9)], crs="EPSG:32615"
)
SECRET = "name,position\nagent,42\n"


def write(path: Path, driver: str | None = None) -> Path:
    """Two houses in a file."""
    if path.suffix == ".parquet":
        HOUSES.to_parquet(path)
    else:
        pyogrio.write_dataframe(HOUSES, path, driver=driver)
    return path


def geojson(**more: object) -> str:
    feature = {
        "type": "Feature",
        "properties": {"id": 1},
        "geometry": shapely.geometry.mapping(shapely.box(0, 0, 1, 1)),
    }
    return json.dumps({"type": "FeatureCollection", **more, "features": [feature]})


def area() -> Grid:
    return GeoBox((64, 64), Affine(1, 0, 0, 0, -1, 64), "EPSG:32615")


def refused(path: Path | str, *words: str) -> None:
    """By footprints, map layers, areas and `check` alike; the message names the file and the words."""
    readers = [read_table, read_area, lambda source: read_features(source, OsmRules.load(), area())]
    for reader in readers:
        with pytest.raises(InputError) as error:
            reader(path)
        for word in (Path(path).name, *words):
            assert word in str(error.value)
    assert main(["check", str(path)]) == 2


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("a.gpkg", None), ("a.geojson", None), ("a.shp", None), ("a.fgb", None), ("a.parquet", None), ("a.kml", "KML"),
        ("a.gml", "GML"), ("a.sqlite", "SQLite"), ("a.gdb", "OpenFileGDB"), ("a.json", "GeoJSON"),
    ],
)  # fmt: skip
def test_the_usual_formats_are_read(tmp_path, name, driver):
    assert len(read_table(write(tmp_path / name, driver))) == 2


@pytest.mark.parametrize("name", ["footprints.geojson", "footprints.gpkg", "footprints.shp"])
def test_a_query_over_another_local_file_brings_no_rows_of_it(tmp_path, name):
    (tmp_path / "secret.csv").write_text(SECRET)
    query = "SELECT *, MakePoint(0, 0) AS g FROM secret"
    path = tmp_path / name
    path.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{tmp_path}/secret.csv</SrcDataSource>'
        f"<SrcSQL dialect='sqlite'>{query}</SrcSQL></OGRVRTLayer></OGRVRTDataSource>"
    )
    refused(path, "OGR VRT", "GeoPackage", "ogr2ogr")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<OGRWFSDataSource><URL>{url}/wfs</URL></OGRWFSDataSource>", "WFS"),
        ('{{"type": "gdal_streamed_alg", "command_line": "gdal vector read {url}/a.geojson"}}', "GDALG"),
        ("<?xml version='1.0'?><WFS_Capabilities><a href='{url}/a'/></WFS_Capabilities>", "XML"),
        ("<!DOCTYPE kml [<!ENTITY a SYSTEM '{url}/a'>]><kml>&a;</kml>", "unknown format"),
        ("name,WKT\na,POINT (0 0)\n", "unknown format"),
        ("<?xml version='1.0' encoding='big5'?><kml></kml>", "XML"),
        ("%PDF-1.7", "PDF"),
        ("", "empty"),
    ],
)  # fmt: skip
def test_other_formats_are_refused_whatever_they_are_called(tmp_path, server, text, word):
    path = tmp_path / "footprints.geojson"
    path.write_text(text.format(url=server.url) if text else "")
    refused(path, word, "GeoPackage", "ogr2ogr")
    assert server.requests == []


@pytest.mark.parametrize(
    "crs",
    [
        '"crs": {{"type": "link", "properties": {{"href": "{url}/crs", "type": "proj4"}}}}',
        '"crs" : {{ "properties": {{"href": "{url}/crs", "type": "proj4"}}, "type": "LINK"}}',
        '"crs": {{"type": "url", "properties": {{"url": "{url}/crs"}}}}',
        '"\\u0063rs": {{"type": "l\\u0069nk", "properties": {{"href": "{url}/crs"}}}}',
    ],
)
def test_geojson_with_a_linked_crs_is_refused_and_fetches_nothing(tmp_path, server, crs):
    path = tmp_path / "footprints.geojson"
    path.write_text(geojson()[:-1] + ", " + crs.format(url=server.url) + "}")
    refused(path, "link", "EPSG:32615")
    assert server.requests == []


def test_a_column_called_crs_or_of_links_is_no_reason_to_refuse(tmp_path):
    path = tmp_path / "roads.geojson"
    named = {"type": "name", "properties": {"name": "EPSG:32615"}}
    path.write_text(geojson(crs=named).replace('"id": 1', '"id": 1, "type": "link", "crs": "link"'))
    assert read_table(path).crs.to_epsg() == 32615


def test_what_a_driver_tries_to_fetch_it_does_not_get(tmp_path, server, monkeypatch):
    """The second wall, for formats that nobody thought of: the check of links is taken away here."""
    monkeypatch.setattr(vectors, "_check_crs_not_linked", lambda *_: None)
    path = tmp_path / "footprints.geojson"
    path.write_text(geojson(crs={"type": "link", "properties": {"href": f"{server.url}/crs", "type": "proj4"}}))
    assert len(read_table(path)) == 1
    assert server.requests == []
    pyogrio.read_info(path)  # and outside of our reading the user's own GDAL is as it was
    assert any("/crs" in line for line in server.requests)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIRTUAL TABLE other USING VirtualOGR('{folder}/secret.csv')",
        "CREATE VIEW other AS SELECT ogr_geocode('Paris') AS g",
        "CREATE VIEW other AS SELECT ogr_datasource_load_layers('{folder}/secret.csv')",
    ],
)
@pytest.mark.parametrize(("name", "driver"), [("a.gpkg", None), ("a.sqlite", "SQLite")])
def test_databases_with_windows_on_other_files_are_refused(tmp_path, statement, name, driver):
    (tmp_path / "secret.csv").write_text(SECRET)
    path = write(tmp_path / name, driver)
    text = statement.format(folder=tmp_path)
    with sqlite3.connect(path) as database:  # written past SQLite, which does not know the module
        database.execute("PRAGMA writable_schema = 1")
        kind = "view" if "VIEW" in text else "table"
        database.execute("INSERT INTO sqlite_master VALUES (?, 'other', 'other', 0, ?)", (kind, text))
    refused(path, "other")


def test_what_a_database_keeps_in_its_journal_is_looked_at_as_well(tmp_path):
    path = write(tmp_path / "a.gpkg")
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE VIEW other AS SELECT ogr_geocode('Paris') AS g")
        database.commit()
        shutil.copytree(tmp_path, tmp_path / "given")  # as it is now: the view is in the journal alone
    assert b"ogr_geocode" not in (tmp_path / "given" / "a.gpkg").read_bytes()
    with raises_naming(InputError, "'other'"):
        read_table(tmp_path / "given" / "a.gpkg")


def test_a_folder_that_is_no_geodatabase_is_refused(tmp_path):
    write(tmp_path / "a.shp")
    (tmp_path / "a00000001.gdbtable").touch()
    refused(tmp_path, "no File Geodatabase")


def packed(path: Path, content: bytes) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, content)
    else:
        path.write_bytes((bz2 if path.suffix == ".bz2" else gzip).compress(content))
    return path


@pytest.mark.parametrize("name", ["a.zip!b.geojson", "a;b.geojson", "a\nb.geojson", "a\tb.geojson"])
def test_names_behind_which_the_library_sees_another_file_are_refused(tmp_path, name):
    """Looked at would be one file, opened the other: a.zip holds a query, and `a` and `ab.geojson` are not what was named."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b.geojson", "<OGRVRTDataSource/>")
    for other in ("a", "ab.geojson", name):
        (tmp_path / other).write_text(geojson())
    with pytest.raises(InputError, match="Rename it"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("suffix", [".zip", ".gz", ".bz2"])
def test_packed_files_are_read(tmp_path, suffix):
    assert len(read_table(packed(tmp_path / f"a.geojson{suffix}", geojson().encode()))) == 1


def test_a_packed_shapefile_is_read_with_its_companions(tmp_path):
    write(tmp_path / "a.shp")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in tmp_path.glob("a.*"):
            if path.suffix != ".zip":
                archive.write(path, f"inner/{path.name}")
    table = read_table(tmp_path / "a.zip")
    assert (len(table), table.crs.to_epsg()) == (2, 32615)


@pytest.mark.parametrize("suffix", [".zip", ".gz", ".bz2"])
def test_a_packed_file_that_unpacks_to_too_much_is_refused_before_it_is_written(tmp_path, suffix):
    path = packed(tmp_path / f"a.osm{suffix}", b"<osm>" + b" " * (1 << 20))
    with (
        raises_naming(InputError, suffix, "100", "000"),
        vector_file(path, 100_000),
    ):
        pass
    with raises_naming(InputError, suffix), unpack(path, plausible_bytes=1 << 16):
        pass


def test_387_bytes_that_unpack_to_400_million_take_no_memory_and_no_disk(tmp_path):
    """In a process of its own that may hold little: what is refused is never unpacked."""
    path = tmp_path / "map.osm.bz2"
    packer = bz2.BZ2Compressor()
    path.write_bytes(b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush())
    code = (
        "import sys, resource; from deepnets4eo.formats.unpacking import unpack; from deepnets4eo.errors import InputError\n"
        "from pathlib import Path; resource.setrlimit(resource.RLIMIT_FSIZE, (80 << 20, 80 << 20))\n"
        "try:\n  with unpack(Path(sys.argv[1])): print('unpacked')\nexcept InputError as error: print(error)"
    )
    printed = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "unpacks to" in printed.stdout


def test_archives_that_lead_out_of_their_folder_or_hold_several_files_are_safe(tmp_path):
    path = tmp_path / "below" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.geojson", geojson())
    assert len(read_table(path)) == 1
    assert not list(tmp_path.rglob("escaped.geojson"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("second.geojson", geojson())
    refused(path, "escaped.geojson", "second.geojson")


@pytest.mark.parametrize(("files", "taken"), [(3, True), (4, False)])
def test_an_archive_holds_as_many_files_as_are_allowed_and_not_one_more(tmp_path, monkeypatch, files, taken):
    monkeypatch.setattr("deepnets4eo.formats.unpacking.MAX_FILES", 3)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.geojson", geojson())
        for number in range(1, files):
            archive.writestr(f"{number}.txt", "")
    if taken:
        assert len(read_table(path)) == 1
    else:
        refused(path, "holds 4 files, more than 3")


def test_a_parquet_file_of_endless_rows_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": pa.array([1] * 1001)}), path)
    vectors._check_parquet(path, "a.parquet", 1 << 20)
    with raises_naming(InputError, "1", "001", "000"):
        vectors._check_parquet(path, "a.parquet", 1 << 20, most_rows=1000)


def test_a_web_address_that_the_user_gave_is_downloaded_and_looked_at(server):
    (server.folder / "a.geojson").write_text(geojson())
    assert len(read_table(f"{server.url}/a.geojson")) == 1
    (server.folder / "b.geojson").write_text("<OGRVRTDataSource/>")
    with raises_naming(InputError, "OGR", "VRT"):
        read_table(f"{server.url}/b.geojson")


@pytest.mark.parametrize(
    "name", ["/vsicurl/http://127.0.0.1:1/a.shp", "WFS:http://127.0.0.1:1", "PG:dbname=a", "s3://a/b.shp"]
)
def test_names_that_only_gdal_understands_are_refused(name):
    with pytest.raises(InputError):
        read_table(name)


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_geojson_that_are_called_a_table_are_read_as_geojson(tmp_path: Path, packed: bool) -> None:
    lines = "\n".join(json.dumps(feature) for feature in json.loads(HOUSES.to_crs(4326).to_json())["features"])
    path = tmp_path / ("houses.csv.gz" if packed else "houses.csv")
    path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    shapes = read_table(path).to_crs(HOUSES.crs).geometry.to_numpy()
    assert shapely.area(shapely.symmetric_difference(shapes, HOUSES.geometry.to_numpy())).max() < 0.01
    assert not (tmp_path / "houses.geojson").exists()


@pytest.mark.parametrize("packed", [False, True])
def test_tables_of_wkt_are_read_with_their_types_and_those_of_open_buildings_in_degrees(
    tmp_path: Path, packed: bool
) -> None:
    lines = ["latitude,longitude,area_in_meters,confidence,geometry,full_plus_code"]
    lines += [
        f'9.5,{1 + n},40.{n},0.7,"POLYGON(({1 + n} 9, {1 + n} 10, {2 + n} 10, {1 + n} 9))",6F{n}' for n in range(3)
    ]
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    table = read_table(path)
    assert table.crs == "EPSG:4326"
    assert list(table.columns) == [
        "latitude",
        "longitude",
        "area_in_meters",
        "confidence",
        "full_plus_code",
        "geometry",
    ]
    assert table["area_in_meters"].tolist() == [40.0, 40.1, 40.2]
    assert table.geometry.bounds["minx"].tolist() == [1, 2, 3]
    assert inspect(str(path)).facts["features"] == "3: 3 Polygon"


def test_other_tables_of_wkt_have_the_crs_that_lies_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    path.write_text('\ufeffname;the_geom;floors;code\n"a; b";POLYGON ((0 0, 0 1, 1 1, 0 0));3;007\n', encoding="utf-8")
    table = read_table(path)
    assert table.crs is None
    assert table.drop(columns="geometry").iloc[0].tolist() == ["a; b", 3, "007"]
    path.with_suffix(".prj").write_text(pyproj.CRS(32631).to_wkt("WKT1_ESRI"))
    assert read_table(path).crs.to_epsg() == 32631
    path.write_text("name,where\na,here\n")
    with raises_naming(InputError, "WKT"):
        read_table(path)


def test_a_geopackage_with_an_undefined_crs_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "local.gpkg")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE gpkg_contents SET srs_id = -1")
        database.execute("UPDATE gpkg_geometry_columns SET srs_id = -1")
    database.close()
    assert read_table(path).crs is None
    plain = GeoBox((64, 64), Affine(1, 0, 0, 0, -1, 64), None)
    (part,) = read_features({"buildings": path}, OsmRules.load(), plain)
    assert len(part.table) == 2
    with raises_naming(InputError, "CRS", "--footprints-crs"):
        read_footprints(path)


def test_geoparquet_gives_layers_and_areas_as_geopackages_do(tmp_path: Path) -> None:
    for name in ("houses.parquet", "houses.gpkg"):
        (part,) = read_features({"buildings": write(tmp_path / name)}, OsmRules.load(), area())
        assert part.table.geometry.area.tolist() == HOUSES.geometry.area.tolist()
        assert part.boxes.tolist() == [list(HOUSES.total_bounds)]
        assert read_area(tmp_path / name).area.tolist() == HOUSES.geometry.area.tolist()


def test_a_database_whose_words_are_no_text_is_refused_wherever_it_is_read(tmp_path: Path) -> None:
    """A flipped bit in the table of contents is no error of SQLite, but of the words that it returns."""
    path = tmp_path / "houses.gpkg"
    gpd.GeoDataFrame({"id": ["a"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326").to_file(path)
    data = path.read_bytes()
    at = data.index(b"CREATE TABLE gpkg_contents")
    path.write_bytes(data[:at] + b"CREATE TABLE gpk\xc6_contents" + data[at + len(b"CREATE TABLE gpkg_contents") :])
    with raises_naming(InputError, "houses.gpkg"), vector_file(path):
        pass
