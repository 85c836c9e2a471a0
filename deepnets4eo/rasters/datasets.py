"""Open GDAL datasets: their grid, windows of them or all of them averaged down, handles that threads lend, what may go wrong."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.dtypes import check_dtype
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.transform import guard_transform
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.arrays import Pixels
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.rasters.plane_crs import PLAIN_METRES, flat_crs, is_plain_metres
from deepnets4eo.rasters.values import Nodata, valid_values

log = logging.getLogger(__name__)

MIN_POINTS = 3
MANY_POINTS = 10  # from which GDAL bends the image by squares, too
MAX_MISFIT_PX = 5.0  # points that people set by eye are off by some pixels
STRIP_ROWS = 256  # of a file that are averaged at once: GDAL would decode all of it anew for each band


def read_dataset(
    dataset: DatasetReader,
    window: Window | None,
    bands: Sequence[int],
    nodata: Nodata,
    shape: tuple[int, int] | None = None,
) -> Pixels:
    """Values (C, h, w) of a window, or averaged down to `shape`, and which pixels are valid; `nodata`: one, or one a band."""
    part = None if window is None else RasterioWindow(window.col, window.row, window.width, window.height)
    how: dict[str, Any] = {"window": part}
    if shape is not None:
        how |= {"out_shape": (len(bands), *shape), "resampling": Resampling.average}
    data = dataset.read(list(bands), **how) if part or shape is None else _averaged(dataset, bands, shape)
    valid = valid_values(data, nodata)
    mask_how = how | ({"out_shape": shape, "resampling": Resampling.nearest} if shape is not None else {})
    roles = list(dataset.colorinterp)
    if ColorInterp.alpha in roles:
        valid &= dataset.read(roles.index(ColorInterp.alpha) + 1, **mask_how) > 0
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0] and MaskFlags.alpha not in dataset.mask_flag_enums[0]:
        valid &= dataset.read_masks(1, **mask_how) > 0
    return data, valid


def _averaged(dataset: DatasetReader, bands: Sequence[int], shape: tuple[int, int]) -> NDArray[Any]:
    """All of a dataset (C, *shape), averaged down; a file strip by strip where whole rows make whole rows, the same values."""
    plain = dataset.driver != "VRT" and not dataset.overviews(1)
    common = math.gcd(dataset.height, shape[0]) if plain else 1
    fine, coarse = dataset.height // common, shape[0] // common
    strips = []
    for part in blocks((common, 1), -(-STRIP_ROWS // fine)):
        window = RasterioWindow(0, part.row * fine, dataset.width, part.height * fine)
        strip = (len(bands), part.height * coarse, shape[1])
        strips.append(dataset.read(list(bands), window=window, out_shape=strip, resampling=Resampling.average))
    return np.concatenate(strips, axis=1)


def check_gdal_type(dtype: np.dtype[Any], name: str) -> None:
    """Refuse a type of values that GDAL, which warps and reduces rasters, does not have."""
    if not check_dtype(dtype.name):
        raise InputError(
            f"{name} holds {dtype.name}, which cannot be warped or reduced. Convert it first, for example to float32."
        )


@contextmanager
def description_errors(name: str) -> Iterator[None]:
    """Turn what a file's own texts, CRS and types may raise into an InputError that names it."""
    with Reading(name, "It is damaged, or described in a way that cannot be read. Check it with gdalinfo."):
        yield


