"""Volumes of debris by formula: the rule of thumb from area and height, and the error of a volume of many cells.

Sources: FEMA 329, Debris Estimating Field Guide (2010): a building leaves 33 % of its enclosed volume, the rest was air;
reviews find 30 to 50 % uncertainty, whence the range 0.25 to 0.40. Volumes are bulk volumes, air between pieces included.
Errors: Rolstad et al. (2009), doi:10.3189/002214309789470950: an area in which errors of heights are alike counts once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOW, MID, HIGH = 0.25, 0.33, 0.40
SPHERICAL = 5.0  # a spherical correlation of range L acts over an area of pi L² / 5
NORMAL_95 = 1.96


class VolumeRange(NamedTuple):
    """The least, the likely and the greatest volume, (N,) m³ each."""

    low: NDArray[np.float64]
    mid: NDArray[np.float64]
    high: NDArray[np.float64]


def rule_of_thumb(area_m2: ArrayLike, height_m: ArrayLike, destroyed_share: ArrayLike = 1.0) -> VolumeRange:
    """Estimate the debris of buildings that have come down: 0.33 · area · mean height before the event · destroyed
    share, between 0.25 and 0.40 of it.

    >>> rule_of_thumb(100, 6).mid.round(1).item()
    198.0
    """
    enclosed = np.asarray(area_m2, float) * np.maximum(np.asarray(height_m, float), 0) * np.asarray(destroyed_share)
    return VolumeRange(LOW * enclosed, MID * enclosed, HIGH * enclosed)


def volume_sigma(cells: ArrayLike, cell_area_m2: float, sigma_m: float, correlation_m: float) -> NDArray[np.float64]:
    """Return the standard error (N,) in m³ of sums over n cells whose errors are alike within `correlation_m` (range L
    of a spherical correlation): cell area · sigma · sqrt(n · n_corr) with n_corr = pi L² / (5 · cell area), at least
    1 and at most n.

    >>> volume_sigma(400, 0.25, 0.1, 0).item()  # independent cells
    0.5
    """
    number = np.asarray(cells, float)
    together = max(np.pi * correlation_m**2 / (SPHERICAL * cell_area_m2), 1.0)
    return cell_area_m2 * sigma_m * np.sqrt(number * np.minimum(together, np.maximum(number, 1.0)))


def nmad(values: ArrayLike) -> float:
    """Return the spread of values that outliers do not change: 1.4826 · median of the distances from the median; NaN
    are left out.

    >>> nmad([0.0, 1.0, 2.0, 3.0, 1000.0])
    1.4826
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(1.4826 * np.median(np.abs(known - np.median(known)))) if len(known) else float("nan")
