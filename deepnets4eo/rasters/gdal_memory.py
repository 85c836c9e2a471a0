"""GDAL's block cache kept small: by itself it takes 5 % of the machine's memory, whatever a job needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rasterio
from rasterio.enums import Interleaving
from rasterio.env import get_gdal_config, set_gdal_config

from deepnets4eo.formats import open_raster

if TYPE_CHECKING:
    from deepnets4eo.rasters.layer import Layer

# For files in tiles: what two threads read at once, also of pixels half as large; with 64 MB they decode much of it twice.
CACHE_BYTES = 128 << 20
MAX_CACHE_BYTES = 512 << 20
# Tiles that fit are decoded once: registration, evidence and page read each pixel of them about ten times.
WHOLE_BYTES, EDGE_PX = 512 << 20, 512  # two images of 8,900² pixels in colour; blocks at the edges are whole
WINDOW_PX, WINDOW_M = 1200, 600.0  # rows of a window with its margins: at least so many, and so many metres


def cache_bytes(*images: Layer | None) -> int:
    """GDAL's block cache for images read window by window: `CACHE_BYTES`, for strips a row of windows, for tiles that fit all of them."""
    return _plan(images)[0]


def _shared_cache_bytes(images: Sequence[Layer | None]) -> int:
    """Return `cache_bytes` of images, and let threads share what is decoded of tiles that fit."""
    size, fitting = _plan(images)
    for image in fitting:
        image.reader.share_decoded()
    return size


def _plan(images: Sequence[Layer | None]) -> tuple[int, list[Layer]]:
    """Return the block cache for images, and those in tiles if all tiles fit in it."""
    rows = [(image, _row_bytes(image)) for image in images if image is not None]
    files = [(image, row) for image, row in rows if row is not None]
    strips = sum(row * _window_rows(image) for image, row in files)
    tiled = [image for image, row in files if not row]
    tiles = sum(map(_whole_bytes, tiled))
    least = max(CACHE_BYTES, min(strips, MAX_CACHE_BYTES))
    return (max(least, tiles), tiled) if tiles <= WHOLE_BYTES else (least, [])


def _whole_bytes(image: Layer) -> int:
    """Bytes of a whole image in tiles, as GDAL keeps it."""
    height, width = image.shape
    return (height + EDGE_PX) * (width + EDGE_PX) * image.count * image.dtype.itemsize


def _window_rows(image: Layer) -> int:
    rows = WINDOW_PX if image.grid.crs is None else max(WINDOW_PX, round(WINDOW_M / image.gsd_m))
    return min(rows, image.shape[0])


def _row_bytes(image: Layer) -> int | None:
    """Return the bytes of one row of an image in strips, as GDAL keeps it; 0 for tiles, None if GDAL does not decode the image."""
    if not (image.paths and image.reader.by_gdal):
        return None
    with open_raster(image.paths[0], honours=("orientation", "pages")) as file:
        if file.block_shapes[0][1] < file.width:
            return 0
        bands = file.count if file.interleaving == Interleaving.pixel else image.count
    return image.shape[1] * bands * image.dtype.itemsize


# GDAL has one cache for all threads: the process's own limit, then the limits of open contexts. The last one applies.
_OWN = object()
_limits: dict[object, int] = {}


@contextmanager
def gdal_cache(*images: Layer | None, size_bytes: int | None = None) -> Iterator[None]:
    """Limit GDAL's block cache, of all open files together, within a `with` block, by default to what reading images by windows needs.

    Without a size, a context within another one, or in another thread, does not lower the limit.

    >>> with gdal_cache(size_bytes=64 << 20):
    ...     get_gdal_config("GDAL_CACHEMAX")
    67108864
    """
    with rasterio.Env():  # the option is the process's own, not the environment's: it needs one to be set and restored
        context = object()
        others = [limit for key, limit in _limits.items() if key is not _OWN]
        _limits.setdefault(_OWN, get_gdal_config("GDAL_CACHEMAX"))
        _limits[context] = max([_shared_cache_bytes(images), *others]) if size_bytes is None else size_bytes
        set_gdal_config("GDAL_CACHEMAX", _limits[context])
        try:
            yield
        finally:
            del _limits[context]
            set_gdal_config("GDAL_CACHEMAX", next(reversed(_limits.values())))
            if len(_limits) == 1:  # later, the process may have another limit
                del _limits[_OWN]


def widen_cache(*images: Layer) -> None:
    """Raise the limit of the innermost open `gdal_cache` to what reading these images needs, for as long as it is open.

    >>> with gdal_cache(size_bytes=64 << 20):
    ...     widen_cache()
    ...     get_gdal_config("GDAL_CACHEMAX")
    134217728
    """
    context = next(reversed(_limits), _OWN)
    if context is not _OWN:
        _limits[context] = max(_limits[context], _shared_cache_bytes(images))
        set_gdal_config("GDAL_CACHEMAX", _limits[context])
