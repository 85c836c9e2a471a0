"""Which pixels of an array hold data: neither the value without data, nor NaN or infinite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Nodata = float | None | Sequence[float | None]  # one value of all bands, or one for each

# GDAL takes a float for nodata within 2 epsilons of single precision of the sum of both, for doubles too: tags are
# written with fewer digits than pixels have
NEAR = 2.0 * float(np.finfo(np.float32).eps)


def valid_values(data: NDArray[Any], nodata: Nodata) -> NDArray[np.bool_]:
    """A pixel is valid unless all bands that have a nodata value hold it, each its own, or any band is NaN or infinite.

    data : (C, h, w)
    """
    valid = np.ones(data.shape[1:], bool)
    stated = [
        (band, value)
        for band, value in zip(data, nodata_of_bands(nodata, len(data)), strict=True)
        if value is not None and holds(data.dtype, value)
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


def is_nodata(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Where `values` (...) are the value without data: the same number, or NaN; floats as near as GDAL takes them for it."""
    if not holds(values.dtype, nodata):
        return np.zeros(values.shape, bool)
    if values.dtype.kind != "f" or not np.isfinite(nodata):
        return np.asarray(np.isnan(values) if np.isnan(nodata) else values == values.dtype.type(nodata))
    number = as_stored(values.dtype, nodata)
    with np.errstate(over="ignore"):  # near the end of the type the sum is infinite, and every value of its size near
        return np.asarray((values == number) | (np.abs(values - number) < NEAR * np.abs(values + number)))


def nodata_of_bands(nodata: Nodata, count: int) -> list[float | None]:
    """The value without data of each of `count` bands."""
    return list(nodata) if isinstance(nodata, Sequence) else [nodata] * count


def common_nodata(values: Sequence[float | None]) -> float | None:
    """The value without data that bands have in common; None where they differ, or have none."""
    return values[0] if all(same_nodata(value, values[0]) for value in values) else None


def same_nodata(first: float | None, second: float | None) -> bool:
    """Whether two values without data are the same, also where both are NaN."""
    return first == second or (first is not None and second is not None and first != first and second != second)


def storable_nodata(dtype: np.dtype[Any], nodata: float | None) -> float | None:
    """The value without data as a file of this type can declare it; None where no pixel can have it."""
    return as_stored(dtype, nodata) if nodata is not None and holds(dtype, nodata) else None


def as_stored(dtype: np.dtype[Any], value: float) -> float:
    """The number of a floating type next to `value`: GDAL reads −3.4028235e38 as less than any of single precision."""
    if dtype.kind != "f" or not np.isfinite(value):
        return value
    most = float(np.finfo(dtype).max)
    return float(dtype.type(min(max(value, -most), most)))


def holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether a value is one of a type: whole and within its limits for integers."""
    if not np.issubdtype(dtype, np.integer):
        return dtype.kind != "f" or not np.isfinite(value) or abs(value) * (1 - NEAR) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max and float(value).is_integer())
