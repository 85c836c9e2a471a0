"""Ids of footprints stay as the file has them, or the reader is told why they could not."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import shapely
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.footprints import Footprints, read_footprints
from deepnets4eo.footprints.ids import make_ids
from deepnets4eo.outputs import Finding, worst_first

UTM = "EPSG:32615"
LARGE = 2**53 + 1  # the first whole number that a 64-bit float cannot hold


def houses(n: int, **columns: Any) -> gpd.GeoDataFrame:
    shapes = [shapely.box(500_000 + 20 * k, 4_000_000, 500_010 + 20 * k, 4_000_008) for k in range(n)]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=UTM)


def feature(number: int, properties: dict | None = None, **members: Any) -> dict[str, Any]:
    x = 10 + number / 1000
    ring = [[x, 40], [x + 0.0001, 40], [x + 0.0001, 40.0001], [x, 40]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", **members, "properties": properties or {"floors": 2}, "geometry": shape}


def geojson(path: Path, features: list[dict]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def ids(found: Footprints) -> list[str]:
    return found.frame["id"].tolist()


def messages(found: Footprints) -> list[str]:
    return [finding.message for finding in found.findings()]


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.parquet"])
def test_large_whole_ids_beside_a_gap_are_not_rounded(tmp_path: Path, name: str) -> None:
    numbers = [LARGE, None, LARGE + 10, 7]
    path = tmp_path / name
    table = houses(4, osm_id=pd.array(numbers, dtype="Int64"))
    if name == "a.geojson":
        geojson(path, [feature(k, {"osm_id": number}) for k, number in enumerate(numbers)])
    elif name == "a.gpkg":
        table.to_file(path)
    else:
        table.to_parquet(path)
        content = pyarrow.parquet.read_table(path)
        plain = {key: value for key, value in content.schema.metadata.items() if key != b"pandas"}
        pyarrow.parquet.write_table(content.replace_schema_metadata(plain), path)
    found = read_footprints(path)
    assert ids(found) == [str(LARGE), "row-2", str(LARGE + 10), "7"]
    assert found.attributes is not None
    assert found.attributes["osm_id"].dropna().tolist() == [LARGE, LARGE + 10, 7]


@pytest.mark.parametrize(("kind", "number"), [(np.float64, 2.0**53), (np.float32, 2.0**24)])
def test_ids_that_floats_have_rounded_are_not_used(kind: type, number: float) -> None:
    found = read_footprints(houses(2, id=np.array([number, 7], kind)))
    assert found.made_ids
    assert ids(found) == ["1", "2"]
    assert "column 'id' contains integers too large" in messages(found)[0]
    assert ids(read_footprints(houses(2, id=np.array([number - 1, 7], kind)))) == [str(int(number) - 1), "7"]
    with raises_naming(InputError, "'id'"):
        read_footprints(houses(2, id=np.array([number, 7], kind)), id_column="id")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1007, 1003, 1001], ["1007", "1003", "1001"]),
        ([0, 1, 2], ["0", "1", "2"]),
        ([LARGE, LARGE + 1, LARGE + 2], [str(LARGE), str(LARGE + 1), str(LARGE + 2)]),
        ([None, 0, 5], ["row-1", "0", "5"]),
        ([5, 5, 7], ["5", "5-2", "7"]),
        ([7, "b", 9], ["7", "b", "9"]),
        (["a", "b", "c"], ["a", "b", "c"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Several features with id")
def test_ids_of_geojson_features_are_used(tmp_path: Path, given: list, expected: list[str]) -> None:
    features = [feature(k, **({} if value is None else {"id": value})) for k, value in enumerate(given)]
    found = read_footprints(geojson(tmp_path / "a.geojson", features))
    assert ids(found) == expected
    assert not found.made_ids
    assert found.renamed == sum(str(value) != name for value, name in zip(given, expected, strict=True))


def test_ids_of_features_in_a_geojson_sequence_are_used(tmp_path: Path) -> None:
    path = tmp_path / "a.geojsonl"
    path.write_text("\n".join(json.dumps(feature(k, id=k)) for k in range(3)) + "\n")
    assert ids(read_footprints(path)) == ["0", "1", "2"]


def test_geojson_features_without_ids_get_row_numbers(tmp_path: Path) -> None:
    plain = read_footprints(geojson(tmp_path / "a.geojson", [feature(k) for k in range(3)]))
    inner = [feature(k, {"part": {"type": "Feature", "id": 7 + k}}) for k in range(3)]
    for found in (plain, read_footprints(geojson(tmp_path / "b.geojson", inner))):
        assert found.made_ids
        assert ids(found) == ["1", "2", "3"]
        assert messages(found) == []


def test_a_column_of_ids_goes_before_feature_ids(tmp_path: Path) -> None:
    features = [feature(k, {"osm_id": 70 + k}, id=1000 + k) for k in range(3)]
    assert ids(read_footprints(geojson(tmp_path / "a.geojson", features))) == ["70", "71", "72"]


@pytest.mark.parametrize("name", ["a.gpkg", "a.gpkg.zip", "a.dat"])
def test_row_keys_of_a_geopackage_are_kept_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.gpkg"
    houses(3).to_file(path, layer="a", SPATIAL_INDEX="NO")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE a SET fid = 203 - fid")
        database.commit()
    if name == "a.gpkg.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(path, path.name)
    else:
        path.rename(tmp_path / name)
    found = read_footprints(tmp_path / name)
    assert sorted(ids(found)) == ["200", "201", "202"]
    assert not found.made_ids


def with_declared_type(path: Path, declared: str, values: list[object]) -> Path:
    """A GeoPackage or SQLite file of houses, whose column osm_id says this type and has these values."""
    driver, key = ("GPKG", "fid") if path.suffix == ".gpkg" else ("SQLite", "ogc_fid")
    houses(len(values), osm_id=list(range(len(values)))).to_file(path, layer="a", driver=driver)
    with closing(sqlite3.connect(path)) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        (made,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'a'").fetchone()
        made = re.sub(r"""(['"]osm_id['"]) \w+""", rf"\1 {declared}", made)
        database.execute("PRAGMA writable_schema = 1")
        database.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'a'", (made,))
        database.commit()
    with closing(sqlite3.connect(path)) as database:
        for number, value in enumerate(values, start=1):
            database.execute(f"UPDATE a SET osm_id = ? WHERE {key} = ?", (value, number))
        database.commit()
    return path


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        *(("a.gpkg", kind) for kind in ("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "FLOAT")),
        *(("a.sqlite", kind) for kind in ("INTEGER", "INT", "SMALLINT")),
    ],
)
def test_ids_are_those_that_a_database_stores_whatever_type_their_column_says(
    tmp_path: Path, name: str, declared: str
) -> None:
    stored = [9876543211, 4294967297, 70000]
    assert ids(read_footprints(with_declared_type(tmp_path / name, declared, stored))) == [
        str(value) for value in stored
    ]


@pytest.mark.parametrize("declared", ["MEDIUMINT", "INTEGER"])
def test_text_in_a_column_of_integers_is_an_id(tmp_path: Path, declared: str) -> None:
    path = with_declared_type(tmp_path / "a.gpkg", declared, ["A12", 7, None])
    assert ids(read_footprints(path)) == ["A12", "7", "row-3"]


def test_row_keys_of_a_file_geodatabase_are_kept(tmp_path: Path) -> None:
    houses(3).to_file(tmp_path / "a.gdb", driver="OpenFileGDB")
    assert not read_footprints(tmp_path / "a.gdb").made_ids


def test_a_column_that_repeats_gives_way_to_row_numbers_and_the_reader_is_told() -> None:
    found = read_footprints(houses(5, id=["a", "a", "b", "b", "b"]))
    assert found.made_ids
    assert messages(found) == [
        "The ids of the footprints are row numbers, because column 'id' contains only 2 different values in 5 rows."
    ]
    assert messages(read_footprints(houses(5, id=["a", "a", "b", "c", "d"])))[0].startswith("Footprints: 1 id was")


def test_a_column_that_repeats_gives_way_to_row_keys_and_the_reader_is_told(tmp_path: Path) -> None:
    houses(3, id=[0, 0, 0]).to_file(tmp_path / "a.gpkg")
    found = read_footprints(tmp_path / "a.gpkg")
    assert ids(found) == ["1", "2", "3"]
    assert messages(found) == [
        "The ids of the footprints are the row keys or feature ids of the file, because column 'id' contains only 1 different "
        "value in 3 rows."
    ]


@pytest.mark.parametrize("columns", [{"id": [0, 0, 0], "osm_id": ["a", "b", "c"]}, {}])
def test_nothing_is_said_where_another_column_serves_or_there_is_none(columns: dict) -> None:
    assert messages(read_footprints(houses(3, **columns))) == []


def test_the_outlines_are_no_column_of_ids() -> None:
    with raises_naming(InputError, "'geometry'"):
        read_footprints(houses(2, id=np.array(["a", "b"])), id_column="geometry")


def test_a_column_of_lists_gives_no_ids(tmp_path: Path) -> None:
    path = geojson(tmp_path / "a.geojson", [feature(k, {"id": [k, 0]}) for k in range(3)])
    found = read_footprints(path)
    assert found.made_ids
    assert ids(found) == ["1", "2", "3"]
    assert messages(found) == ["The ids of the footprints are row numbers, because column 'id' contains lists."]
    with raises_naming(InputError, "'id'"):
        read_footprints(path, id_column="id")


def test_many_equal_ids_are_made_unique_in_little_time() -> None:
    table = gpd.GeoDataFrame({"key": ["a"] * 20_000}, geometry=[None] * 20_000)
    start = time.process_time()
    found = make_ids(table, "key", "test")
    assert time.process_time() - start < 5
    assert len(set(found.texts)) == 20_000
    assert found.texts[[0, 1, -1]].tolist() == ["a", "a-2", "a-20000"]


def test_outlines_that_are_there_twice_are_a_finding() -> None:
    houses = [shapely.box(0, 0, 8, 6), shapely.box(20, 0, 28, 6), shapely.box(0, 6, 8, 12.5)]
    again = shapely.Polygon([(8, 6), (0, 6), (0, 0), (8, 0)])  # the first, from another corner on
    frame = gpd.GeoDataFrame({"id": list("abcd")}, geometry=[*houses, again], crs="EPSG:32615")
    (finding,) = read_footprints(frame).findings()
    assert (finding.code, finding.severity) == ("footprints_repeated", "caution")
    other = Finding("pixel_size_assumed", "caution", {"gsd_m": 0.5})
    assert worst_first((other, finding))[0] == finding, "what makes the counts too high comes first"
    assert finding.values == {"number": 1}
    assert read_footprints(frame[:3]).findings() == ()


def test_rows_of_several_houses_are_a_finding() -> None:
    houses = [shapely.box(x, 0, x + 8, 6) for x in range(0, 800, 20)]
    rows = [shapely.MultiPolygon(houses[:6]), shapely.MultiPolygon(houses[6:8]), *houses[8:10]]
    frame = gpd.GeoDataFrame({"id": list("abcd")}, geometry=rows, crs="EPSG:32615")
    (finding,) = read_footprints(frame).findings()
    assert (finding.code, finding.severity) == ("footprints_of_several_houses", "caution")
    assert finding.values == {"number": 2, "houses": 8}
    apart = gpd.GeoDataFrame(
        geometry=[*houses, shapely.MultiPolygon([houses[0], houses[20]]).buffer(-1)], crs="EPSG:32615"
    )
    assert ("footprints_of_several_houses", "note") in {
        (item.code, item.severity) for item in read_footprints(apart).findings()
    }


def test_a_column_whose_name_ends_with_id_serves_where_all_its_values_differ() -> None:
    centroids = [f"POINT ({number} 0)" for number in range(3)]
    twice, valid = ["p1", "p1", "p2"], [True, False, True]
    table = houses(3, parcel_id=twice, valid=valid, centroid=centroids, EGID=[190_001, 190_002, 190_003])
    found = make_ids(table, None, "a.gpkg")
    assert found.texts.tolist() == ["190001", "190002", "190003"]
    assert not found.made
    assert make_ids(table.drop(columns="EGID"), None, "a.gpkg").made