def check_points(dataset: DatasetReader, name: str) -> None:
    """Refuse (InputError) too few ground control points for a position, and warn of points that contradict each other."""
    points, _ = dataset.gcps
    if len(points) < MIN_POINTS:
        raise InputError(
            f"{name} has {len(points)} ground control point{'s' * (len(points) != 1)}, expected at least {MIN_POINTS}, which place it. Georeference it: "
            "gdal_translate -a_srs EPSG:… -a_ullr LEFT TOP RIGHT BOTTOM IN OUT."
        )
    pixels, ground = np.array([[p.col, p.row] for p in points]), np.array([[p.x, p.y] for p in points])
    pixels, ground = (values - values.mean(axis=0) for values in (pixels, ground))
    col, row = pixels.T / max(float(np.abs(pixels).max()), 1.0)
    linear = [np.ones_like(col), col, row]
    terms = np.column_stack(linear if len(points) < MANY_POINTS else [*linear, col * col, col * row, row * row])
    misfit = np.hypot(*(ground - terms @ np.linalg.lstsq(terms, ground, rcond=None)[0]).T)
    spread = float(np.hypot(*np.ptp(pixels, axis=0))), float(np.hypot(*np.ptp(ground, axis=0)))
    if not all(spread):
        raise InputError(
            f"{name} has ground control points that are all at one place. Correct them, or georeference it anew."
        )
    most_px = float(misfit.max()) * spread[0] / spread[1]
    if most_px > MAX_MISFIT_PX:
        log.warning(
            "%s is placed by ground control points that contradict each other, or relief, by up to %.0f pixels: it may be as far off. Correct the "
            "points, or give an orthorectified image.", name, most_px,
        )  # fmt: skip


def warp_by_points(dataset: DatasetReader) -> DatasetReader:
    """Warp a raster that has only ground control points to a regular grid."""
    _, crs = dataset.gcps
    # without a transform: with one, WarpedVRT uses that of the pixels and leaves out the points
    own_mask = ColorInterp.alpha in dataset.colorinterp
    return WarpedVRT(dataset, crs=crs, add_alpha=dataset.nodata is None and not own_mask)


def dataset_grid(dataset: DatasetReader) -> Grid:
    return GeoBox((dataset.height, dataset.width), guard_transform(dataset.transform), _crs_text(dataset))


def _crs_text(dataset: DatasetReader) -> str | None:
    crs = pyproj_crs(dataset)
    if is_plain_metres(crs):
        return PLAIN_METRES  # GeoTIFFs keep its name and unit alone
    flat = flat_crs(crs)
    return None if crs is None else dataset.crs.to_string() if flat is crs else flat.to_wkt()


def pyproj_crs(dataset: DatasetReader) -> CRS | None:
    """Return the CRS that a file states, including the vertical reference of its heights."""
    return CRS.from_user_input(dataset.crs.to_string()) if dataset.crs else None


def rasterio_crs(grid: Grid) -> str | None:
    return grid.crs.to_wkt() if grid.crs is not None else None


class Handles:
    """Handles of one source, one for each thread that has read it at once. None goes to another process.

    GDAL keeps decoded blocks by handle: of a source that is `shared`, threads wait for one handle instead of decoding blocks again."""

    def __init__(self) -> None:
        self._idle: list[DatasetReader] = []
        self._turn: AbstractContextManager[Any] = nullcontext()
        self._process, self._inherited = os.getpid(), list[list[DatasetReader]]()

    def __reduce__(self) -> tuple[Any, ...]:
        return Handles, ()

    def share(self) -> None:
        """Lend one handle at a time from now on."""
        if isinstance(self._turn, nullcontext):
            self._turn = RLock()

    @contextmanager
    def lend(self, open_dataset: Callable[[], DatasetReader]) -> Iterator[DatasetReader]:
        """Lend a handle that no other thread uses within the context; a new one where all are lent."""
        if os.getpid() != self._process:  # a forked process shares the position in the files of handles it inherited
            self._process, self._inherited, self._idle = os.getpid(), [*self._inherited, self._idle], []
            self._turn = nullcontext()  # a thread that is not in this process may have had it
        idle = self._idle
        with self._turn:
            try:
                handle = idle.pop()
            except IndexError:  # not looked up before: another thread may take the last one in between
                handle = open_dataset()
            try:
                yield handle
            finally:
                idle.append(handle)
