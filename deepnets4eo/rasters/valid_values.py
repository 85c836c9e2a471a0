"""Which pixels of an array hold data: neither the value without data, nor NaN or infinite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def valid_values(data: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """A pixel is valid unless all its bands are nodata, or any is NaN or infinite."""
    valid = np.ones(data.shape[1:], bool)
    if nodata is not None and not np.isnan(nodata):
        valid = (data != data.dtype.type(nodata)).any(axis=0) if holds(data.dtype, nodata) else valid
    if np.issubdtype(data.dtype, np.inexact):
        valid = valid & np.isfinite(data).all(axis=0)
    return valid


def storable_nodata(dtype: np.dtype[Any], nodata: float | None) -> float | None:
    """The value without data as a file of this type can declare it; None where no pixel can have it."""
    return nodata if nodata is not None and holds(dtype, nodata) else None


def holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether a value is one of a type: whole and within its limits for integers."""
    if not np.issubdtype(dtype, np.integer):
        return True
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max and float(value).is_integer())
