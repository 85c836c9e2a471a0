"""Band properties that an xarray array declares: by its attributes, as in files, and by the labels of its band axis."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.formats.band_info import BandInfo
from deepnets4eo.formats.cf_words import CF_WORDS, MISSING, OF_BANDS, CFWords, plain_text
from deepnets4eo.formats.wavelengths import to_nm

if TYPE_CHECKING:
    import xarray

ENCODED = ("nodata", "_FillValue", "missing_value")  # a Zarr array's fill_value of 0 says nothing of its pixels
BAND_COORDINATES = ("band", "bands")  # of rioxarray and odc-geo, also of one band that was chosen
LISTS = {
    "scales": "scale_factor",
    "offsets": "add_offset",
    "descriptions": "long_name",
}  # of rioxarray, if bands differ, and xarray
WAVELENGTHS = ("wavelength", "wavelengths", "central_wavelength", "wavelength_nm", "wl")


def array_words(array: xarray.DataArray, band_axis: Hashable | None) -> CFWords:
    """Return the attributes of an array that define the meaning of its numbers.

    Nodata values that xarray keeps with whole numbers count; nodata values kept with decoded numbers are NaN already."""
    words = {str(key): value for key, value in array.attrs.items() if str(key) in {*CF_WORDS, OF_BANDS}}
    for listed, word in LISTS.items():
        if listed in array.attrs and not (isinstance(array.attrs[listed], str) or word in array.encoding):
            words.setdefault(word, array.attrs[listed])
            _check_same(array, listed, word, words[word])
    if array.dtype.kind in "iu" and not any(word in words for word in (*MISSING, OF_BANDS)):
        words |= {word: array.encoding[word] for word in (*ENCODED, OF_BANDS) if array.encoding.get(word) is not None}
    decoded = {
        word: array.encoding[word]
        for word in ("scale_factor", "add_offset")
        if word in array.encoding and word not in words
    }
    name = "the array" if array.name is None else f"the array {array.name!r}"
    return CFWords(words, array.dtype, name, _numbers_of_bands(array, band_axis), decoded)


def _check_same(array: xarray.DataArray, listed: str, word: str, value: Any) -> None:
    """Refuse (InputError) a list of all bands that contradicts the word that states the same of them."""
    own = np.ravel(np.asarray(array.attrs[listed], object))
    stated = np.ravel(np.asarray(value, object))
    same = own.shape == stated.shape or stated.size == 1
    if word != "long_name" and not (same and bool((own == stated).all())):
        raise InputError(
            f"the array {array.name!r} states {listed} = {array.attrs[listed]!r} and {word} = {value!r}, which say the same of its bands. "
            "Correct or remove one of the attributes."
        )


def array_bands(array: xarray.DataArray, band_axis: Hashable | None, words: CFWords) -> tuple[BandInfo, ...]:
    """Return what is stated of each band: labels of the band axis that are texts, else `long_name`, are their names."""
    count = 1 if band_axis is None else int(array.sizes[band_axis])
    waves = _wavelengths(array, band_axis, count)
    return tuple(
        replace(band, name=label or band.name, wavelength_nm=wave)
        for band, label, wave in zip(words.bands(count), _labels(array, band_axis, count), waves, strict=True)
    )


def array_tags(array: xarray.DataArray) -> dict[str, str]:
    """Return the other attributes of an array, as tags of a file."""
    return {
        str(key): plain_text(value)
        for key, value in array.attrs.items()
        if str(key) not in {*CF_WORDS, *LISTS, OF_BANDS, "grid_mapping"}
    }


def _band_coordinate(array: xarray.DataArray, band_axis: Hashable | None) -> NDArray[Any] | None:
    names = [band_axis] if band_axis is not None else [name for name in BAND_COORDINATES if name in array.coords]
    return np.ravel(array.coords[names[0]].values) if names and names[0] in array.coords else None


def _numbers_of_bands(array: xarray.DataArray, band_axis: Hashable | None) -> tuple[int, ...]:
    """Return the band numbers, from 1, that index lists of all bands; () if the labels are not such numbers."""
    labels = _band_coordinate(array, band_axis)
    return () if labels is None or labels.dtype.kind not in "iu" else tuple(labels.tolist())


def _labels(array: xarray.DataArray, band_axis: Hashable | None, count: int) -> list[str]:
    """Return the labels of the bands as names, "" for those that are whole numbers: these count bands."""
    labels = _band_coordinate(array, band_axis)
    if labels is None or labels.dtype.kind in "iu":
        return [""] * count
    return (
        ["" if label is None or label != label else str(label) for label in labels.tolist()]
        if (labels.dtype.kind not in "mM")
        else [str(label) for label in labels]
    )


def _wavelengths(array: xarray.DataArray, band_axis: Hashable | None, count: int) -> list[float | None]:
    """Return the wavelength of each band in nanometres by a coordinate along the band axis, else none."""
    axes = () if band_axis is None else (band_axis,)
    for name, coordinate in array.coords.items():
        if str(name).lower() in WAVELENGTHS and coordinate.dims in (axes, (name,)):
            unit = plain_text(coordinate.attrs.get("units", ""))
            stated = np.ravel(coordinate.values)
            known = np.isfinite(stated) if stated.dtype.kind == "f" else np.ones(stated.shape, bool)
            numbers = to_nm(stated[known], unit or ("nm" if str(name).endswith("_nm") else ""))
            if numbers is not None and len(stated) == count:
                waves = iter(numbers.tolist())
                return [next(waves) if is_known else None for is_known in known.tolist()]
    return [None] * count
