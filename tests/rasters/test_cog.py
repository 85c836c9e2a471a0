"""Writing rasters: whole or not at all, tiled, with what they mean inside."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import Legend
from deepnets4eo.errors import OutputError
from deepnets4eo.grid import Window, blocks
from deepnets4eo.rasters import CogWriter, Layer

GRID = GeoBox((1100, 700), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), "EPSG:32633")


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 6, GRID.shape).astype(np.uint8)


def test_a_label_raster_is_a_cog_with_palette_names_and_legend(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "labels.tif"
    legend = Legend.load("isprs")
    with CogWriter(path, GRID, legend=legend, nodata=255, tags={"SYNTHETIC": "yes"}) as writer:
        for window in blocks(GRID.shape, 512):
            writer.write(window, labels[window.slices])
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1)
        assert (file.read(1) == labels).all()
        assert file.colormap(1)[1][:3] == tuple(legend.colors[1])
        assert file.tags()["SYNTHETIC"] == "yes"
        assert "impervious" in file.tags()["LEGEND"]
        assert file.crs.to_epsg() == 32633
    assert "impervious" in (tmp_path / "labels.qml").read_text()
    assert "<Category>impervious</Category>" in (tmp_path / "labels.tif.aux.xml").read_text()
    assert not list(tmp_path.glob(".partial*"))


def test_windows_of_any_size_make_the_same_raster(tmp_path: Path, labels: np.ndarray) -> None:
    for block_px in (100, 512, 2000):
        with CogWriter(tmp_path / f"{block_px}.tif", GRID) as writer:
            for window in blocks(GRID.shape, block_px):
                writer.write(window, labels[window.slices])
        with rasterio.open(tmp_path / f"{block_px}.tif") as file:
            assert (file.read(1) == labels).all()


def test_a_file_that_is_read_once_is_left_as_it_was_streamed(tmp_path: Path, labels: np.ndarray) -> None:
    with CogWriter(tmp_path / "a.tif", GRID, legend=Legend.load("isprs"), level=0) as writer:
        writer.write(Window(0, 0, *GRID.shape), labels)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.read(1) == labels).all()
        assert not file.overviews(1)
        assert "impervious" in file.tags()["LEGEND"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.qml", "a.tif.aux.xml"}


def test_nothing_stands_under_the_final_name_when_writing_fails(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "labels.tif"
    with pytest.raises(RuntimeError, match="boom"), CogWriter(path, GRID) as writer:
        writer.write(Window(0, 0, 512, 512), labels[:512, :512])
        raise RuntimeError("boom")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, signal, sys
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from deepnets4eo.rasters import CogWriter
from deepnets4eo.errors import OutputError
from deepnets4eo.grid import Window

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # a file that cannot grow is a full disk
noise = np.random.default_rng(0).integers(0, 255, (2048, 2048)).astype(np.uint8)
try:
    with CogWriter(sys.argv[1], GeoBox((2048, 2048), Affine.identity(), None)) as writer:
        writer.write(Window(0, 0, 2048, 2048), noise)
except OutputError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    said = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert f"could not write {path}" in said.stdout
    assert "Free some space" in said.stdout
    assert list(tmp_path.iterdir()) == []


def test_floats_keep_their_values_and_nodata(tmp_path: Path) -> None:
    heights = np.random.default_rng(0).normal(size=(2, *GRID.shape)).astype(np.float32)
    with CogWriter(
        tmp_path / "h.tif", GRID, count=2, dtype="float32", nodata=-9999, band_names=["dsm", "dtm"]
    ) as writer:
        writer.write(Window(0, 0, *GRID.shape), heights)
    with rasterio.open(tmp_path / "h.tif") as file:
        assert (file.read() == heights).all()
        assert file.nodata == -9999
        assert file.descriptions == ("dsm", "dtm")


@pytest.mark.parametrize(("categorical", "expected"), [(True, {0, 100}), (False, {0, 50, 100})])
def test_overviews_average_amounts_and_keep_names(tmp_path: Path, categorical: bool, expected: set[int]) -> None:
    stripes = np.zeros(GRID.shape, np.uint8)
    stripes[:, 101:600] = 100  # an odd edge: a pixel of the overview holds both sides
    with CogWriter(tmp_path / "s.tif", GRID, categorical=categorical) as writer:
        writer.write(Window(0, 0, *GRID.shape), stripes)
    with rasterio.open(tmp_path / "s.tif", overview_level=0) as file:
        assert set(np.unique(file.read(1))) == expected


def test_a_raster_does_not_stand_without_its_side_files(
    tmp_path: Path, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepnets4eo.rasters.cog._category_names", no_space)
    with (
        pytest.raises(OutputError, match="No space left on device. Free some space"),
        CogWriter(tmp_path / "labels.tif", GRID, legend=Legend.load("isprs")) as writer,
    ):
        writer.write(Window(0, 0, *GRID.shape), labels)
    assert list(tmp_path.iterdir()) == []


def test_the_fourth_of_four_bands_is_a_band_and_no_transparency(tmp_path: Path) -> None:
    """Such as the probabilities of four classes."""
    grid = GeoBox((64, 64), Affine.identity(), None)
    values = np.stack([np.full((64, 64), number, np.uint8) for number in (10, 20, 30, 40)])
    with CogWriter(tmp_path / "four.tif", grid, count=4, nodata=255) as writer:
        writer.write(Window(0, 0, 64, 64), values)
    data, valid = Layer.open(tmp_path / "four.tif").read()
    assert data[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert valid.all()


def test_writing_leaves_the_level_of_gdals_logger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("rasterio._env")
    monkeypatch.setattr(logger, "level", logging.ERROR)

    def write(number: int) -> None:
        with CogWriter(tmp_path / f"{number}.tif", GeoBox((64, 64), Affine.identity(), None)) as writer:
            writer.write(Window(0, 0, 64, 64), np.ones((64, 64), np.uint8))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    assert (logger.level, logger.filters) == (logging.ERROR, [])


def test_side_files_of_a_legend_go_with_the_raster_that_is_replaced(tmp_path: Path, labels: np.ndarray) -> None:
    path, grid = tmp_path / "a.tif", GeoBox(labels.shape, Affine(1, 0, 0, 0, -1, 0), "EPSG:32631")
    for legend in (Legend.load("isprs"), None):
        with CogWriter(path, grid, count=1, dtype="uint8", legend=legend) as file:
            file.write(Window(0, 0, *labels.shape), labels[None])
        assert (tmp_path / "a.qml").exists() == (tmp_path / "a.tif.aux.xml").exists() == (legend is not None)
