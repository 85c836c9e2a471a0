"""GDAL's block cache is as large as a job says while the job lasts, and no longer."""

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from rasterio.env import get_gdal_config

from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer, PictureSource, cache_bytes, gdal_cache, widen_cache
from deepnets4eo.rasters.gdal_memory import CACHE_BYTES, MAX_CACHE_BYTES, WHOLE_BYTES, WINDOW_PX


def limit() -> int:
    return get_gdal_config("GDAL_CACHEMAX")


def test_the_limit_holds_inside_and_the_one_from_before_returns() -> None:
    with rasterio.Env():
        before = limit()
        with gdal_cache(size_bytes=7 << 20):
            assert limit() == 7 << 20
            with gdal_cache(size_bytes=5 << 20):
                assert limit() == 5 << 20
            assert limit() == 7 << 20
        assert limit() == before


def test_reading_by_windows_does_not_lower_the_limit_of_the_job_around_it() -> None:
    with gdal_cache(size_bytes=CACHE_BYTES + 1):
        with gdal_cache():
            assert limit() == CACHE_BYTES + 1
        assert limit() == CACHE_BYTES + 1
    with gdal_cache(size_bytes=CACHE_BYTES - 1), gdal_cache():
        assert limit() == CACHE_BYTES
    with gdal_cache():
        assert limit() == CACHE_BYTES, "no limit is left of the contexts before"


def test_the_limit_from_before_returns_after_an_error() -> None:
    with rasterio.Env():
        before = limit()
        with pytest.raises(ZeroDivisionError), gdal_cache(size_bytes=7 << 20):
            _ = 1 // 0
        assert limit() == before


def test_jobs_of_two_threads_that_overlap_keep_their_limits_and_leave_none() -> None:
    with rasterio.Env():
        before = limit()
        first, second = gdal_cache(size_bytes=7 << 20), gdal_cache(size_bytes=9 << 20)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert limit() == 9 << 20, "the second one is still open"
        second.__exit__(None, None, None)
        assert limit() == before


WIDE = np.zeros((2, 1300, 40_000), np.uint8)
TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}


def test_strips_of_a_row_of_windows_stay_in_the_cache(tmp_path: Path) -> None:
    row = WIDE.shape[2]
    pixel = Layer.open(write_geotiff(tmp_path / "a.tif", WIDE, sparse_ok=True, interleave="pixel"))
    assert cache_bytes(pixel, None) == CACHE_BYTES  # more than enough
    assert cache_bytes(pixel, pixel) == 2 * 2 * row * WINDOW_PX
    assert cache_bytes(pixel.subset([2]), pixel) == 2 * 2 * row * WINDOW_PX, "all bands are decoded"
    assert cache_bytes(*[pixel] * 50) == MAX_CACHE_BYTES
    fine = Layer.open(write_geotiff(tmp_path / "b.tif", WIDE, sparse_ok=True, interleave="pixel", gsd=0.47))
    assert cache_bytes(fine, fine) == pytest.approx(2 * 2 * row * 600 / 0.47, rel=0.01), "as many metres"
    band = Layer.open(write_geotiff(tmp_path / "c.tif", WIDE, sparse_ok=True, interleave="band"))
    assert cache_bytes(*[band] * 3) == 3 * 2 * row * WINDOW_PX
    assert cache_bytes(*[band.subset([1])] * 3) == 3 * row * WINDOW_PX
    low = Layer.open(write_geotiff(tmp_path / "d.tif", WIDE[:, :900], sparse_ok=True, interleave="pixel"))
    assert cache_bytes(low, low) == 2 * 2 * row * 900


def test_large_tiled_files_and_arrays_need_the_least(tmp_path: Path) -> None:
    tiled = Layer.open(write_geotiff(tmp_path / "a.tif", WIDE, sparse_ok=True, interleave="pixel", **TILED))
    assert cache_bytes(*[tiled, Layer.open(WIDE)] * 9) == CACHE_BYTES


def test_files_that_fit_are_kept_whole(tmp_path: Path) -> None:
    tiled = Layer.open(write_geotiff(tmp_path / "a.tif", WIDE, sparse_ok=True, interleave="pixel", **TILED))
    assert CACHE_BYTES < WIDE.nbytes + (44_000 * 512 * 2) < WHOLE_BYTES
    assert cache_bytes(tiled, None) >= WIDE.nbytes
    assert cache_bytes(tiled.subset([1]), tiled.subset([1])) == cache_bytes(tiled), "of the bands that are read"


def test_threads_do_not_decode_again_what_fits(tmp_path: Path) -> None:
    tiled = Layer.open(write_geotiff(tmp_path / "a.tif", WIDE, sparse_ok=True, interleave="pixel", **TILED))
    view = Layer(PictureSource(tiled.on(tiled.grid.pad(1)), 64))
    handles = tiled.reader._handles
    with gdal_cache(view), ThreadPoolExecutor(1) as pool:
        with handles.lend(tiled.reader._open_file):
            reading = pool.submit(tiled.read, Window(0, 0, 1, 1))
            assert wait([reading], timeout=0.05).not_done
        assert reading.result()[1].all()
    assert len(handles._idle) == 1, "GDAL keeps the blocks of each handle apart"


def test_images_opened_within_a_job_widen_its_cache_to_its_end(tmp_path: Path) -> None:
    tiled = Layer.open(write_geotiff(tmp_path / "a.tif", WIDE, sparse_ok=True, interleave="pixel", **TILED))
    with rasterio.Env():
        before = limit()
        widen_cache(tiled, tiled)
        assert limit() == before, "no job is running"
        with gdal_cache():
            widen_cache(tiled, tiled)
            assert limit() == cache_bytes(tiled, tiled) > CACHE_BYTES
            widen_cache(tiled)
            with gdal_cache():
                assert limit() == cache_bytes(tiled, tiled)
            assert limit() == cache_bytes(tiled, tiled)
        assert limit() == before


def test_a_mosaic_of_striped_files_is_as_wide_as_all(tmp_path: Path) -> None:
    for number in (0, 1):
        origin = (500_000 + 40_000 * number, 5_000_000)
        write_geotiff(tmp_path / f"{number}.tif", WIDE, sparse_ok=True, interleave="pixel", origin=origin)
    assert cache_bytes(Layer.open(tmp_path)) == 2 * 80_000 * WINDOW_PX


def test_files_that_another_reader_opens_have_no_block_cache(tmp_path: Path) -> None:
    np.savez(tmp_path / "pre.npz", image=np.zeros((3, 40, 50), np.uint8))
    image = Layer.open(tmp_path / "pre.npz")
    assert image.paths
    assert cache_bytes(image) == CACHE_BYTES
    with gdal_cache(image):
        assert limit() == CACHE_BYTES


def test_files_that_gdal_does_not_decode_are_not_opened_for_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", WIDE[:, :8])
    array = Layer.open(tmp_path / "a.npy")
    file = Layer.open(write_geotiff(tmp_path / "a.tif", WIDE, sparse_ok=True, interleave="pixel"))
    monkeypatch.setattr("deepnets4eo.rasters.gdal_memory.open_raster", lambda *_, **__: pytest.fail("opened"))
    assert cache_bytes(array, array.on(array.grid), Layer.open(WIDE[:, :8])) == CACHE_BYTES
    with pytest.raises(pytest.fail.Exception, match="opened"):
        cache_bytes(file.on(file.grid.zoom_out(2)))
