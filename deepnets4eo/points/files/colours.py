"""Colours of point files as 8 bit: LAS stores 16 bit, and many files hold 8-bit values in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTE = 255
SHIFT = 8  # 65,280 or 65,535 → 255: files hold 8 bit times 256, or the whole range


def holds_bytes(values: NDArray[Any]) -> bool:
    """Returns whether 16-bit values of a file are 8-bit ones: most that are not 0 are at most 255, whatever a few are.

    Parameters
    ----------
    values
        Some of the file's colours, of any shape.

    Returns
    -------
    bool
        True for 8-bit values.
    """
    known = values[values > 0]
    return bool(not known.size or np.median(known) <= BYTE)


def to_bytes(values: NDArray[Any], *, are_bytes: bool) -> NDArray[np.uint8]:
    """Return 16-bit colours as 8 bit. Where they are 8-bit values already (`holds_bytes`), what is above 255 becomes
    255."""
    return (np.minimum(values, BYTE) if are_bytes else values >> SHIFT).astype(np.uint8)


def to_words(values: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return 8-bit colours as LAS stores them, 0–65,280, from which `to_bytes` returns the same values."""
    return np.left_shift(values.astype(np.uint16), SHIFT, dtype=np.uint16)
