"""Files at addresses whose connection breaks off or stalls: an error that names the address, nothing half, no hang."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.formats import web
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer


@contextmanager
def served(path: Path, fault: str) -> Iterator[str]:
    """The address of a file on a server of its own process, since GDAL keeps the interpreter's lock while it opens an address."""
    command = [sys.executable, str(Path(__file__).with_name("broken_server.py")), str(path), fault]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/{path.name}"
        finally:
            process.kill()


@pytest.mark.parametrize("fault", ["break", "stall"])
def test_a_raster_whose_connection_fails_is_an_error_of_its_rows(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (512, 512)).astype(np.uint8)
    path = tmp_path / "image.tif"
    rasterio.shutil.copy(
        write_geotiff(tmp_path / "plain.tif", noise), path, driver="COG", blocksize=128
    )  # its head comes first
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
    began = time.monotonic()
    with served(path, fault) as address:
        layer = Layer.open(address)
        with raises_naming(InputError, address, "400", "500"):
            layer.read(Window(400, 0, 100, 512))
    assert time.monotonic() - began < 30


def test_no_file_is_asked_for_beside_an_address(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    path = write_geotiff(tmp_path / "image.tif", noise)
    with served(path, "all") as address:  # a server that has the image at image.tif.ovr.ovr.ovr as well
        layer = Layer.open(address)
        np.testing.assert_array_equal(layer.read(Window(10, 0, 20, 64))[0][0], noise[10:30])
    table = (
        {"/image.tif.vat.dbf"} if rasterio.__gdal_version__ >= "3.11" else set()
    )  # of values, which nothing lies beside
    assert set((tmp_path / "asked.txt").read_text().split()) <= {"/image.tif"} | table


@pytest.mark.parametrize("fault", ["break", "stall"])
def test_footprints_whose_connection_fails_are_not_taken_for_fewer(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = shapely.box(np.arange(2000) * 20, 0, np.arange(2000) * 20 + 10, 10)
    path = tmp_path / "houses.fgb"
    gpd.GeoDataFrame({"id": range(2000)}, geometry=boxes, crs="EPSG:32631").to_file(path, SPATIAL_INDEX="NO")
    monkeypatch.setattr(web, "TIMEOUT_S", 1)
    with (
        served(path, fault) as address,
        pytest.raises(InputError, match=rf"{address} could not be downloaded: .*(broke off after|timed out)"),
    ):
        read_footprints(address)


def test_an_address_at_which_no_server_answers_is_told_from_a_missing_file(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match=r"no server answers at http.*Check the address and the network"):
            Layer.open(f"http://127.0.0.1:{taken.getsockname()[1]}/a.tif")
