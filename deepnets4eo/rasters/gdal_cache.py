"""GDAL's block cache kept small: by itself it takes 5 % of the machine's memory, whatever a job needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rasterio
from rasterio.env import get_gdal_config, set_gdal_config


@contextmanager
def gdal_cache(size_bytes: int) -> Iterator[None]:
    """Limit GDAL's block cache within a `with` block; the limit from before returns afterwards.

    Parameters
    ----------
    size_bytes
        Most bytes of decoded blocks that GDAL keeps, of all open files together.

    >>> with gdal_cache(64 << 20):
    ...     get_gdal_config("GDAL_CACHEMAX")
    67108864
    """
    with rasterio.Env():  # the option is the process's own, not the environment's: it needs one to be set and restored
        before = get_gdal_config("GDAL_CACHEMAX")
        set_gdal_config("GDAL_CACHEMAX", size_bytes)
        try:
            yield
        finally:
            set_gdal_config("GDAL_CACHEMAX", before)
