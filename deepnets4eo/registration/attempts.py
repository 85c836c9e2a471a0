"""One registration attempt for a pair: two rounds of windows from a first model, a majority fit, and its test on held-out windows.

Takes two sampled images and a first model in metres of the frame; refuses nothing: the gate's status is part of the attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.grid import apply_affine
from deepnets4eo.outputs import Phrase
from deepnets4eo.registration.fit import (
    FOLDS,
    ModelName,
    choose_model,
    held_out_errors,
    residuals,
    robust_fit,
    scale_and_turn,
)
from deepnets4eo.registration.result import QualityThresholds, RegistrationQuality, Status, quality_status
from deepnets4eo.registration.tiepoints import (
    IDENTITY,
    Matches,
    SampledPair,
    Search,
    gradient_correlations,
    match_spread,
)

ModelChoice: TypeAlias = Literal["auto", "translation", "similarity", "affine"]

MAX_COMPARED = 64
FINE_SIDES_PX = (256, 128, 64, 32)
FINE_RADIUS_PX = 12
ROUGH_COUNT, FINE_COUNT = 100, 256
HOLDOUT = 0.3
SEARCH_SIGNIFICANCE = 1e-6  # of what a search over all turns finds: many models were tried
UNAMBIGUOUS_SHARE = 0.4
STATUSES: tuple[Status, ...] = ("ok", "degraded", "failed")
TOLERANCE_PX = 3.0  # a tie point within that distance agrees with the model


def fine_search(pair: SampledPair) -> Search:
    """Return the search with the largest windows that fit at least four times along the shorter side of the overlap."""
    side_px = min(pair.sides) / pair.gsd_m
    fitting = [size for size in FINE_SIDES_PX if side_px >= 4 * size]
    size = fitting[0] if fitting else FINE_SIDES_PX[-1]
    return Search(size, min(FINE_RADIUS_PX, size * 3 // 8), pair.gsd_m, FINE_COUNT)


@dataclass(frozen=True)
class AttemptTask:
    """Settings that all attempts at one pair share."""

    pair: SampledPair
    search: Search
    choice: ModelChoice
    max_shift_m: float
    seed: int

    def attempt(self, start: Affine, limits: QualityThresholds, *, turned: bool = False) -> Attempt:
        """Fit a model from a first model in two rounds of windows. turned : see `about` of `_fit_round`."""
        rough = self.round(self.pair, start, turned=turned)
        about = rough.affine if turned else IDENTITY
        fitted = _fit_round(self.pair, self.search, rough.affine, self.choice, self.seed + 1, about=about)
        measured = measure_fit(self.pair, self.search, fitted, self.max_shift_m, self.seed)
        attempt = Attempt(fitted, measured, *quality_status(measured, limits))
        return self._of_all_windows(attempt, about, limits) if attempt.status == "failed" else attempt

    def _of_all_windows(self, failed: Attempt, about: Affine, limits: QualityThresholds) -> Attempt:
        """Fit the model of all windows, each held out once, if too few remain for one test; the result is at best degraded."""
        fitted, limits = self.fit_all(failed.fitted, about), stricter(limits)
        for most_compared in (0, MAX_COMPARED):  # windows are read again only where all else is well
            measured = measure_fit(self.pair, self.search, fitted, self.max_shift_m, self.seed, most_compared)
            measured = replace(measured, train_inliers=measured.inliers)
            if quality_status(measured, limits)[0] == "failed":
                return failed
        values = {"failed": failed.why, "inliers": measured.inliers, "tested": measured.tested}
        return Attempt(fitted, measured, "degraded", Phrase("match_of_all_windows", values))

    def fit_all(self, fitted: FittedModel, about: Affine) -> FittedModel:
        """Fit the model through all windows of a fitted model; each error is from a fit without that window and a fifth of the others."""
        matches, tolerance, rng = fitted.matches, fitted.tolerance_m, np.random.default_rng(self.seed)
        reliable = matches.reliable
        errors, everything = np.full(len(reliable), np.inf), np.ones(len(reliable), bool)
        if reliable.sum() < 3:
            return replace(fitted, holdout=everything, held_out_errors_m=errors)
        points, targets = matches.points[reliable], apply_affine(~about, matches.targets[reliable])
        model = choose_model(points, targets, tolerance, rng) if self.choice == "auto" else self.choice
        fold = rng.permutation(len(points)) % FOLDS
        errors[reliable] = held_out_errors(model, points, targets, tolerance, fold)
        affine = about * robust_fit(model, points, targets, tolerance, rng)
        return FittedModel(_named(model, about), affine, matches, everything, tolerance, errors)

    def round(self, part: SampledPair, start: Affine, *, turned: bool) -> FittedModel:
        """Fit a model in a first round of few windows from a starting model, in a part of the overlap."""
        search = replace(self.search, max_count=ROUGH_COUNT)
        return _fit_round(part, search, start, self.choice, self.seed, about=start if turned else IDENTITY)

    @property
    def with_small_windows(self) -> AttemptTask:
        """The same with windows of half the side: many more of them, so that fewer need to agree."""
        side_px = max(self.search.side_px // 2, FINE_SIDES_PX[-1])
        return replace(
            self, search=replace(self.search, side_px=side_px, radius_px=min(FINE_RADIUS_PX, side_px * 3 // 8))
        )


@dataclass(frozen=True)
class FittedModel:
    """A model, the matches it was made for, and which of them were held out."""

    model: ModelName
    affine: Affine
    matches: Matches
    holdout: Mask
    tolerance_m: float
    held_out_errors_m: Floats | None = None  # where each match was held out from a model of the others

    @property
    def errors(self) -> Floats:
        """Residual of each match, metres."""
        if self.held_out_errors_m is not None:
            return self.held_out_errors_m
        return residuals(self.affine, self.matches.points, self.matches.targets)

    @property
    def inlier(self) -> Mask:
        """Reliable matches within the tolerance."""
        return np.asarray(self.matches.reliable & (self.errors <= self.tolerance_m))


@dataclass(frozen=True)
class Attempt:
    """A fitted model, its quality, and the gate's verdict."""

    fitted: FittedModel
    measured: RegistrationQuality
    status: Status
    why: Phrase | None

    @property
    def unambiguous(self) -> bool:
        """Return whether enough matches agree, whatever the status, that no other rotation needs to be tried."""
        share = self.measured.inliers / max(self.measured.reliable, 1)
        return (
            self.measured.significance <= SEARCH_SIGNIFICANCE and share >= UNAMBIGUOUS_SHARE and self.status != "failed"
        )

    def better_than(self, other: Attempt) -> bool:
        """Return whether the status is better, or equally good while fewer hold-out tie points would agree by chance."""
        ranks = [STATUSES.index(attempt.status) for attempt in (self, other)]
        surer = self.measured.significance < other.measured.significance
        return ranks[0] < ranks[1] or (ranks[0] == ranks[1] and self.status != "failed" and surer)


