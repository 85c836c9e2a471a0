"""Raster file as a source: its band metadata and its windows. No two threads share a dataset handle at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.addresses import name_of
from deepnets4eo.arrays import Pixels
from deepnets4eo.cards import EmbeddingCard
from deepnets4eo.errors import InputError
from deepnets4eo.formats import (
    READ_ERRORS,
    Declared,
    StoredValues,
    Structure,
    open_raster,
    place_advice,
)
from deepnets4eo.grid import Window, check_grid, whole
from deepnets4eo.rasters.array_source import Source, masked_copy
from deepnets4eo.rasters.averages import read_averaged
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
    check_points,
    dataset_grid,
    description_errors,
    pyproj_crs,
    read_dataset,
    warp_by_points,
)
from deepnets4eo.rasters.longitudes import first_column_to_roll, roll, usual_longitudes
from deepnets4eo.rasters.upright import as_stated
from deepnets4eo.rasters.values import common_nodata, same_nodata, storable_nodata
from deepnets4eo.rasters.virtual import declared_of
from deepnets4eo.rasters.warped_source import WarpedSource

STRUCTURES = ("orientation", "pages")  # that `_honour_structure` follows


class FileSource(Source):
    """A raster file, a URL, or a mosaic of tiles; another process opens it by itself.

    held : the VRT that `target` names, alive as long as its reader; open_again : opens it in another process; open_with : opens it with
    another nodata value, if that value refers to the stored numbers of its tiles."""

    by_gdal = True

    def __init__(
        self, name: str, target: str, paths: list[str], nodata: float | None, *, held: MemoryFile | None = None,
        open_again: Callable[[], FileSource] | None = None, open_with: Callable[[float], FileSource] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.paths, self._held, self._open_with = name_of(name), paths, held, open_with
        self._open_again = open_again or partial(FileSource, name, from_anywhere(target), paths, nodata)
        self._target, self._handles = target, Handles()
        self._translated: MemoryFile | None = None
        self._masked: MemoryFile | None = None
        self._has_checked_points = False
        structure = self._honour_structure()
        with description_errors(name), self._handles.lend(self._open_file) as dataset:
            self._describe(dataset, nodata)
            self.declared = replace(self.declared, orientation=structure.orientation, pages=structure.pages)
            rolled = first_column_to_roll(self.grid)
            if self.declared.unmasked or self.declared.is_complex:
                text = as_power(dataset) if self.declared.is_complex else without_alpha(dataset)
                self._translated = MemoryFile(text.encode(), ext=".vrt")
            elif rolled:
                self.grid = roll(self.grid, rolled)
                self._translated = MemoryFile(with_columns_first(dataset, rolled).encode(), ext=".vrt")
        if self._translated is not None:
            self._target, self._handles = self._translated.name, Handles()

    def _honour_structure(self) -> Structure:
        """Take pages as bands, and a turned picture upright; returns what the file states of both."""
        with description_errors(self.name), self._handles.lend(self._open_file) as dataset:
            structure = Structure.of_dataset(dataset)
            honoured = as_stated(dataset, self.name, structure)
        if honoured is not None:
            self._held, self._target, self._handles = honoured, honoured.name, Handles()
        return structure

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
        declared = declared_of(dataset, self.name, unmasked)
        declared = declared if nodata is None else declared.with_nodata(nodata)
        is_complex = declared.is_complex  # read as power
        self.dtype = np.dtype(np.float32 if is_complex else dataset.dtypes[0])
        if is_complex:
            squares = [None if band.nodata is None else band.nodata**2 for band in declared.bands]
            declared = declared.with_bands(nodata=squares)
        self.declared = declared
        card = EmbeddingCard.from_tags(self.tags, self.name) or EmbeddingCard.of_names(self.band_names)
        if card is not None:
            self.with_card(card)
        self.grid, self.place_advice = usual_longitudes(dataset_grid(dataset)), place_advice(dataset)
        self.height_crs = pyproj_crs(dataset)
        check_grid(self.grid, self.name)

    def with_stated(self, bands: Sequence[Mapping[str, Any]]) -> FileSource:
        """Return the file with band metadata that is stated elsewhere; metadata in the file itself takes precedence."""
        count = len(self.band_names)
        numbers = [band - 1 for band in self.bands] if len(bands) == len(self.bands) else range(count)  # without alpha
        if not (fits := len(bands) in (0, 1, len(numbers))) and any(set(band) - {"name"} for band in bands):
            raise InputError(f"{self.name} has {count} bands, its STAC item describes {len(bands)}. Correct the item.")
        stated: list[dict[str, Any]] = [{} for _ in range(count)]
        for band, words in zip(numbers, ([*bands] * count if len(bands) == 1 else bands) if fits else (), strict=False):
            known = (
                set(words) if len(bands) == len(numbers) else {*words} - {"name"}
            )  # one name is not that of all bands
            stated[band] = {word: words[word] for word in known}
            if "nodata" in known:
                stated[band]["nodata"] = storable_nodata(self.dtype, words["nodata"])
        self.declared = self.declared.with_stated(stated)
        return self

    def with_card(self, card: EmbeddingCard) -> FileSource:
        """Return the file as embeddings of a card, which scales its numbers if they have the type that the card states."""
        card.check_bands(len(self.bands), self.name)
        declared, count = self.declared.with_tags(card.to_tags()), len(self.declared)
        if self.dtype.name == card.stored and all(stored.plain for stored in declared.stored):
            declared = declared.with_bands(stored=[StoredValues(card.scale, power=card.power)] * count)
            if card.nodata is not None and self.nodata is None:
                declared = declared.with_bands(nodata=[card.nodata] * count)
        self.declared = declared
        return self

    def with_nodata(self, value: float) -> Source:
        """Return the file with another nodata value; its handles serve both, as the value is applied to the arrays they return."""
        return super().with_nodata(value) if self._open_with is None else self._open_with(value)

    def __copy__(self) -> FileSource:
        other = object.__new__(FileSource)
        other.__dict__.update(self.__dict__)
        other._masked = None  # freed with the source that it was made for
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self._open_again, self.declared)

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        try:
            with self._handles.lend(self._open_file) as dataset:
                data, valid = read_dataset(dataset, window, bands, self.nodata_of(bands))
                return data, valid & self.valid(data, bands) if self.declared.limits else valid
        except READ_ERRORS as error:
            rows, cols = (
                f"{begin}–{begin + size}" for begin, size in ((window.row, window.height), (window.col, window.width))
            )
            raise InputError.of_reading(self.name, f" at rows {rows}, columns {cols}") from error

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        if self.declared.limits:
            return read_averaged(self, shape, bands)
        if self.declared.is_complex:  # GDAL would take means of complex numbers, whose phases cancel
            coarse = WarpedSource(self, self.grid.zoom_to(shape), Resampling.average.name)
            return coarse.read(whole(coarse.grid), bands)
        try:
            with self._handles.lend(self._open_file) as dataset:
                values = self.nodata_of(bands)
                nodata = storable_nodata(self.dtype, common_nodata(values))
                known = all(same_nodata(nodata, dataset.nodatavals[band - 1]) for band in bands)
                if nodata is None or known or dataset.gcps[0]:
                    return read_dataset(dataset, None, bands, values, shape)
                # GDAL leaves out of means what it knows of
                with subset_bands(dataset, bands, [nodata] * len(bands)) as declared:
                    return read_dataset(declared, None, range(1, len(bands) + 1), values, shape)
        except READ_ERRORS as error:
            raise InputError.of_reading(self.name) from error

    def share_decoded(self) -> None:
        self._handles.share()

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        if not self.declared.limits:
            return self._open_file(bands)
        if self._masked is None:  # GDAL follows no valid range
            self._masked = masked_copy(self)
        return subset_bands(
            open_raster(self._masked.name), [self.bands.index(band) + 1 for band in bands or self.bands]
        )

    def _open_file(self, bands: Sequence[int] | None = None) -> DatasetReader:
        dataset = open_raster(self._target, honours=STRUCTURES)
        crooked = bool(dataset.gcps[0]) and dataset.transform.is_identity
        if crooked:
            Structure.of_dataset(dataset).check(self.name)
            if not self._has_checked_points:
                check_points(dataset, self.name)
                self._has_checked_points = True
        if bands is None and crooked and common_nodata(dataset.nodatavals) is None:
            bands = dataset.indexes
        dataset = dataset if bands is None else subset_bands(dataset, bands)
        return warp_by_points(dataset) if crooked else dataset


def from_anywhere(path: str) -> str:
    """Return the path of a file independently of the current folder; other names, such as URLs, unchanged."""
    return os.path.abspath(path) if os.path.exists(path) else path


def _open_again(open_file: Callable[[], FileSource], declared: Declared) -> FileSource:
    """Open the file of another process in this one, with the nodata, scale and names that it was read with there."""
    source = open_file()
    source.declared = declared
    return source
