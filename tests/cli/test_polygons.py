"""The verb `polygons` as a user meets it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.grid import whole
from deepnets4eo.polygons import polygonize
from deepnets4eo.rasters import CogWriter, Layer


@pytest.fixture
def labels(tmp_path: Path) -> str:
    grid = GeoBox((64, 64), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), "EPSG:32615")
    image = np.zeros((64, 64), np.uint8)
    image[4:14, 4:24] = 1
    image[40:43, 40:43] = 1
    image[30:60, 2:12] = 3
    with CogWriter(
        tmp_path / "labels.tif", grid, count=1, dtype="uint8", nodata=255, legend=Legend.load("isprs")
    ) as file:
        file.write(whole(grid), image[None])
    return str(tmp_path / "labels.tif")


def test_buildings_come_out_and_only_the_path_is_on_stdout(labels: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out" / "buildings.gpkg"
    options = ["--classes", "building", "--min-area", "10", "--simplify", "0.5", "--right-angles"]
    assert main(["polygons", labels, "--out", str(out), *options]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    found = gpd.read_file(out)
    assert found["class"].tolist() == ["building"]
    assert found["area_m2"].tolist() == [50.0]


def test_classes_go_by_name_or_value_and_all_by_default(labels: str, tmp_path: Path) -> None:
    assert main(["polygons", labels, "--out", str(tmp_path / "a.geojson"), "--classes", "tree, 1"]) == 0
    assert sorted(set(gpd.read_file(tmp_path / "a.geojson")["class"])) == ["building", "tree"]
    assert main(["polygons", labels, "--out", str(tmp_path / "b.parquet")]) == 0
    assert sorted(set(gpd.read_parquet(tmp_path / "b.parquet")["class"])) == ["building", "impervious", "tree"]


def test_existing_files_stay_without_overwrite(labels: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.gpkg"
    out.write_text("precious")
    assert main(["polygons", labels, "--out", str(out)]) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["polygons", labels, "--out", str(out), "--overwrite"]) == 0
    assert len(gpd.read_file(out)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "a.xyz"], "names no vector format"),
        (["--out", "a.gpkg", "--classes", "bilding"], "Did you mean 'building'"),
    ],
)
def test_mistakes_are_explained(labels: str, tmp_path: Path, capsys, options: list[str], message: str) -> None:
    options[1] = str(tmp_path / options[1])
    assert main(["polygons", labels, *options]) == 2
    assert message in capsys.readouterr().err


def test_a_raster_that_does_not_say_its_legend_needs_one_for_names(tmp_path: Path, capsys) -> None:
    grid = GeoBox((8, 8), Affine(1, 0, 0, 0, -1, 8), "EPSG:32615")
    with CogWriter(tmp_path / "plain.tif", grid, count=1, dtype="uint8") as file:
        file.write(whole(grid), np.ones((1, 8, 8), np.uint8))
    command = ["polygons", str(tmp_path / "plain.tif"), "--out", str(tmp_path / "a.gpkg"), "--classes"]
    assert main([*command, "building"]) == 2
    assert "--legend" in capsys.readouterr().err
    assert main([*command, "building", "--legend", "isprs"]) == 0
    assert main([*command, "1", "--overwrite"]) == 0
    assert gpd.read_file(tmp_path / "a.gpkg")["class"].tolist() == ["1"]


def test_label_values_that_the_legend_lacks_are_refused_unless_classes_are_named(tmp_path: Path, capsys) -> None:
    values = np.full((8, 8), 255, np.uint8)
    values[:2], values[3, :3], values[5:, 5] = 1, 77, 9
    labels = write_geotiff(tmp_path / "plain.tif", values, nodata=9)
    out = tmp_path / "a.gpkg"
    command = ["polygons", str(labels), "--out", str(out), "--legend", "isprs"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "plain.tif" in error
    assert "77 (3 px)" in error
    assert " 9 (" not in error
    assert "--classes" in error
    assert not out.exists()
    assert main([*command, "--classes", "building"]) == 0
    assert gpd.read_file(out)["class"].tolist() == ["building"]


def test_values_that_a_legend_maps_to_a_class_are_traced_as_that_class(tmp_path: Path) -> None:
    values = np.zeros((8, 8), np.uint8)
    values[:2], values[4:6] = 1, 200
    frame = polygonize(Layer.open(values), {1: "building"}, legend=replace(Legend.load("isprs"), file_values={200: 1}))
    assert frame["area_m2"].tolist() == [16, 16]


@pytest.mark.parametrize("classes", [[], ["--classes", "change"], ["--classes", "1"]])
def test_a_mask_of_255_is_read_by_its_legend_with_and_without_classes(classes: list[str], tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:6] = 255
    labels = write_geotiff(tmp_path / "mask.tif", mask)
    out = tmp_path / "out.gpkg"
    assert main(["polygons", str(labels), "--out", str(out), "--legend", "change-mask", *classes]) == 0
    frame = gpd.read_file(out)
    assert frame.loc[frame["class"] == "change", "area_m2"].tolist() == [12.0]
