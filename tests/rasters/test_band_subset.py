"""A warped view of some bands shows what the warped view of all bands shows there, and GDAL warps no others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer
from deepnets4eo.rasters.band_subset import subset_bands

VALUES = np.random.default_rng(0).integers(1, 250, (6, 300, 280)).astype(np.uint8)
CHOSEN = [5, 1, 2]
ONTO = GeoBox((310, 290), Affine(0.9, 0.05, 499_983.3, -0.05, -0.9, 4_999_998.1), "EPSG:32631")

Make = Callable[[Path], Path]


def plain(path: Path) -> Path:
    return write_geotiff(path, VALUES)


def floats(path: Path) -> Path:
    return write_geotiff(path, VALUES / np.float32(7))


def with_nodata(path: Path) -> Path:
    values = VALUES.copy()
    values[:, 40:90, 70:200] = 0
    return write_geotiff(path, values, nodata=0)


def with_alpha(path: Path) -> Path:
    values = VALUES.copy()
    values[3] = 255 * (VALUES[0] > 30)
    with rasterio.open(write_geotiff(path, values), "r+") as file:
        file.colorinterp = [ColorInterp.undefined] * 3 + [ColorInterp.alpha] + [ColorInterp.undefined] * 2
    return path


def with_mask(path: Path) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(write_geotiff(path, VALUES), "r+") as file:
        file.write_mask(VALUES[0] > 30)
    return path


def by_points(path: Path) -> Path:
    truth = Affine.translation(500_000, 5_000_000) * Affine.rotation(8) * Affine.scale(1, -1)
    points = [GroundControlPoint(row, col, *(truth * (col, row))) for row in (0, 300) for col in (0, 280)]
    with rasterio.open(write_geotiff(path, VALUES, crs=None), "r+") as file:
        file.gcps = (points, "EPSG:32631")
    return path


def turned(path: Path) -> Path:
    turn = Affine.translation(500_000, 5_000_000) * Affine.rotation(20) * Affine.scale(1, -1)
    return write_geotiff(path, VALUES, transform=turn)


def envi(path: Path) -> Path:
    return write_geotiff(path.with_suffix(".img"), VALUES, driver="ENVI", interleave="pixel")


def tiles(path: Path) -> Path:
    for half in (0, 1):
        origin = (500_000 + 140 * half, 5_000_000)
        write_geotiff(path.with_suffix("") / f"{half}.tif", VALUES[:, :, 140 * half :][:, :, :140], origin=origin)
    return path.with_suffix("")


KINDS: list[Make] = [plain, floats, with_nodata, with_alpha, with_mask, by_points, turned, envi, tiles]


@pytest.mark.parametrize("resampling", ["bilinear", "average", "nearest"])
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_some_bands_are_warped_as_with_all(make: Make, resampling: str, tmp_path: Path) -> None:
    layer = Layer.open(make(tmp_path / "image ü & <1>.tif"))
    every, valid = layer.on(ONTO, resampling).read()
    numbers = [layer.bands.index(band) for band in CHOSEN]
    some = layer.subset(CHOSEN).on(ONTO, resampling)
    for window in (Window(0, 0, 310, 290), Window(100, 60, 60, 150)):
        data, known = some.read(window)
        np.testing.assert_array_equal(known, valid[window.slices])
        rows, cols = window.slices
        np.testing.assert_array_equal(data[:, known], every[numbers][:, rows, cols][:, known])
    assert 0.3 < valid.mean() < 1


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_some_bands_are_averaged_as_with_all(make: Make, tmp_path: Path) -> None:
    layer = Layer.open(make(tmp_path / "image.tif"))
    numbers = [layer.bands.index(band) for band in CHOSEN]
    every, valid, _ = layer.on(ONTO).thumbnail(60)
    data, known, _ = layer.subset(CHOSEN).on(ONTO).thumbnail(60)
    np.testing.assert_array_equal(known, valid)
    np.testing.assert_array_equal(data[:, known], every[numbers][:, known])


def test_views_of_views_and_arrays_keep_their_bands(tmp_path: Path) -> None:
    hidden = np.ma.masked_array(VALUES, np.broadcast_to(VALUES[0] < 30, VALUES.shape))
    grid = GeoBox(VALUES.shape[1:], Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32631")
    layer = Layer.open(hidden, grid=grid)
    for seen in (layer.on(ONTO), layer.on(ONTO).on(grid, "bilinear")):
        every, valid = seen.read()
        data, known = seen.subset(CHOSEN).read()
        np.testing.assert_array_equal(known, valid)
        np.testing.assert_array_equal(data[:, known], every[[band - 1 for band in CHOSEN]][:, known])
        assert seen.subset([3]).read()[0].shape == (1, *seen.shape)


def test_gdal_sees_no_more_bands_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warped: list[int] = []
    view = rasterio.vrt.WarpedVRT

    def note(dataset: rasterio.DatasetReader, **options: object) -> rasterio.vrt.WarpedVRT:
        warped.append(dataset.count)
        return view(dataset, **options)

    monkeypatch.setattr("deepnets4eo.rasters.warped_source.WarpedVRT", note)
    layer = Layer.open(plain(tmp_path / "a.tif"))
    layer.subset(CHOSEN).on(ONTO).read()
    layer.on(ONTO).read()
    Layer.open(with_alpha(tmp_path / "b.tif")).subset([1]).on(ONTO).read()
    assert warped == [3, 6, 2]


def test_all_bands_of_a_raster_are_the_raster(tmp_path: Path) -> None:
    with rasterio.open(plain(tmp_path / "a.tif")) as file:
        assert subset_bands(file, range(1, 7)) is file
        backwards: NDArray[np.uint8] = subset_bands(file, range(6, 0, -1)).read()
    np.testing.assert_array_equal(backwards, VALUES[::-1])
