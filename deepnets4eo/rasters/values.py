"""Interpretation of the numbers of a band: physical values, pixels with data, outliers, and labels (bytes, void 255)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.cards import VOID
from deepnets4eo.errors import LabelError
from deepnets4eo.formats import Declared, StoredValues
from deepnets4eo.rasters.length_units import metres_of

Nodata = float | None | Sequence[float | None]  # one value of all bands, or one for each

# GDAL takes a float for nodata within 2 epsilons of single precision of the sum of both, for doubles too: tags are
# written with fewer digits than pixels have
NEAR = 2.0 * float(np.finfo(np.float32).eps)

MAX_LABEL = 2**31

FLOAT32 = np.finfo(np.float32)
SENTINELS = (-9999.0, -99999.0, -32767.0, -32768.0, float(FLOAT32.min), float(FLOAT32.max))  # usual nodata values
FURTHER_SENTINELS = (  # of other writers: also physical values, unless they are far from all others
    -999.0, 9999.0, 99999.0, -999999.0, 999999.0, 32767.0, 65535.0, -(2.0**31), 2.0**31 - 1, 2.0**32 - 1, -10_000.0, -99.0,
    -28_672.0, -3000.0, -32_766.0,  # of MODIS: reflectance, indices of plants
)  # fmt: skip
LARGEST_PHYSICAL = 1e15  # no quantity of a pixel is larger; 1e20 and 9.97e36 are nodata of climate models and netCDF
BELOW_ZERO_GAP = 0.1  # spans between a usual nodata value below 0 and other values, which are all 0 or more
GAP = 10.0  # spans (1st to 99th percentile) between one extreme value and all others; a sentinel needs one span
FAR = 20.0  # spans beyond the percentiles
RUINED = 2.0  # times the deviation without them: fewer or nearer values change little


def same_unit(one: str, other: str) -> bool:
    """Return whether two units are the same; a band without a unit counts as metres, as heights do."""
    first, second = ((metres_of(unit) if unit else 1.0) or unit.lower() for unit in (one, other))
    return first == second


def describe_vrt(stored: StoredValues) -> str:
    """Return the elements of a GDAL virtual band that state the unit, offset and scale of its numbers."""
    unit = f"<UnitType>{escape(stored.unit)}</UnitType>" if stored.unit else ""
    return unit if stored.plain else f"{unit}<Offset>{stored.offset!r}</Offset><Scale>{stored.scale!r}</Scale>"


def physical_dtype(dtype: np.dtype[Any], stated: Sequence[StoredValues]) -> np.dtype[Any]:
    """Return the type of physical values: the stored type if the numbers are the values, else a floating type."""
    return dtype if all(stored.plain for stored in stated) else np.result_type(dtype, np.float32)


def to_physical(data: NDArray[Any], stated: Sequence[StoredValues]) -> NDArray[Any]:
    """Physical values of stored numbers (C, h, w); the same array where these are the values."""
    if all(stored.plain for stored in stated):
        return data
    values = np.empty(data.shape, physical_dtype(data.dtype, stated))
    with np.errstate(over="ignore"):  # of values without data, as large as their type
        for band, (out, stored) in enumerate(zip(values, stated, strict=True)):
            out[:] = stored.values(data[band])
    return values


def valid_values(data: NDArray[Any], nodata: Nodata) -> Mask:
    """Return which pixels of data (C, h, w) are valid: no band is NaN or infinite, and not all bands have their nodata value."""
    valid = np.ones(data.shape[1:], bool)
    every = nodata if isinstance(nodata, Sequence) else [nodata] * len(data)
    stated = [
        (band, value) for band, value in zip(data, every, strict=True) if value is not None and holds(data.dtype, value)
    ]
    if stated:
        hidden = np.ones_like(valid)
        for band, value in stated:
            hidden &= is_nodata(band, value)
            if not hidden.any():
                break
        valid = ~hidden
    if np.issubdtype(data.dtype, np.inexact):
        valid = valid & np.isfinite(data).all(axis=0)
    return valid


def valid_numbers(data: NDArray[Any], declared: Declared) -> Mask:
    """Return which pixels of stored numbers (C, h, w) are valid by what is declared of their bands.

    No band is NaN, infinite or outside its valid range, unless it is a missing value; not all bands are missing."""
    if not declared.limits:
        return valid_values(data, [band.nodata for band in declared.bands])
    valid, hidden = valid_values(data, None), list[Mask]()
    for values, band in zip(data, declared.bands, strict=True):
        stated = (*(() if band.nodata is None else (band.nodata,)), *band.missing)
        missing = np.zeros(values.shape, bool)
        for value in stated:
            missing |= is_nodata(values, value)
        valid &= missing | ~band.outside(values)
        hidden += [missing] if stated else []
    return valid & ~np.logical_and.reduce(hidden) if hidden else valid


def valid_pixels(data: NDArray[Any], valid: Mask) -> NDArray[Any]:
    """Return the valid pixels (C, n) of data (C, h, w); a view if all are valid, as picking them is slow."""
    return data.reshape(len(data), -1) if valid.all() else data[:, valid]


def is_nodata(values: NDArray[Any], nodata: float) -> Mask:
    """Return which `values` (...) are the nodata value: the same number, or NaN; floats within GDAL's tolerance."""
    if not holds(values.dtype, nodata):
        return np.zeros(values.shape, bool)
    if values.dtype.kind != "f" or not np.isfinite(nodata):
        return np.asarray(np.isnan(values) if np.isnan(nodata) else values == values.dtype.type(nodata))
    number = as_stored(values.dtype, nodata)
    with np.errstate(over="ignore"):  # near the end of the type the sum is infinite, and every value of its size near
        return np.asarray((values == number) | (np.abs(values - number) < NEAR * np.abs(values + number)))


