"""Writing big rasters: streamed to a tiled GeoTIFF, turned into a Cloud-Optimized GeoTIFF at the end.

The COG driver cannot stream; no file has the final name before it is whole. Peak memory: one window and GDAL's block cache."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.drivers import raster_driver_extensions
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.addresses import without_secrets
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write, partial_path, writer_errors, writing
from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.rasters.plane_crs import flat_crs

BLOCK_PX = 512
LEVEL = 5  # of compression; 6 takes three times as long, for 2 % of the bytes


def check_raster_suffix(path: str | Path) -> Path:
    """Return the path unless its suffix names another format than GeoTIFF, which rasters are written in; else InputError.

    >>> check_raster_suffix("labels.tif").name
    'labels.tif'
    """
    suffix = Path(path).suffix
    if raster_driver_extensions().get(suffix.lower().removeprefix("."), "GTiff") != "GTiff":
        raise InputError(f"{path} ends in {suffix!r}, but rasters are written as GeoTIFF. Name it .tif.")
    return Path(path)


class CogWriter:
    """Context manager that writes one COG window by window; no file appears at `path` before it is complete.

    Whole blocks of 512 pixels are compressed only once. A `legend` is kept in the file, with a `.qml` next to it. With
    `categorical`, overviews never average.

    With compression `level` 0 the streamed file is kept unchanged, without overviews, for files that are read once.

    Raises OutputError if the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        grid: Grid,
        *,
        count: int = 1,
        dtype: str = "uint8",
        nodata: float | None = None,
        legend: Legend | None = None,
        categorical: bool = False,
        band_names: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        wavelengths_nm: Sequence[float] = (),
        unit: str = "",
        level: int = LEVEL,
    ) -> None:
        self.path = check_raster_suffix(path)
        self.stream = partial_path(self.path)
        self._legend, self._band_names, self._level = legend, list(band_names), level
        self._wavelengths_nm, self._unit = list(wavelengths_nm), unit
        self._categorical = categorical or legend is not None
        self._tags = without_secrets(dict(tags or {})) | ({"LEGEND": json.dumps(legend.to_dict())} if legend else {})
        self._profile: dict[str, Any] = dict(
            driver="GTiff", count=count, dtype=dtype, nodata=nodata, height=grid.shape[0], width=grid.shape[1],
            transform=grid.affine, crs=_crs_text(grid),
            tiled=True, blockxsize=BLOCK_PX, blockysize=BLOCK_PX, compress="zstd", zstd_level=1, BIGTIFF="YES",
            SPARSE_OK="TRUE", interleave="band",
        )  # fmt: skip
        if legend is not None:
            self._profile["photometric"] = "PALETTE"
        elif count == 4:  # GDAL takes a fourth band for transparency, and readers then leave it out
            self._profile["alpha"] = "NO"
        self._dataset: DatasetWriter | None = None

    def __enter__(self) -> CogWriter:
        try:
            with writing(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._dataset = rasterio.open(self.stream, "w", **self._profile)
                self._describe()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, window: Window, data: NDArray[Any]) -> None:
        """Write (C, h, w) values, or (h, w) for one band, at a window inside the grid."""
        part = RasterioWindow(window.col, window.row, window.width, window.height)
        with writing(self.path):
            self._stream.write(data if data.ndim == 3 else data[None], window=part)

    @property
    def windows(self) -> list[Window]:
        """Return the windows of the file's own blocks in row order; each is compressed once."""
        return blocks((self._profile["height"], self._profile["width"]), BLOCK_PX)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with writing(self.path), _gdal_errors():
                    self._stream.close()
                self._finish()
        finally:
            self._discard()

    @property
    def _stream(self) -> DatasetWriter:
        assert self._dataset is not None, "CogWriter is used outside its with-block"
        return self._dataset

    def _discard(self) -> None:
        if self._dataset is not None:
            with suppress(*writer_errors()), _gdal_errors():
                self._dataset.close()
        self.stream.unlink(missing_ok=True)

    def _describe(self) -> None:
        self._stream.update_tags(**self._tags)
        for band, name in enumerate(self._band_names, start=1):
            self._stream.set_band_description(band, name)
        for band, nm in enumerate(self._wavelengths_nm, start=1):
            self._stream.update_tags(band, wavelength=f"{nm:.6g}", wavelength_units="nanometers")
        if self._unit:
            self._stream.units = [self._unit] * self._stream.count
        if self._legend is not None:
            self._stream.write_colormap(1, self._legend.color_table())

    def _finish(self) -> None:
        predictor = "YES" if np.dtype(self._profile["dtype"]).itemsize > 1 else "NO"
        options = dict(
            COMPRESS="DEFLATE", LEVEL=self._level, PREDICTOR=predictor, BLOCKSIZE=BLOCK_PX, BIGTIFF="IF_SAFER",
            NUM_THREADS="ALL_CPUS", OVERVIEW_RESAMPLING="NEAREST" if self._categorical else "AVERAGE",
        )  # fmt: skip
        with ExitStack() as files:  # they take their names together, the raster last
            partial = files.enter_context(atomic_write(self.path))
            if self._level:
                with _gdal_errors(), rasterio.Env(ZSTD_LEVEL_OVERVIEW=1):  # the driver's own scratch file of overviews
                    rasterio.shutil.copy(self.stream, partial, driver="COG", **options)
                _check_whole(partial)
            else:
                self.stream.replace(partial)
            for path, text in self._side_files().items():
                files.enter_context(atomic_write(path)).write_text(text, encoding="utf-8")
        if self._legend is None:  # those of a raster that this one replaced would name its values
            for path in self._side_paths:
                path.unlink(missing_ok=True)

    @property
    def _side_paths(self) -> tuple[Path, Path]:
        return self.path.with_suffix(".qml"), Path(f"{self.path}.aux.xml")

    def _side_files(self) -> dict[Path, str]:
        """Return the side files of a raster with a legend: the style for QGIS, the names for GDAL."""
        if self._legend is None:
            return {}
        return dict(zip(self._side_paths, (self._legend.qml(), _category_names(self._legend)), strict=True))


