"""Drivers that nothing here needs cannot be reached from the command line, whose process is its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from geotiff import write_geotiff
from shapely.geometry import box

from deepnets4eo.formats import drivers
from deepnets4eo.inspection.machine import RASTER_DRIVERS, VECTOR_DRIVERS

OPEN_BOTH = """
import json, logging, sys
logging.basicConfig(level=logging.WARNING)
import pyogrio
from deepnets4eo.formats import open_raster, vector_file
with open_raster("image.tif") as image:
    pixels = int(image.read().sum())
import rasterio
with vector_file("houses.geojson") as path:
    houses = len(pyogrio.read_dataframe(path))
with rasterio.Env() as environment:
    rasters = sorted(environment.drivers())
print(json.dumps([pixels, houses, rasters, sorted(pyogrio.list_drivers())]))
"""


def drivers_left(folder: Path, **environment: str) -> tuple[set[str], set[str], str]:
    """Drivers of rasters and of vectors after a file of each was read in a new process, and what it printed as errors."""
    write_geotiff(folder / "image.tif", np.ones((8, 8), np.uint8))
    gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=4326).to_file(folder / "houses.geojson")
    done = subprocess.run(
        [sys.executable, "-c", OPEN_BOTH], capture_output=True, text=True, cwd=folder, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    pixels, houses, rasters, vectors = json.loads(done.stdout)
    assert (pixels, houses) == (64, 1)
    return set(rasters), set(vectors), done.stderr


def test_the_command_line_leaves_out_what_nothing_needs(tmp_path: Path) -> None:
    rasters, vectors, said = drivers_left(tmp_path, **{drivers.NEEDED_ALONE: "1"})
    assert not rasters & set(drivers.UNNEEDED_OF_RASTERS)
    assert not vectors & set(drivers.UNNEEDED_OF_VECTORS)
    assert rasters >= set(RASTER_DRIVERS) | {"Zarr", "MEM"}
    assert vectors >= {*VECTOR_DRIVERS, "GML", "OpenFileGDB", "SQLite", "CSV"} - {"KML"}
    assert said == ""


def test_verbs_meet_no_driver_before_they_are_left_out(tmp_path: Path) -> None:
    """Of the verb that opens images, tables and outlines in one job."""
    image = np.kron(np.random.default_rng(0).integers(1, 255, (3, 8, 8), np.uint8), np.ones((8, 8), np.uint8))
    write_geotiff(tmp_path / "pre.tif", image)
    write_geotiff(tmp_path / "post.tif", image[[1, 0, 2]])
    west, north = rasterio.open(tmp_path / "pre.tif").transform * (0, 0)
    gpd.GeoDataFrame(geometry=[box(west + 10, north - 20, west + 20, north - 10)], crs=32631).to_file(
        tmp_path / "houses.gpkg"
    )
    verb = "damage --assume-registered pre.tif post.tif houses.gpkg --out map --dry-run"
    code = (
        f"import sys; sys.argv = ['deepnets4eo', *{verb.split()}]; from deepnets4eo.cli.main import main; status = main(); "
        "import json, pyogrio, rasterio; environment = rasterio.Env(); environment.__enter__(); "
        "print(json.dumps([status, sorted(environment.drivers()), sorted(pyogrio.list_drivers())]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    status, rasters, vectors = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    assert not set(rasters) & set(drivers.UNNEEDED_OF_RASTERS)
    assert not set(vectors) & set(drivers.UNNEEDED_OF_VECTORS)


def test_other_programs_keep_all_drivers(tmp_path: Path) -> None:
    rasters, vectors, _ = drivers_left(tmp_path)
    with rasterio.Env() as environment:
        assert rasters == set(environment.drivers())
    assert vectors == set(pyogrio.list_drivers())
    assert len(rasters & set(drivers.UNNEEDED_OF_RASTERS)) > 80
    assert len(vectors & set(drivers.UNNEEDED_OF_VECTORS)) > 30


def test_what_a_user_leaves_out_stays_left_out(tmp_path: Path) -> None:
    rasters, *_ = drivers_left(tmp_path, **{drivers.NEEDED_ALONE: "1", "GDAL_SKIP": "GIF BMP"})
    assert not rasters & {"GIF", "BMP", "PDF", "HDF5"}


def test_the_entry_point_claims_its_process_and_a_call_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepnets4eo.cli.main import main

    monkeypatch.setenv("PATH", os.environ["PATH"])  # so that the environment is put back
    monkeypatch.delenv(drivers.NEEDED_ALONE, raising=False)
    assert main(["--version"]) == 0
    assert drivers.NEEDED_ALONE not in os.environ
    monkeypatch.setattr(sys, "argv", ["deepnets4eo", "--version"])
    try:
        assert main() == 0
        assert os.environ[drivers.NEEDED_ALONE] == "1"
    finally:
        os.environ.pop(drivers.NEEDED_ALONE, None)


def test_no_needed_driver_is_called_unneeded() -> None:
    needed = {
        *RASTER_DRIVERS,
        *VECTOR_DRIVERS,
        *(driver for _, driver in drivers._BY_START),
        "Zarr",
        "MVT",
        "LIBKML",
        "GML",
    }
    assert not needed & {*drivers.UNNEEDED_OF_RASTERS, *drivers.UNNEEDED_OF_VECTORS}
