"""Heights of buildings before the event that a column of the footprints states, and what of it cannot be used.

Takes footprints and the name of the column; refuses columns that are missing, or without any height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.outputs.findings import Finding, count_of

if TYPE_CHECKING:
    from deepnets4eo.footprints import Footprints

LEAST_STANDING = 5  # buildings from which a systematic offset is estimated
LEAST_OFFSET_M = 0.5  # smaller ones are within the accuracy of heights and the shape of roofs
REMEDY = "Give metres above 0 as numbers with a point, and leave the others empty."


def stated_heights(outlines: Footprints, column: str | None) -> tuple[NDArray[np.float64], tuple[Finding, ...]]:
    """Return the heights (N,) above ground before the event from a column in metres, NaN where unknown, and a finding
    where values are no heights: words, 0 and less. Raises InputError where there is no such column, or no height in
    it."""
    table = outlines.attributes
    if column is None:
        return np.full(len(outlines), np.nan), ()
    if table is None or column not in table:
        names = [] if table is None else list(table.columns)
        raise InputError(f"the footprints have no column {column!r}; they have {', '.join(map(str, names))}.")
    heights_m = pd.to_numeric(table[column], errors="coerce").to_numpy(float, na_value=np.nan)
    usable = np.isfinite(heights_m) & (heights_m > 0)
    stated = table[column].notna().to_numpy() & (table[column].astype(str).str.strip() != "").to_numpy()
    wrong = stated & ~usable
    example = f" ({table[column].to_numpy()[wrong][0]!s:.40} for one)" if wrong.any() else ""
    if not usable.any():
        raise InputError(
            f"the column {column!r} of the footprints {outlines.source} holds no height: of "
            f"{count_of(len(outlines), 'value')}, {wrong.sum()} cannot be used{example}. {REMEDY}"
        )
    if not wrong.any():
        return heights_m, ()
    text = (
        f"{wrong.sum()} of {count_of(int(stated.sum()), 'value')} in the column {column!r} of the footprints cannot be used as "
        f"heights{example}: these heights are unknown."
    )
    return np.where(usable, heights_m, np.nan), (Finding("heights_unusable", "caution", text, REMEDY),)


def systematic_offset_m(above_roofs_m: NDArray[np.float64]) -> float:
    """By how much stated heights lie above the mean surface of roofs that stand: a median.

    Parameters
    ----------
    above_roofs_m
        (N,) stated height less that of the surface, of buildings that stand, metres.

    Returns
    -------
    Metres; 0 where it is below 0.5 m, or of fewer than 5 buildings.

    Examples
    --------
    >>> systematic_offset_m(np.array([2.4, 2.5, 2.6, 2.5, 9.0])), systematic_offset_m(np.array([2.5, 2.5]))
    (2.5, 0.0)
    """
    known = above_roofs_m[np.isfinite(above_roofs_m)]
    offset_m = float(np.median(known)) if len(known) >= LEAST_STANDING else 0.0
    return offset_m if abs(offset_m) >= LEAST_OFFSET_M else 0.0


def without_offset(heights_m: NDArray[np.float64], offset_m: float) -> NDArray[np.float64]:
    """(N,) stated heights less an offset; unknown where nothing is left."""
    left = heights_m - offset_m
    with np.errstate(invalid="ignore"):
        return np.where(left > 0, left, np.nan)
