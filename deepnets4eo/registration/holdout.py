"""How well a fitted model holds at hold-out tie points: residual, share that agrees, spread, gain of correlation.

The numbers behind the status of a registration; the fit has used none of the points they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.grid import apply_affine
from deepnets4eo.registration.fit import ModelName, residuals, scale_and_turn
from deepnets4eo.registration.quality import RegistrationQuality
from deepnets4eo.registration.tiepoints import IDENTITY, Matches, SampledPair, Search, gradient_correlation

MOST_COMPARED = 64


@dataclass(frozen=True)
class FittedModel:
    """A model, the matches it was made for, and which of them were held out."""

    model: ModelName
    affine: Affine
    matches: Matches
    holdout: NDArray[np.bool_]
    tolerance_m: float

    @property
    def errors(self) -> NDArray[np.float64]:
        """Residual of each match, metres."""
        return residuals(self.affine, self.matches.points, self.matches.targets)

    @property
    def inlier(self) -> NDArray[np.bool_]:
        """Reliable matches within the tolerance."""
        return np.asarray(self.matches.reliable & (self.errors <= self.tolerance_m))


def measure_fit(
    pair: SampledPair,
    search: Search,
    fitted: FittedModel,
    max_shift_m: float,
    seed: int,
    most_compared: int = MOST_COMPARED,
) -> RegistrationQuality:
    """The quality of a fitted model. most_compared : hold-out windows read again to compare before and after."""
    matches, holdout, inlier = fitted.matches, fitted.holdout, fitted.inlier
    held_inlier = inlier & holdout
    residual = float(np.sqrt((fitted.errors[held_inlier] ** 2).mean())) if held_inlier.any() else float("nan")
    shift = (apply_affine(fitted.affine, pair.middle) - pair.middle)[0]
    before, after = _before_and_after(pair, search, fitted, seed, most_compared)
    low, high, turn = scale_and_turn(fitted.affine)
    area = (2 * search.radius_px + 1) * search.gsd_m
    return RegistrationQuality(
        gsd_m=search.gsd_m,
        tested=int(holdout.sum()),
        reliable=int((matches.reliable & holdout).sum()),
        inliers=int(held_inlier.sum()),
        chance=float(np.pi * fitted.tolerance_m**2 / area**2),
        residual_m=residual,
        train_inliers=int((inlier & ~holdout).sum()),
        cells=_cells(matches.points[inlier], pair.box),
        shift_m=float(np.hypot(*shift)),
        max_shift_m=max_shift_m,
        scale_min=low,
        scale_max=high,
        rotation_deg=turn,
        ncc_before=float(np.median(before)) if len(before) else float("nan"),
        ncc_after=float(np.median(after)) if len(after) else float("nan"),
        improved=float((after > before).mean()) if len(after) else float("nan"),
    )


def _before_and_after(
    pair: SampledPair, search: Search, fitted: FittedModel, seed: int, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient correlation of hold-out windows as georeferenced and through the model, where both can be read."""
    points = fitted.matches.points[fitted.holdout]
    if len(points) > most:
        points = points[np.sort(np.random.default_rng(seed).choice(len(points), most, replace=False))]
    before = gradient_correlation(pair, search, points, IDENTITY)
    after = gradient_correlation(pair, search, points, fitted.affine)
    known = np.isfinite(before) & np.isfinite(after)
    return before[known], after[known]


def tie_columns(fitted: FittedModel, to_pixel: Affine) -> dict[str, NDArray[Any]]:
    """The tie points as columns; `pixel` is (col, row) in the post grid."""
    matches = fitted.matches
    offset = matches.targets - matches.points
    return {
        "pixel": apply_affine(to_pixel, matches.points),
        "dx_m": offset[:, 0],
        "dy_m": offset[:, 1],
        "residual_m": fitted.errors,
        "quality": matches.values,
        "ratio": matches.ratios,
        "reliable": matches.reliable,
        "inlier": fitted.inlier,
        "holdout": fitted.holdout,
    }


def _cells(points: NDArray[np.float64], box: tuple[float, float, float, float]) -> int:
    """How many of 4 × 4 cells of the box hold a point."""
    size = np.array([box[2] - box[0], box[3] - box[1]]) / 4
    cell = np.clip(((points - box[:2]) / size).astype(int), 0, 3)
    return len({(int(col), int(row)) for col, row in cell})
