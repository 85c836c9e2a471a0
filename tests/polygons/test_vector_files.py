"""Vector files: every format whole, under its final name only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.polygons import Shaping, polygonize, regions, write_layers, write_polygons, write_vector
from deepnets4eo.polygons.vector_files import write_tables
from deepnets4eo.rasters import Layer

UTM = "EPSG:32615"


HALF_METRE = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet"])
@pytest.mark.parametrize("empty", [False, True])
def test_every_format_is_written_whole_and_alone(tmp_path: Path, suffix: str, empty: bool) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[4:9, 4:9] = 0 if empty else 1
    frame = polygonize(Layer.open(labels, grid=GeoBox((20, 20), HALF_METRE, UTM)), {1: "building"})
    path = write_vector(frame, tmp_path / f"houses{suffix}")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    back = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path)
    assert len(back) == len(frame)
    if not empty:
        assert back["id"].tolist() == ["1"]
        assert back.to_crs(UTM).geometry[0].symmetric_difference(frame.geometry[0]).area < 1e-3
        assert back.crs.to_epsg() == (4326 if suffix == ".geojson" else 32615)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet"])
@pytest.mark.parametrize("shaping", [Shaping(), Shaping(min_area_m2=1e9), Shaping(right_angles=True)])
def test_polygons_written_part_by_part_make_the_file_of_the_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, shaping: Shaping
) -> None:
    labels = np.random.default_rng(3).integers(0, 3, (40, 30)).astype(np.uint8)
    layer = Layer.open(labels, grid=GeoBox((40, 30), HALF_METRE, UTM))
    frame, out = polygonize(layer, shaping=shaping), tmp_path / f"cover{suffix}"
    whole = write_vector(frame, out).read_bytes()
    monkeypatch.setattr(regions, "GROUP", 50)
    counts = write_polygons(layer, out, shaping=shaping)
    assert counts == frame["class"].value_counts().to_dict()
    if suffix == ".parquet":
        assert_geodataframe_equal(gpd.read_parquet(out), frame)
    else:
        assert out.read_bytes() == whole


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_what_stops_a_table_on_its_way_is_raised_and_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    def tables() -> Iterator[gpd.GeoDataFrame]:
        yield polygonize(Layer.open(np.ones((4, 4), np.uint8)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tables(tables(), tmp_path / f"cover{suffix}")
    assert not list(tmp_path.iterdir())


ROTATED = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +to_meter=0.0174532925199433"


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_a_crs_without_wkt_1_is_written_by_every_door(tmp_path: Path, suffix: str) -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[20:40, 15:45] = 1
    layer = Layer.open(labels, grid=GeoBox((60, 60), Affine(0.001, 0, -3, 0, -0.001, 3), ROTATED))
    frame = polygonize(layer, {1: "one"})
    write_vector(frame, tmp_path / f"whole{suffix}")
    write_polygons(layer, tmp_path / f"parts{suffix}", classes={1: "one"})
    if suffix == ".gpkg":
        write_layers({"one": frame, "other": frame}, tmp_path / "layers.gpkg")
    for path in tmp_path.iterdir():
        back = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path)
        assert back.to_crs(frame.crs).geometry[0].symmetric_difference(frame.geometry[0]).area < 1e-12


def test_outlines_across_the_antimeridian_are_cut_in_geojson(tmp_path: Path) -> None:
    """RFC 7946, section 3.1.9."""
    labels = np.zeros((40, 200), np.uint8)
    labels[10:30, 20:180] = 1
    x, y = Transformer.from_crs(4326, 32701, always_xy=True).transform(-180, -16.8)
    layer = Layer.open(labels, grid=GeoBox((40, 200), Affine(1, 0, x - 100, 0, -1, y), "EPSG:32701"))
    write_vector(polygonize(layer, {1: "one"}), tmp_path / "whole.geojson")
    write_polygons(layer, tmp_path / "parts.geojson", classes={1: "one"})
    for path in sorted(tmp_path.iterdir()):
        back = gpd.read_file(path)
        parts = back.explode().bounds
        assert len(back) == 1
        assert len(parts) == 2
        assert (parts["maxx"] - parts["minx"]).max() < 0.002
        assert back.to_crs(32701).area.sum() == pytest.approx(20 * 160, rel=1e-3)


def test_unknown_suffixes_and_unwritable_folders_are_refused(tmp_path: Path) -> None:
    frame = polygonize(Layer.open(np.ones((4, 4), np.uint8)))
    with raises_naming(InputError, "'.dwg'"):
        write_vector(frame, tmp_path / "a.dwg")
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "folder.gpkg" / "x").touch()
    with raises_naming(OutputError, "folder.gpkg"):
        write_vector(frame, tmp_path / "folder.gpkg")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.gpkg"]


@pytest.mark.parametrize("what", [["polygons"], ["objects", "car"]])
def test_sizes_without_a_crs_are_said_to_be_pixels_and_are_no_geojson(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, what: list[str]
) -> None:
    values = np.zeros((20, 20), np.uint8)
    values[4:9, 4:9] = 4
    for name, crs in (("bare.tif", None), ("placed.tif", UTM)):
        write_geotiff(tmp_path / name, values, crs=crs)

    def status(source: str, suffix: str) -> int:
        out = tmp_path / f"{source}{suffix}"
        return main([what[0], str(tmp_path / source), *what[1:], "--out", str(out), "--legend", "isprs"])

    assert status("bare.tif", ".geojson") == 2
    refusal = capsys.readouterr().err
    for words in ("bare.tif has no CRS", "bare.tif.geojson", ".gpkg", "gdal_edit.py -a_srs"):
        assert words in refusal
    assert not (tmp_path / "bare.tif.geojson").exists()
    assert not caplog.messages
    assert status("bare.tif", ".gpkg") == 0
    assert [text for text in caplog.messages if "lengths and areas are in pixels" in text] == caplog.messages[:1]
    caplog.clear()
    assert status("placed.tif", ".geojson") == status("placed.tif", ".gpkg") == 0
    assert "no CRS" not in caplog.text
