"""What text, PLY and PCD files hold beside coordinates, as `PointCloud` holds it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

BYTE = 255


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
