"""Further missing values and valid ranges that the tags of a raster state in words of the CF conventions, as converters of NetCDF and Zarr leave them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.formats.band_info import BandInfo
from deepnets4eo.formats.cf_words import UNSIGNED, CFWords

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

LIMITS = ("_FillValue", "missing_value", "valid_range", "valid_min", "valid_max")
SEPARATORS = re.compile(r"[\s,;]+")
WHOLE = re.compile(r"[+-]?\d+")


def with_tagged_limits(dataset: DatasetReader, band: int, info: BandInfo, source: str) -> BandInfo:
    """Return what is stated of a band, with what the tags of the band, else of the file, state of its missing values and valid range.

    Raises InputError for words that are no numbers, and for signed numbers that are meant as unsigned ones.
    """
    own, common = dataset.tags(band), dataset.tags()
    stated = {word: own.get(word, common.get(word)) for word in (*LIMITS, UNSIGNED)}
    words: dict[str, Any] = {
        word: _numbers(text) for word, text in stated.items() if text is not None and word in LIMITS
    }
    name = dataset.dtypes[band - 1]
    if (not words and stated[UNSIGNED] is None) or name.startswith("complex"):
        return info
    dtype = np.dtype(name)
    read = CFWords({**words, UNSIGNED: stated[UNSIGNED]}, dtype, source)
    if read.number_dtype != dtype:
        raise InputError(
            f"{source} states by _Unsigned that its {dtype} mean {read.number_dtype}, which GDAL does not follow here. Write it in that type: "
            f"gdal_translate -ot {read.number_dtype.name.title().replace('Ui', 'UI')} IN OUT.tif, with its negative numbers plus {1 << (8 * dtype.itemsize)}."
        )
    words |= {"scale_factor": info.stored.scale, "add_offset": info.stored.offset}
    (limits,) = CFWords(words, dtype, source).bands(1)
    values = [value for value in (info.nodata, limits.nodata, *limits.missing) if value is not None]
    different = [
        value for number, value in enumerate(values) if not any(_same(value, other) for other in values[:number])
    ]
    if len(different) < 2 and limits.valid_range is None:
        return replace(info, nodata=different[0] if different else None)
    return replace(info, nodata=None, missing=tuple(different), valid_range=limits.valid_range)


def _same(first: float, second: float) -> bool:
    return first == second or (first != first and second != second)


def _numbers(text: str) -> Any:
    """Return the numbers of a list such as "{0,100}", whole numbers as int; the text itself if it is no list of numbers."""
    parts = [part for part in SEPARATORS.split(text.strip().strip("{}[]()")) if part]
    if parts and all(map(WHOLE.fullmatch, parts)):
        return np.array([int(part) for part in parts], np.int64)
    return parts or text
