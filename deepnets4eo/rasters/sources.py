"""What a layer reads from: a file, a mosaic of tiles, an array, or any of these warped to another grid.

No two threads share a dataset handle at a time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT

from deepnets4eo.addresses import shown_address
from deepnets4eo.arrays import Pixels
from deepnets4eo.cards import EmbeddingCard
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import READ_ERRORS, open_raster, raster_wavelengths_nm, rpc_advice
from deepnets4eo.grid import (
    NO_CRS_REMEDY,
    Grid,
    Window,
    apply_affine,
    blocks,
    check_grid,
    only_one_placed,
    overlap_share,
    whole,
)
from deepnets4eo.rasters.array_source import ArraySource, Source
from deepnets4eo.rasters.band_subset import (
    alpha_bands,
    as_power,
    false_alpha,
    subset_bands,
    with_columns_first,
    without_alpha,
)
from deepnets4eo.rasters.bilinear import interpolate, interpolates
from deepnets4eo.rasters.datasets import (
    Handles,
    dataset_grid,
    description_errors,
    failure_cause,
    pyproj_crs,
    rasterio_crs,
    read_dataset,
    warp_by_points,
)
from deepnets4eo.rasters.longitudes import first_column_to_roll, roll, usual_longitudes
from deepnets4eo.rasters.mosaic import MARK, find_tiles, mosaic_vrt, stack_files, stack_vrt
from deepnets4eo.rasters.values import (
    StoredValues,
    check_stated,
    common_nodata,
    same_nodata,
    stated_values,
    storable_nodata,
)

WARP_TOLERANCE_PX = 0.02  # GDAL's default of 0.125 px would show in sub-pixel registration
FINER = 16  # times as many pixels as are asked for are read at most where an image is averaged down before it is warped
PLAIN_CRS = "EPSG:3857"  # stands in where neither side has a CRS: pixels are warped as plane coordinates
MOST_VIEWED = 0.5  # share of a raster in a view of it, from which the view shows most of it
PIECE_PX = 1024  # side of the pieces that are interpolated at a time, so that little memory is held beside the result
POLARISATION_TAGS = ("polarimetric_interp", "polarisation", "polarization")  # of bands of radar
FLIP = Affine.scale(1, -1)  # GDAL takes an identity transform for none; flipped, it is one


class FileSource(Source):
    """A raster file, a URL, or a mosaic of tiles; another process opens it anew.

    held : the VRT that `target` names, alive as long as its reader; open_again : opens it in another process; open_with : opens it with
    another value without data, where that is one of its tiles' numbers."""

    band_nodata: list[float | None]
    stored_values: list[StoredValues]

    def __init__(
        self, name: str, target: str, paths: list[str], nodata: float | None, *, held: MemoryFile | None = None,
        open_again: Callable[[], FileSource] | None = None, open_with: Callable[[float], FileSource] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.paths, self._held, self._open_with = shown_address(name), paths, held, open_with
        self._open_again = open_again or partial(FileSource, name, _from_anywhere(target), paths, nodata)
        self._target, self._handles = target, Handles()
        self._translated: MemoryFile | None = None
        with description_errors(name), self._handles.lend(self.open_dataset) as dataset:
            self._describe(dataset, nodata)
            rolled = first_column_to_roll(self.grid)
            if self.unmasked_bands or self.complex:
                text = as_power(dataset) if self.complex else without_alpha(dataset)
                self._translated = MemoryFile(text.encode(), ext=".vrt")
            elif rolled:
                self.grid = roll(self.grid, rolled)
                self._translated = MemoryFile(with_columns_first(dataset, rolled).encode(), ext=".vrt")
        if self._translated is not None:
            self._target, self._handles = self._translated.name, Handles()

    def _describe(self, dataset: DatasetReader, nodata: float | None) -> None:
        if not (dataset.count and dataset.width and dataset.height):
            raise InputError(
                f"{self.name} has {dataset.count} bands of {dataset.height} × {dataset.width} pixels: nothing to read."
            )
        unmasked = false_alpha(dataset)
        alpha = [band for band in alpha_bands(dataset) if band not in unmasked]
        self.bands = [band for band in range(1, dataset.count + 1) if band not in alpha] or [1]
        if len({dataset.dtypes[band - 1] for band in self.bands}) > 1:
            raise InputError(
                f"{self.name} has bands of several types ({', '.join(dict.fromkeys(dataset.dtypes))}). Write it in one: gdal_translate -ot "
                "Float32 IN OUT.tif"
            )
        self.band_names = [
            text or _polarisation(dataset, i + 1) or f"band_{i + 1}" for i, text in enumerate(dataset.descriptions)
        ]
        self.unmasked_bands = [self.band_names[band - 1] for band in unmasked]  # marked as alpha, read as bands
        self.complex = dataset.dtypes[0].startswith("complex")  # read as power
        self.dtype = np.dtype(np.float32 if self.complex else dataset.dtypes[0])
        self.band_nodata = [nodata] * dataset.count if nodata is not None else list(dataset.nodatavals)
        if self.complex:
            self.band_nodata = [None if value is None else value**2 for value in self.band_nodata]
        self.nodata = common_nodata([self.band_nodata[band - 1] for band in self.bands])
        self.tags = dict(dataset.tags(ns="IMAGERY")) | dict(dataset.tags())  # satellite and time, of side files
        self.wavelengths_nm = raster_wavelengths_nm(dataset)
        card = EmbeddingCard.from_tags(self.tags, self.name) or EmbeddingCard.of_names(self.band_names)
        roles = enumerate(dataset.colorinterp, start=1)
        self.colour_roles = ["undefined" if band in unmasked else role.name for band, role in roles]
        self.stored_values = list(stated_values(dataset, self.name))
        if card is not None:
            self.with_card(card)
        self.grid, self.place_advice = usual_longitudes(dataset_grid(dataset)), rpc_advice(dataset)
        self.height_crs = pyproj_crs(dataset)
        check_grid(self.grid, self.name)

    @classmethod
    def open(cls, source: str | Path | Sequence[str | Path], nodata: float | None) -> FileSource:
        """Open a file, tiles of a folder, glob or list, or the files of `FOLDER#bands` as bands."""
        if isinstance(source, (str, Path)) and str(source).endswith(MARK):
            return cls.stack(stack_files(str(source)), nodata)
        tiles = find_tiles(source)
        if len(tiles) == 1:
            return cls(tiles[0], tiles[0], tiles, nodata)
        vrt, physical = mosaic_vrt(tiles, nodata)
        file, name = MemoryFile(vrt.encode(), ext=".vrt"), f"{Path(tiles[0]).parent} ({len(tiles)} tiles)"
        opened = cls(
            name, file.name, tiles, None if physical else nodata, held=file,
            open_again=partial(cls.open, [*map(_from_anywhere, tiles)], nodata),
            open_with=partial(cls.open, source) if physical else None,
        )  # fmt: skip
        with open_raster(tiles[0]) as first:  # the mosaic has no metadata of bands
            opened.wavelengths_nm = raster_wavelengths_nm(first)
            marked = [opened.band_names[band - 1] for band in alpha_bands(first)]
            opened.unmasked_bands = [] if ColorInterp.alpha.name in (opened.colour_roles or []) else marked
        return opened

    @classmethod
    def stack(cls, paths: Sequence[str], nodata: float | None) -> FileSource:
        """Open files of one grid as bands of one raster, in this order."""
        vrt, wavelengths_nm = stack_vrt(paths)
        file = MemoryFile(vrt.encode(), ext=".vrt")
        name, again = f"{Path(paths[0]).parent} ({len(paths)} files as bands)", [*map(_from_anywhere, paths)]
        opened = cls(name, file.name, list(paths), nodata, held=file, open_again=partial(cls.stack, again, nodata))
        opened.wavelengths_nm = wavelengths_nm
        return opened

    def with_stated(self, bands: Sequence[Mapping[str, Any]]) -> FileSource:
        """The same file with what is stated elsewhere of its bands; what the file states itself holds."""
        count = len(self.band_names)
        numbers = [band - 1 for band in self.bands] if len(bands) == len(self.bands) else range(count)  # without alpha
        if not (fits := len(bands) in (0, 1, len(numbers))) and any(set(band) - {"name"} for band in bands):
            raise InputError(f"{self.name} has {count} bands, its STAC item describes {len(bands)}. Correct the item.")
        for band, stated in zip(
            numbers, ([*bands] * count if len(bands) == 1 else bands) if fits else (), strict=False
        ):
            own = self.stored_values[band]
            if own.plain:
                scale, offset = stated.get("scale", 1.0), stated.get("offset", 0.0)
                self.stored_values[band] = StoredValues(scale, offset, own.unit or stated.get("unit", ""))
            if self.band_nodata[band] is None and "nodata" in stated:
                self.band_nodata[band] = storable_nodata(self.dtype, stated["nodata"])
            if len(bands) == len(numbers) and self.band_names[band] == f"band_{band + 1}":
                self.band_names[band] = stated.get("name", self.band_names[band])
        check_stated(self.stored_values, self.name)
        self.nodata = common_nodata([self.band_nodata[band - 1] for band in self.bands])
        return self

    def with_card(self, card: EmbeddingCard) -> FileSource:
        """The same file as embeddings of a card, which scales its numbers where they are of the type that it states."""
        card.check_bands(len(self.bands), self.name)
        self.tags |= card.to_tags()
        if self.dtype.name == card.stored and all(band.plain for band in self.stored_values):
            self.stored_values = [StoredValues(card.scale, power=card.power)] * len(self.band_names)
            if card.nodata is not None and self.nodata is None:
                self.nodata, self.band_nodata = card.nodata, [card.nodata] * len(self.band_names)
        return self

    def with_nodata(self, value: float) -> Source:
        """The same file with another value without data; its handles serve both, since it is applied to what they return."""
        return super().with_nodata(value) if self._open_with is None else self._open_with(value)

    def __copy__(self) -> FileSource:
        other = object.__new__(FileSource)
        other.__dict__.update(self.__dict__)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        stated = {name: getattr(self, name) for name in ("nodata", "band_nodata", "stored_values", "band_names")}
        return _open_again, (self._open_again, stated)

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        try:
            with self._handles.lend(self.open_dataset) as dataset:
                return read_dataset(dataset, window, bands, self.nodata_of(bands))
        except READ_ERRORS as error:
            raise InputError(
                f"{self.name} cannot be read at rows {window.row}–{window.row + window.height}, columns "
                f"{window.col}–{window.col + window.width}: {failure_cause(self.name)}"
            ) from error

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        if self.complex:  # GDAL would take means of complex numbers, whose phases cancel
            coarse = WarpedSource(self, self.grid.zoom_to(shape), Resampling.average.name)
            return coarse.read(whole(coarse.grid), bands)
        try:
            with self._handles.lend(self.open_dataset) as dataset:
                values = self.nodata_of(bands)
                nodata = storable_nodata(self.dtype, common_nodata(values))
                known = all(same_nodata(nodata, dataset.nodatavals[band - 1]) for band in bands)
                if nodata is None or known or dataset.gcps[0]:
                    return read_dataset(dataset, None, bands, values, shape)
                # GDAL leaves out of means what it knows of
                with subset_bands(dataset, bands, [nodata] * len(bands)) as declared:
                    return read_dataset(declared, None, range(1, len(bands) + 1), values, shape)
        except READ_ERRORS as error:
            raise InputError(f"{self.name} cannot be read: {failure_cause(self.name)}") from error

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        dataset = open_raster(self._target)
        crooked = bool(dataset.gcps[0]) and dataset.transform.is_identity
        if bands is None and crooked and common_nodata(dataset.nodatavals) is None:
            bands = dataset.indexes
        dataset = dataset if bands is None else subset_bands(dataset, bands)
        return warp_by_points(dataset) if crooked else dataset


def _polarisation(dataset: DatasetReader, band: int) -> str:
    """What the tags of a radar band call its polarisation, "" of any other."""
    tags = {name.casefold(): value for name, value in dataset.tags(band).items()}
    return next((tags[name].strip() for name in POLARISATION_TAGS if name in tags), "")


def _from_anywhere(path: str) -> str:
    """The path of a file whatever the current folder is; other names, such as URLs, as they are."""
    return os.path.abspath(path) if os.path.exists(path) else path


def _open_again(open_file: Callable[[], FileSource], stated: Mapping[str, Any]) -> FileSource:
    """The file of another process, opened in this one, with the nodata, scale and names that it was read with there."""
    source = open_file()
    source.__dict__.update(stated)
    return source


class _OnGrid(Source):
    """What another source says of itself, on a grid of its own."""

    def __init__(self, origin: Source, grid: Grid) -> None:
        self.name, self.paths, self.tags = origin.name, origin.paths, origin.tags
        self.wavelengths_nm, self.colour_roles = origin.wavelengths_nm, origin.colour_roles
        self.dtype, self.nodata = origin.dtype, origin.nodata
        self.band_nodata = origin.nodata_of(range(1, len(origin.band_names) + 1))
        self.stored_values, self.height_crs = origin.stored_values, origin.height_crs
        self.bands, self.band_names, self.grid, self._origin = origin.bands, origin.band_names, grid, origin


class WarpedSource(_OnGrid):
    """Another source resampled to a grid, window by window."""

    def __init__(self, origin: Source, grid: Grid, resampling: str) -> None:
        super().__init__(origin, grid)
        self._resampling = Resampling[resampling]
        self._handles: dict[tuple[int, ...], Handles] = {}  # by the bands that are read
        zoom = _zoom_factor(origin.grid, grid) if resampling == Resampling.average.name else 0
        by_means = zoom and not origin.complex and self._means_leave_out_nodata()
        self._zoomed = zoom if by_means else 0  # else 0: the pixels are warped
        self._interpolates = interpolates(origin.grid, origin.dtype, grid, self._resampling)

    @classmethod
    def view(cls, origin: Source, grid: Grid, resampling: str) -> Source:
        """A view of `origin` on `grid`; pixel for pixel where only one has a place and the shapes agree."""
        if (own := origin.warp(grid)) is not None:
            return own
        if not only_one_placed(origin.grid, grid):
            return cls(origin, grid, resampling)
        if tuple(origin.grid.shape) != tuple(grid.shape):
            what = "georeference" if origin.grid.crs == grid.crs else "CRS"
            without = origin.grid.crs is None and (what == "CRS" or origin.grid.affine.is_identity)
            raise GridError(
                f"{origin.name} has {'no' if without else 'a'} {what} and {tuple(origin.grid.shape)} pixels, "
                f"the reference grid has {'one' if without else f'no {what}'} and {tuple(grid.shape)}. "
                f"Georeference both, or give images of the same size. {NO_CRS_REMEDY}"
            )
        return _PixelForPixel(origin, grid)

    def with_nodata(self, value: float) -> WarpedSource:
        return WarpedSource(self._origin.with_nodata(value), self.grid, self._resampling.name)

    def most_of(self) -> Source | None:
        return self._origin if overlap_share(self._origin.grid, self.grid) >= MOST_VIEWED else None

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        if not self._interpolates:
            return self._warp(window, bands)
        data = np.empty((len(bands), window.height, window.width), self.dtype)
        valid, nodata = np.empty(data.shape[1:], bool), self.nodata_of(bands)
        for piece in blocks((window.height, window.width), PIECE_PX):
            part = piece.move(window.row, window.col)
            pixels = interpolate(
                lambda around: self._origin.read(around, bands), self._origin.grid, self.grid, part, nodata
            )
            rows, cols = piece.slices
            data[:, rows, cols], valid[rows, cols] = pixels or self._warp(part, bands)
        return data, valid

    def _warp(self, window: Window, bands: Sequence[int]) -> Pixels:
        """A window by GDAL."""
        handles = self._handles.setdefault(tuple(bands), Handles())
        try:
            if self._zoomed:
                with handles.lend(lambda: self._origin.open_dataset(bands)) as dataset:
                    fine = Window(*(side * self._zoomed for side in window))
                    shape = (window.height, window.width)
                    return read_dataset(dataset, fine, range(1, len(bands) + 1), self.nodata_of(bands), shape)
            with handles.lend(lambda: self.open_dataset(bands)) as dataset:
                return read_dataset(dataset, window, range(1, len(bands) + 1), common_nodata(self.nodata_of(bands)))
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        step = 2 ** int(math.log2(max(1.0, min(np.divide(self.grid.shape, shape)))))
        fine = [-(-side // step) for side in self._origin.grid.shape]
        if step > 1 and math.prod(fine) <= FINER * math.prod(shape):
            return self._warp_overview((fine[0], fine[1]), shape, bands)
        try:
            with self._warped(self.grid.zoom_to(shape), Resampling.average, bands) as dataset:
                return read_dataset(dataset, None, range(1, len(bands) + 1), common_nodata(self.nodata_of(bands)))
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def _means_leave_out_nodata(self) -> bool:
        """Whether GDAL knows what has no data, as it leaves it out of means."""
        with self._origin.open_dataset() as dataset:
            return all(same_nodata(self.nodata_of([band])[0], dataset.nodatavals[band - 1]) for band in self.bands)

    def _warp_overview(self, fine: tuple[int, int], shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        """The whole grid from the origin averaged down to `fine`, by its overviews, where warping would read all pixels."""
        values, valid = self._origin.read_coarse(fine, bands)
        hidden = np.ma.MaskedArray(values, np.broadcast_to(~valid, values.shape))
        nodata = common_nodata(self.nodata_of(bands))
        overview = ArraySource(hidden, self._origin.grid.zoom_to(fine), nodata)
        warped = WarpedSource(overview, self.grid.zoom_to(shape), Resampling.average.name)
        return warped.read(whole(warped.grid), overview.bands)

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(f"{self.name} cannot be read or warped: {error}. Check it with `deepnets4eo check`.")

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        return self._warped(self.grid, self._resampling, bands)

    def _warped(self, grid: Grid, resampling: Resampling, bands: Sequence[int] | None) -> DatasetReader:
        bands = self.bands if bands is None else bands
        dataset = self._origin.open_dataset(bands)
        nodata = storable_nodata(self.dtype, common_nodata(self.nodata_of(bands)))
        plain = grid.crs is None
        has_alpha = ColorInterp.alpha in dataset.colorinterp
        return WarpedVRT(
            dataset,
            src_crs=PLAIN_CRS if plain else rasterio_crs(self._origin.grid),
            src_transform=FLIP * self._origin.grid.affine if plain else self._origin.grid.affine,
            crs=PLAIN_CRS if plain else rasterio_crs(grid),
            transform=FLIP * grid.affine if plain else grid.affine,
            height=grid.shape[0],
            width=grid.shape[1],
            resampling=resampling,
            src_nodata=nodata,
            nodata=nodata,
            add_alpha=nodata is None and not has_alpha,
            tolerance=WARP_TOLERANCE_PX,
        )


def _zoom_factor(fine: Grid, coarse: Grid) -> int:
    """How many pixels of a grid make one of a coarser grid over the same ground; 0 for no whole number, or other ground."""
    factor = fine.shape[0] // coarse.shape[0]
    same = fine.crs == coarse.crs and tuple(fine.shape) == tuple(factor * side for side in coarse.shape)
    return factor if same and (fine.affine * Affine.scale(factor)).almost_equals(coarse.affine) else 0


class _PixelForPixel(_OnGrid):
    """A source whose pixels lie on another grid of the same shape; its bands by other names, its numbers meant otherwise, if given."""

    def __init__(
        self, origin: Source, grid: Grid, band_names: list[str] | None = None, stored: list[StoredValues] | None = None
    ) -> None:
        super().__init__(origin, grid)
        self.band_names, self._stored = band_names or origin.band_names, stored
        self.stored_values = stored or self.stored_values

    def with_nodata(self, value: float) -> _PixelForPixel:
        return _PixelForPixel(self._origin.with_nodata(value), self.grid, self.band_names, self._stored)

    def most_of(self) -> Source | None:
        return self._origin

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        return self._origin.read(window, bands)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        return self._origin.read_coarse(shape, bands)

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        return self._origin.open_dataset(bands)


def with_grid(source: Source, grid: Grid) -> Source:
    """The same pixels on another grid. Errors: GridError where that has another shape."""
    if tuple(source.grid.shape) != tuple(grid.shape):
        raise GridError(
            f"{source.name} has {tuple(source.grid.shape)} pixels, the other grid {tuple(grid.shape)}. Give one of the same size."
        )
    return _PixelForPixel(source, grid)


def with_names(source: Source, names: Sequence[str]) -> Source:
    """The same source, whose bands have other names, one for each."""
    return _PixelForPixel(source, source.grid, list(names))


def with_stored_values(source: Source, stored: Sequence[StoredValues]) -> Source:
    """The same source, whose numbers are meant in another way, one for each band."""
    return _PixelForPixel(source, source.grid, stored=list(stored))


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids are the same to a thousandth of a pixel."""
    if tuple(a.shape) != tuple(b.shape) or a.crs != b.crs:
        return False
    corners = np.array([(0.0, 0.0), (a.shape[1], 0), (0, a.shape[0])])
    return bool((np.abs(apply_affine(~a.affine * b.affine, corners) - corners) < 1e-3).all())