def common_nodata(values: Sequence[float | None]) -> float | None:
    """Return the common nodata value of bands; None if they differ or have none."""
    return values[0] if all(same_nodata(value, values[0]) for value in values) else None


def same_nodata(first: float | None, second: float | None) -> bool:
    """Return whether two nodata values are the same, also if both are NaN."""
    return first == second or (first is not None and second is not None and first != first and second != second)


def storable_nodata(dtype: np.dtype[Any], nodata: float | None) -> float | None:
    """Return the nodata value as a file of this type can declare it; None if no pixel can have it."""
    return as_stored(dtype, nodata) if nodata is not None and holds(dtype, nodata) else None


def as_stored(dtype: np.dtype[Any], value: float) -> float:
    """Return the floating-point number next to `value`: GDAL reads −3.4028235e38 as less than any number of single precision."""
    if dtype.kind != "f" or not np.isfinite(value):
        return value
    most = float(np.finfo(dtype).max)
    return float(dtype.type(min(max(value, -most), most)))


def holds(dtype: np.dtype[Any], value: float) -> bool:
    """Return whether a type can represent a value: for integers, whole and within the limits."""
    if not np.issubdtype(dtype, np.integer):
        return dtype.kind != "f" or not np.isfinite(value) or abs(value) * (1 - NEAR) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max and float(value).is_integer())


def whole_numbers(values: NDArray[Any], valid: Mask, source: str) -> Indices:
    """Values (h, w) as integers, void where not valid; LabelError for fractions and numbers beyond 2³¹."""
    if values.dtype.kind in "biu":
        return np.where(valid, values.astype(np.int64), VOID)
    numbers = np.where(valid, values, VOID)
    if (numbers != np.rint(numbers)).any() or np.abs(numbers).max(initial=0) > MAX_LABEL:
        raise LabelError(f"{source} holds {values.dtype} that are no labels. Take the argmax of scores first.")
    return numbers.astype(np.int64)


def label_bytes(values: NDArray[Any], valid: Mask, source: str) -> NDArray[np.uint8]:
    """Label values (h, w) uint8, void where not valid; LabelError for what is no whole number 0–255."""
    if values.dtype == np.uint8:
        return np.where(valid, values, np.uint8(VOID))
    labels = whole_numbers(values, valid, source)
    strange = np.unique(labels[(labels < 0) | (labels > VOID)])
    if strange.size:
        raise LabelError(
            f"{source} holds the value {strange[0]}, expected label values 0 to 254 and {VOID} for void. "
            "Remap it, or declare it as nodata: gdal_edit.py -a_nodata VALUE FILE."
        )
    return labels.astype(np.uint8)