def _crs_text(grid: Grid) -> str | None:
    if grid.crs is None:
        return None
    flat = flat_crs(grid.crs.proj)
    return str(grid.crs.to_wkt() if flat is grid.crs.proj else flat.to_wkt())


class _Listeners:
    """Lowers the level of GDAL's logger while any thread listens, and then sets it as the application had it."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("rasterio._env")
        self._lock, self._count = threading.Lock(), 0
        self._own, self.level = logging.NOTSET, logging.NOTSET

    @contextmanager
    def add(self, note: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
        """Call `note` with every message; it returns whether the application sees the message, too."""
        with self._lock:
            if not self._count:
                self._own, self.level = self.logger.level, self.logger.getEffectiveLevel()
                self.logger.setLevel(logging.INFO)
            self._count += 1
            self.logger.addFilter(note)
        try:
            yield
        finally:
            with self._lock:
                self.logger.removeFilter(note)
                self._count -= 1
                if not self._count:
                    self.logger.setLevel(self._own)


_listeners = _Listeners()


@contextmanager
def _gdal_errors() -> Iterator[None]:
    """Raise RasterioError for what GDAL only reports: when a disk fills up on closing or copying, it continues."""
    reported: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        if record.thread == threading.get_ident() and "signalled an error" in record.msg:
            reported.append(record.getMessage())
        return record.levelno >= _listeners.level

    try:
        with _listeners.add(note), rasterio.Env():
            yield
    except SystemError as error:  # rasterio's error for a failure that GDAL states no reason for
        raise RasterioError("; ".join(reported) or str(error)) from error
    if reported:
        raise RasterioError("; ".join(reported))


def _check_whole(path: Path) -> None:
    """Refuse a file if some of its blocks are not inside it: compressing threads report no errors."""
    size = path.stat().st_size
    with rasterio.open(path) as file:
        for (row, col), _ in file.block_windows(1):
            position = [file.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE")]
            if None in position or sum(map(int, position)) > size:
                raise RasterioError("blocks are missing at the end")


def _category_names(legend: Legend) -> str:
    """GDAL's side file: the only place where a GeoTIFF can keep category names."""
    names = {item.value: item.name for item in legend.classes}
    rows = "".join(f"<Category>{escape(names.get(value, ''))}</Category>" for value in range(max(names) + 1))
    return f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{rows}</CategoryNames></PAMRasterBand></PAMDataset>\n'
