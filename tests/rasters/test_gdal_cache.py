"""GDAL's block cache is as large as a job says while the job lasts, and no longer."""

import pytest
import rasterio
from rasterio.env import get_gdal_config

from deepnets4eo.rasters.gdal_cache import gdal_cache


def limit() -> int:
    return get_gdal_config("GDAL_CACHEMAX")


def test_the_limit_holds_inside_and_the_one_from_before_returns() -> None:
    with rasterio.Env():
        before = limit()
        with gdal_cache(7 << 20):
            assert limit() == 7 << 20
            with gdal_cache(5 << 20):
                assert limit() == 5 << 20
            assert limit() == 7 << 20
        assert limit() == before


def test_the_limit_from_before_returns_after_an_error() -> None:
    with rasterio.Env():
        before = limit()
        with pytest.raises(ZeroDivisionError), gdal_cache(7 << 20):
            _ = 1 // 0
        assert limit() == before
