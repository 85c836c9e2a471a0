"""Vector files that their libraries choke on: read where that is right, with a note, else refused by name."""

import json
import logging
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet
import pytest
import shapely
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.formats.vectors import Coordinates
from deepnets4eo.grid import EXCHANGED
from deepnets4eo.inspection import inspect

CRS = "EPSG:32615"


def houses(name: str = "Café") -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"id": ["a", "b"], "name": name}, geometry=[shapely.box(0, 0, 8, 6), shapely.box(9, 0, 12, 6)], crs=CRS
    )


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    """A Shapefile in Latin-1 whose .cpg says UTF-8, as many archives have it."""
    houses().to_file(tmp_path / "houses.shp", encoding="ISO-8859-1")
    (tmp_path / "houses.cpg").write_text("UTF-8")
    return tmp_path / "houses.shp"


def test_a_shapefile_in_another_encoding_than_it_states_is_read_and_said(latin: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        footprints = read_footprints(latin)
    assert footprints.attributes is not None
    assert footprints.attributes["name"].tolist() == ["Café", "Café"]
    assert "houses.shp holds text that is not in the encoding it states" in caplog.text


def test_check_reads_it_too_and_names_the_problem(latin: Path) -> None:
    found = inspect(str(latin))
    assert found.facts["features"] == "2: 2 Polygon"
    assert any("not in the encoding it states" in problem for problem in found.problems)


def test_a_shapefile_in_the_encoding_it_states_has_no_such_note(tmp_path: Path, caplog) -> None:
    houses().to_file(tmp_path / "a.shp", encoding="UTF-8")
    assert read_footprints(tmp_path / "a.shp").attributes["name"].tolist() == ["Café", "Café"]
    assert caplog.text == ""


def damage_geo(path: Path, change) -> None:
    """Write a GeoParquet file whose description of the geometry is changed."""
    houses().to_parquet(path)
    table = pyarrow.parquet.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    change(geo)
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo).encode()}), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda geo: geo["columns"]["geometry"].update(crs={"type": "ProjectedCRS"}),
        lambda geo: geo["columns"]["geometry"].update(crs=7),
        lambda geo: geo.update(columns=3),
        lambda geo: geo.update(primary_column=["geometry"]),
        lambda geo: geo["columns"]["geometry"].update(encoding="point"),
    ],
)
def test_geoparquet_with_a_damaged_description_is_refused_by_name(change, tmp_path: Path) -> None:
    damage_geo(tmp_path / "a.parquet", change)
    with raises_naming(InputError, "a.parquet"):
        read_footprints(tmp_path / "a.parquet")
    assert inspect(str(tmp_path / "a.parquet")).kind == "unreadable"


def test_geoparquet_with_damaged_geometries_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    houses().to_parquet(path)
    table = pyarrow.parquet.read_table(path)
    place = table.column_names.index("geometry")
    cells = [cell[:20] for cell in table.column(place).to_pylist()]
    pyarrow.parquet.write_table(table.set_column(place, table.schema.field(place), pyarrow.array(cells)), path)
    with raises_naming(InputError, "a.parquet"):
        read_footprints(path)


def test_check_explains_broken_xbd_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for xy in (3, [{}], [{"properties": 1}]):
        path.write_text(json.dumps({"features": {"xy": xy}}))
        found = inspect(str(path))
        assert found.kind == "unreadable"
        assert "a feature lacks what it should have" in found.problems[0]
    path.write_text(
        json.dumps({"features": {"xy": [{"wkt": "POINT (0 0)", "properties": {"uid": "b", "subtype": ["a"]}}]}})
    )
    assert inspect(str(path)).facts["grades"] == {"['a']": 1}


def test_a_crs_that_there_is_not_is_refused_with_the_option(tmp_path: Path) -> None:
    with raises_naming(InputError, "'EPSG:x'", "CRS", "PROJ", "--footprints-crs"):
        read_footprints(houses(), assume_crs="EPSG:x")


@pytest.mark.skipif(os.name != "posix", reason="names of files are text on this system")
def test_a_name_that_is_no_text_ends_in_a_message(tmp_path: Path, capfd) -> None:
    houses().to_file(tmp_path / "a.gpkg")
    odd = (tmp_path / "a.gpkg").rename(tmp_path / os.fsdecode(b"na\xefve.gpkg"))
    assert main(["check", str(odd)]) in (0, 2)
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(("beyond", "named"), [(5, False), (6, True)])
def test_coordinates_are_no_degrees_if_most_outlines_lie_off_the_earth(beyond: int, named: bool) -> None:
    """Of ten outlines, next to rows without one."""
    in_metres = np.arange(10) < beyond
    west, south = np.where(in_metres, 500_000, 15.0), np.where(in_metres, 4_000_000, 36.0)
    shapes = [*shapely.box(west, south, west + 0.1, south + 0.1), *[None] * 4]
    problem = Coordinates(gpd.GeoDataFrame(geometry=shapes, crs="EPSG:4326")).problem()
    assert ("but reach from (15, 36) to (500000, 4e+06)" in problem) is named
    assert Coordinates(gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32633")).problem() == ""


@pytest.mark.parametrize(
    ("corner", "exchanged"),
    [((36.0, 150.0), True), ((-90.0, -180.0), True), ((95.0, 150.0), False), ((36.0, 190.0), False)],
)
def test_degrees_that_fit_only_the_other_way_round_are_named_exchanged(
    corner: tuple[float, float], exchanged: bool
) -> None:
    """A latitude, then a longitude that is no latitude."""
    outline = shapely.Point(corner).buffer(1e-6)
    inside = shapely.intersection(outline, shapely.box(-90, -180, 90, 180))
    table = gpd.GeoDataFrame(geometry=[outline if inside.is_empty else inside], crs="EPSG:4326")
    assert (EXCHANGED in Coordinates(table).problem()) is exchanged
