"""`check`: facts are right, and every trouble is said with its remedy."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import LineString, Polygon, box

from deepnets4eo.inspection import inspect, overlaps
from deepnets4eo.legend import Legend

PLACE = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)}


def write(path: Path, array: np.ndarray, **profile: object) -> str:
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, **profile
    ) as file:
        file.write(array)
    return str(path)


def test_a_sound_raster_has_facts_and_no_problem(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (3, 50, 60)).astype(np.uint8)
    found = inspect(write(tmp_path / "a.tif", array, **PLACE))
    assert found.problems == []
    assert found.facts["size"] == "50 rows × 60 columns × 3 bands of uint8"
    assert found.facts["pixel"] == "0.5 × 0.5 m on the ground"
    assert found.facts["CRS"].startswith("EPSG:32633")


@pytest.mark.parametrize(
    ("array", "profile", "problem"),
    [
        (np.full((1, 9, 9), 7, np.uint8), PLACE, "constant: band_1"),
        (np.zeros((1, 9, 9), np.uint8), PLACE | {"nodata": 0}, "no pixel is valid"),
        (np.full((1, 9, 9), np.nan, np.float32), PLACE, "no pixel is valid"),
        (np.arange(81, dtype=np.uint8).reshape(1, 9, 9), {}, "no CRS"),
        (np.arange(81, dtype=np.uint16).reshape(1, 9, 9), PLACE, "8-bit values"),
    ],
)
def test_what_is_wrong_with_a_raster_is_said(array: np.ndarray, profile: dict, problem: str, tmp_path: Path) -> None:
    assert any(problem in text for text in inspect(write(tmp_path / "a.tif", array, **profile)).problems)


def test_labels_outside_the_legend_are_listed(tmp_path: Path) -> None:
    array = np.array([[[0, 1, 9], [255, 5, 9]]], np.uint8)
    found = inspect(write(tmp_path / "labels.tif", array, **PLACE), Legend.load("isprs"))
    assert any("values [9]" in problem or "values [np.int64(9)]" in problem for problem in found.problems)


def test_a_vector_is_described_and_its_faults_counted(tmp_path: Path) -> None:
    bow_tie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    frame = gpd.GeoDataFrame({"id": [1, 2]}, geometry=[box(0, 0, 10, 10), bow_tie], crs="EPSG:32633")
    frame.to_file(tmp_path / "f.gpkg")
    found = inspect(str(tmp_path / "f.gpkg"))
    assert found.facts["features"].startswith("2: 2 Polygon")
    assert any("1 geometries are invalid" in problem for problem in found.problems)


def test_lines_cannot_serve_as_footprints(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[LineString([(0, 0), (1, 1)])], crs="EPSG:4326").to_file(tmp_path / "lines.geojson")
    assert any("no polygons" in problem for problem in inspect(str(tmp_path / "lines.geojson")).problems)


@pytest.mark.parametrize("name", ["missing.tif", "missing.gpkg", "missing.json"])
def test_a_missing_file_is_a_problem_not_a_crash(name: str, tmp_path: Path) -> None:
    found = inspect(str(tmp_path / name))
    assert found.kind == "unreadable"
    assert "does not exist" in found.problems[0]


def test_overlap_is_said_both_ways_and_its_absence_too(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    far = PLACE | {"transform": Affine(0.5, 0, 900_000, 0, -0.5, 4_000_000)}
    paths = [write(tmp_path / "a.tif", array, **PLACE), write(tmp_path / "b.tif", array, **PLACE)]
    paths.append(write(tmp_path / "far.tif", array, **far))
    lines = overlaps([inspect(path) for path in paths])
    assert f"{paths[1]} covers 100.0% of {paths[0]}" in lines
    assert any("do not overlap" in line and "far.tif" in line for line in lines)


def test_layers_on_one_grid_are_said_in_one_line(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    paths = [write(tmp_path / f"{name}.tif", array, **PLACE) for name in ("image", "dsm", "labels")]
    assert overlaps([inspect(path) for path in paths]) == [f"{', '.join(paths)} lie on one grid."]


@pytest.mark.real_data
def test_the_joplin_footprints_cover_both_images(real_data: Path) -> None:
    joplin = real_data / "joplin"
    found = [inspect(str(joplin / name)) for name in ("pre", "post", "joplin.geojson")]
    assert [item.problems for item in found] == [[], [], []]
    assert any("joplin.geojson covers 100.0%" in line for line in overlaps(found))
