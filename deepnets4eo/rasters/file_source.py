"""A raster file as a source: what it says of its bands, and its windows. No two threads share a dataset handle at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.addresses import shown_address
from deepnets4eo.arrays import Pixels
from deepnets4eo.cards import EmbeddingCard
from deepnets4eo.errors import InputError
from deepnets4eo.formats import READ_ERRORS, open_raster, raster_wavelengths_nm, rpc_advice
from deepnets4eo.grid import Window, check_grid, whole
from deepnets4eo.rasters.array_source import Source
from deepnets4eo.rasters.band_subset import (
    alpha_bands,
    as_power,
    false_alpha,
    subset_bands,
    with_columns_first,
    without_alpha,
)
from deepnets4eo.rasters.datasets import (
    Handles,
    dataset_grid,
    description_errors,
    failure_cause,
    pyproj_crs,
    read_dataset,
    warp_by_points,
)
from deepnets4eo.rasters.longitudes import first_column_to_roll, roll, usual_longitudes
from deepnets4eo.rasters.values import (
    StoredValues,
    check_stated,
    common_nodata,
    same_nodata,
    stated_values,
    storable_nodata,
)
from deepnets4eo.rasters.warped_source import WarpedSource

POLARISATION_TAGS = ("polarimetric_interp", "polarisation", "polarization")  # of bands of radar


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
        self._open_again = open_again or partial(FileSource, name, from_anywhere(target), paths, nodata)
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


def from_anywhere(path: str) -> str:
    """The path of a file whatever the current folder is; other names, such as URLs, as they are."""
    return os.path.abspath(path) if os.path.exists(path) else path


def _open_again(open_file: Callable[[], FileSource], stated: Mapping[str, Any]) -> FileSource:
    """The file of another process, opened in this one, with the nodata, scale and names that it was read with there."""
    source = open_file()
    source.__dict__.update(stated)
    return source
