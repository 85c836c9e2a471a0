"""Wavelengths of bands in nanometres, whatever their unit in a file."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepnets4eo.arrays import Floats

log = logging.getLogger(__name__)

NM_PER_UNIT = {  # in the singular, as Americans write it
    "nanometer": 1.0, "nm": 1.0, "micrometer": 1e3, "micron": 1e3, "um": 1e3, "millimeter": 1e6, "mm": 1e6, "centimeter": 1e7, "cm": 1e7,
    "meter": 1e9, "m": 1e9, "angstrom": 0.1,
}  # fmt: skip
NOT_LENGTHS = {"index", "wavenumber", "ghz", "mhz"}
MAX_MICROMETRES = 100.0  # numbers without a unit are micrometres where none is above
RANGE_NM = (100.0, 1e6)  # ultraviolet to the far infrared
# in names of bands; not metres and centimetres, which are sizes of pixels there
IN_NAMES = re.compile(
    r"([0-9]+(?:\.[0-9]+)?)\s*\(?\s*(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?)\b", re.IGNORECASE
)


class _Stated(NamedTuple):
    """Wavelength of one band as stated in a file: a number above 0 and the name of its unit, in lower case, else empty."""

    number: float
    unit: str


def to_nm(values: Any, units: str = "") -> Floats | None:
    """Wavelengths (B,) in nanometres, without a unit micrometres up to 100; None for what cannot be wavelengths.

    >>> to_nm([0.45, 2.4]).tolist(), to_nm([450, 2400], "Unknown").tolist(), to_nm([1, 2], "Index")
    ([450.0, 2400.0], [450.0, 2400.0], None)
    """
    try:
        numbers = np.asarray(values, np.float64).ravel()
    except (TypeError, ValueError):
        return None
    unit = re.sub("[µμ]", "u", units.strip().lower()).replace("metre", "meter").removesuffix("s")
    if unit in NOT_LENGTHS or not numbers.size or not np.isfinite(numbers).all():
        return None
    by_size = 1e3 if numbers.max() <= MAX_MICROMETRES else 1.0
    nanometres = np.round(numbers * NM_PER_UNIT.get(unit, by_size), 6)
    return nanometres if (nanometres >= RANGE_NM[0]).all() and (nanometres <= RANGE_NM[1]).all() else None


def named_nm(name: str) -> float | None:
    """Return the wavelength in nanometres in the name of a band; None if it has none, or several with a unit, such as a range.

    >>> named_nm("Band 3 (660.5 nm)"), named_nm("0.45 Micrometers"), named_nm("B4 at 10 m"), named_nm("450 nm to 520 nm")
    (660.5, 450.0, None, None)
    """
    matches = IN_NAMES.findall(name)
    numbers = to_nm([matches[0][0]], matches[0][1]) if len(matches) == 1 else None
    return None if numbers is None else float(numbers[0])


def raster_wavelengths_nm(dataset: Any) -> list[float | None] | None:
    """Return the wavelength of each band by tags, else names; None if no band has a possible wavelength."""
    stated = [_stated(dataset, band) for band in range(1, dataset.count + 1)]
    values: list[float | None] = [None] * len(stated)
    for unit in dict.fromkeys(wavelength.unit for wavelength in stated if wavelength is not None):
        numbers = {
            index: wavelength.number
            for index, wavelength in enumerate(stated)
            if wavelength is not None and wavelength.unit == unit
        }
        nanometres = to_nm(list(numbers.values()), unit)
        if nanometres is not None:
            for index, value in zip(numbers, nanometres.tolist(), strict=True):
                values[index] = value
        elif unit not in NOT_LENGTHS:
            log.warning(
                "%s states wavelengths from %g to %g %s; expected 100 nm to 1 mm. They are ignored. Correct the "
                "numbers or their unit in the file.",
                dataset.name, min(numbers.values()), max(numbers.values()), unit or "without unit",
            )  # fmt: skip
    return values if any(value is not None for value in values) else None


def _stated(dataset: Any, band: int) -> _Stated | None:
    tags = {key.lower(): value for key, value in dataset.tags(band).items()}
    if not any("wavelength" in key for key in tags):
        tags = {key.lower(): value for key, value in dataset.tags(band, ns="IMAGERY").items()}
        named = named_nm(dataset.descriptions[band - 1] or "")
        return _first(tags, ("central_wavelength_um",), "µm") or (None if named is None else _Stated(named, "nm"))
    # GDAL gives bands of ENVI files their unit, but for "Index", which stands in the header alone
    unit = tags.get("wavelength_units") or dataset.tags(ns="ENVI").get("wavelength_units", "")
    names = ("wavelength", "central_wavelength", "center_wavelength")
    return _first(tags, names, unit) or _first(tags, ("wavelength_nm",), "nm")


def _first(tags: Mapping[str, str], names: Sequence[str], unit: str) -> _Stated | None:
    for name in names:
        try:
            number = float(tags.get(name, ""))
        except ValueError:
            continue
        if 0 < number < np.inf:
            return _Stated(number, unit.strip().lower())
    return None