def _fit_round(
    pair: SampledPair, search: Search, start: Affine, choice: ModelChoice, seed: int, *, about: Affine = IDENTITY
) -> FittedModel:
    """Match windows through the starting model and fit a better one to 70 % of them; `about`: a turned model, kept by few points."""
    matches = match_spread(pair, search, start, seed)
    rng = np.random.default_rng(seed)
    holdout = rng.random(len(matches.points)) < HOLDOUT
    tolerance = TOLERANCE_PX * search.gsd_m
    train = matches.reliable & ~holdout
    if train.sum() < 3:
        return FittedModel(_named("translation", about), start, matches, holdout, tolerance)
    points, targets = matches.points[train], apply_affine(~about, matches.targets[train])
    model = choose_model(points, targets, tolerance, rng) if choice == "auto" else choice
    affine = about * robust_fit(model, points, targets, tolerance, rng)
    return FittedModel(_named(model, about), affine, matches, holdout, tolerance)


def _named(model: ModelName, about: Affine) -> ModelName:
    """Return the name of the model that results from combining a model with the turned model that it corrects."""
    return "similarity" if model == "translation" and about != IDENTITY else model


def stricter(limits: QualityThresholds) -> QualityThresholds:
    """Return the stricter limits for a model that was selected among many."""
    return replace(limits, significance=SEARCH_SIGNIFICANCE, good_share=UNAMBIGUOUS_SHARE)


def measure_fit(
    pair: SampledPair,
    search: Search,
    fitted: FittedModel,
    max_shift_m: float,
    seed: int,
    most_compared: int = MAX_COMPARED,
) -> RegistrationQuality:
    """Measure the quality of a fitted model. most_compared : hold-out windows read again to compare before and after."""
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
) -> tuple[Floats, Floats]:
    """Gradient correlation of hold-out windows as georeferenced and through the model, where both can be read."""
    points = fitted.matches.points[fitted.holdout]
    if len(points) > most:
        points = points[np.sort(np.random.default_rng(seed).choice(len(points), most, replace=False))]
    before, after = gradient_correlations(pair, search, points, [IDENTITY, fitted.affine])
    known = np.isfinite(before) & np.isfinite(after)
    return before[known], after[known]


def tie_columns(fitted: FittedModel, to_pixel: Affine) -> dict[str, NDArray[Any]]:
    """Return the tie points as columns; `pixel` is (col, row) in the post grid."""
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


def _cells(points: Floats, box: tuple[float, float, float, float]) -> int:
    """Count how many of 4 × 4 cells of the box contain a point."""
    size = np.array([box[2] - box[0], box[3] - box[1]]) / 4
    cell = np.clip(((points - box[:2]) / size).astype(int), 0, 3)
    return len({(int(col), int(row)) for col, row in cell})