def is_usual_nodata(value: float) -> bool:
    """Return whether programs write a value for pixels without data.

    >>> [is_usual_nodata(value) for value in (-9999, -999, 65535, 1e20, 0, 300)]
    [True, True, True, True, False, False]
    """
    return value in SENTINELS or value in FURTHER_SENTINELS or abs(value) >= LARGEST_PHYSICAL


@dataclass(frozen=True)
class Outliers:
    """Values far from all others: the range of the far values, and the range of the others."""

    lowest: float
    highest: float
    low: float
    high: float

    @property
    def nodata(self) -> float | None:
        """Return the value of the outliers if it is a customary nodata value; else None."""
        return self.lowest if self.lowest == self.highest and is_usual_nodata(self.lowest) else None

    def usual_values(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the elements of `values` that are not outliers."""
        return values[(values >= self.low) & (values <= self.high)]

    def dominates_std(self, std: float, values: NDArray[Any]) -> bool:
        """Return whether a deviation of `std` is due to the outliers: more than twice the deviation of the other `values`."""
        return std > RUINED * float(self.usual_values(values).std(dtype=np.float64))

    def __str__(self) -> str:
        """Words for a message: the far values, and the range of the others."""
        which = (
            f"{self.lowest:g}" if self.lowest == self.highest else f"values from {self.lowest:g} to {self.highest:g}"
        )
        return f"{which}, far from all others ({self.low:.4g} to {self.high:.4g})"


def find_outliers(values: NDArray[Any]) -> Outliers | None:
    """Find values far from the majority of `values` (n,); None if there are none. Bytes are never far from each other.

    >>> heights = np.linspace(28.0, 42.0, 1000)
    >>> str(find_outliers(np.append(heights, [-9999.0] * 300)))
    '-9999, far from all others (28 to 42)'
    >>> find_outliers(heights) is None
    True
    """
    if values.dtype.itemsize == 1 or not values.size:
        return None
    ranked = np.sort(values.astype(np.float64))  # once: percentiles of unsorted values take as long each
    if np.isnan(ranked[-1]):
        return None
    others = ranked
    for end in (ranked[0], ranked[-1]):
        first, last = np.searchsorted(others, end, "left"), np.searchsorted(others, end, "right")
        rest = others[last:] if first == 0 else others[:first]
        if rest.size and _gap(end, rest) > _least_gap(end, rest):
            others = rest
    low, high = percentile_of_ranked(others, 1), percentile_of_ranked(others, 99)
    span = high - low
    if span > 0:
        ends = np.searchsorted(others, low - FAR * span, "left"), np.searchsorted(others, high + FAR * span, "right")
        others = others[slice(*ends)]
    low, high = float(others[0]), float(others[-1])
    far = ranked[np.r_[: np.searchsorted(ranked, low, "left"), np.searchsorted(ranked, high, "right") : ranked.size]]
    return Outliers(float(far[0]), float(far[-1]), low, high) if far.size else None


def _least_gap(end: float, rest: Floats) -> float:
    """Return the distance from the rest, in spans of the rest, from which an end of ranked values is far."""
    if end < 0 <= rest[0] and is_usual_nodata(float(end)):
        return BELOW_ZERO_GAP
    return 1.0 if end in SENTINELS else GAP


def _gap(end: float, rest: Floats) -> float:
    """Return the distance from the end to the nearest of the rest, in spans of the rest; 0 if they are equal. rest : ranked."""
    low, high = percentile_of_ranked(rest, 1), percentile_of_ranked(rest, 99)
    nearest = rest[0] if end < rest[0] else rest[-1]
    return float(abs(end - nearest) / (high - low)) if high > low else 0.0


def percentile_of_ranked(ranked: Floats, percent: float) -> float:
    """`numpy.percentile` of values (n,) that are sorted, bit for bit.

    >>> values = np.array([1.0, 2.0, 4.0])
    >>> percentile_of_ranked(values, 75), float(np.percentile(values, 75))
    (3.0, 3.0)
    """
    position = percent / 100 * (ranked.size - 1)
    before = int(position)
    low, high, share = float(ranked[before]), float(ranked[min(before + 1, ranked.size - 1)]), position - before
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share
