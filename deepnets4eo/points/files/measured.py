"""What files hold beside coordinates, as `PointCloud` holds it: bytes and intensities.

LAS stores colours in 16 bits, and many files hold 8-bit values in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

BYTE = 255
SHIFT = 8  # 65,280 or 65,535 → 255: files hold 8 bit times 256, or the whole range


def holds_bytes(values: NDArray[Any]) -> bool:
    """Returns whether 16-bit values of a file are 8-bit ones: most that are not 0 are at most 255, whatever a few are."""
    known = values[values > 0]
    return bool(not known.size or np.median(known) <= BYTE)


def to_bytes(values: NDArray[Any], *, are_bytes: bool) -> NDArray[np.uint8]:
    """Return 16-bit colours as 8 bit. Where they are 8-bit values already (`holds_bytes`), what is above 255 becomes
    255."""
    return (np.minimum(values, BYTE) if are_bytes else values >> SHIFT).astype(np.uint8)


def to_words(values: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return 8-bit colours as LAS stores them, 0–65,280, from which `to_bytes` returns the same values."""
    return np.left_shift(values.astype(np.uint16), SHIFT, dtype=np.uint16)


def as_bytes(values: NDArray[Any], name: str, source: str) -> NDArray[np.uint8]:
    """Return whole numbers 0–255 as uint8. Raises InputError, naming what they are and where they are from, for a value
    that is out of range, not whole, or no number."""
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0) & (values <= BYTE) & (values % 1 == 0))
    if wrong.any():
        first = values[wrong][0]
        raise InputError(
            f"{source}: {int(wrong.sum()):,} values of {name} are no whole numbers 0–255, such as {first}. "
            "Convert them, or name the columns of a text file otherwise."
        )
    return values.astype(np.uint8)


def as_intensity(values: NDArray[Any] | None) -> NDArray[np.float32] | None:
    """Return a measured intensity (N,) as float32, None where there is none but NaN; single NaN values become 0, as
    scanners store what they could not measure."""
    if values is None:
        return None
    known = np.isfinite(values)
    return np.where(known, values, 0).astype(np.float32) if known.any() else None
