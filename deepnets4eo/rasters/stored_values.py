"""How the numbers of a raster are meant, as its file says: their scale, offset and unit.

Layers are read in physical values, number × scale + offset, so that bands, dates and files can be compared. Values without
data are left out before, as the file states them of its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

METRE_NAMES = ("", "m", "metre", "meter", "metres", "meters")


class StoredValues(NamedTuple):
    """How a file says that its numbers are meant: number × scale + offset, in a unit ("" where it names none)."""

    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""

    @property
    def plain(self) -> bool:
        """Whether the numbers are the values."""
        return self.scale == 1 and self.offset == 0


def stored_values_of(source: object) -> list[StoredValues] | None:
    """How the numbers of all bands of a source are meant, in the order of the file; None where nothing says it, as of arrays."""
    return getattr(source, "stored_values", None)


def stated_values(dataset: DatasetReader, name: str) -> tuple[StoredValues, ...]:
    """How a file says that the numbers of each band are meant. Errors: as of `check_stated`."""
    units = ((unit or "").strip() for unit in dataset.units)
    stated = tuple(StoredValues(*each) for each in zip(dataset.scales, dataset.offsets, units, strict=True))
    if all(one.plain for one in stated):
        scale = _envi_scale(dataset)
        stated = tuple(StoredValues(scale, unit=one.unit) for one in stated)
    check_stated(stated, name)
    return stated


def _envi_scale(dataset: DatasetReader) -> float:
    """What the header of an ENVI file says in words that GDAL leaves to others: reflectance = number / factor; 1 without it."""
    try:
        factor = float(dataset.tags(ns="ENVI").get("reflectance_scale_factor", 1))
    except ValueError:
        return 1.0
    return 1 / factor if factor > 0 and math.isfinite(factor) else 1.0


def check_stated(stated: Sequence[StoredValues], name: str) -> None:
    """Refuse scales that leave no values, and offsets that are no numbers, of each band. Errors: InputError."""
    for band, (scale, offset, _) in enumerate(stated, start=1):
        if scale == 0 or not math.isfinite(scale) or not math.isfinite(offset):
            raise InputError(
                f"{name} states a scale of {scale:g} and an offset of {offset:g} for band {band}; expected finite numbers, and no "
                "scale of 0, which leaves no values. Correct them, e.g. with gdal_edit.py -scale 1 -offset 0."
            )


def same_unit(one: str, other: str) -> bool:
    """Whether two units are the same; a band without one counts as metres, as heights do."""
    first, second = ("" if unit.lower() in METRE_NAMES else unit.lower() for unit in (one, other))
    return first == second


def describe_vrt(stored: StoredValues) -> str:
    """The elements of a GDAL virtual band that say how its numbers are meant."""
    unit = f"<UnitType>{escape(stored.unit)}</UnitType>" if stored.unit else ""
    return unit if stored.plain else f"{unit}<Offset>{stored.offset!r}</Offset><Scale>{stored.scale!r}</Scale>"


def physical_dtype(dtype: np.dtype[Any], stated: Sequence[StoredValues]) -> np.dtype[Any]:
    """The type of physical values: that of the numbers where these are the values, else one of floating point that holds both."""
    return dtype if all(one.plain for one in stated) else np.result_type(dtype, np.float32)


def to_physical(data: NDArray[Any], stated: Sequence[StoredValues]) -> NDArray[Any]:
    """Physical values of numbers (C, h, w) as they are stored; the same array where these are the values."""
    if all(one.plain for one in stated):
        return data
    values = np.empty(data.shape, physical_dtype(data.dtype, stated))
    with np.errstate(over="ignore"):  # of values without data, as large as their type
        for band, (out, (scale, offset, _)) in enumerate(zip(values, stated, strict=True)):
            out[:] = data[band].astype(np.float64) * scale + offset
    return values
