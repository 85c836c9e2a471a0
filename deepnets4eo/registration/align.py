"""Pre to post: wide windows for a first model, fine windows twice, a model chosen and tested on hold-out tie points.

Where that is not good, first models of every turn and of learned matches are tried, behind the same gate. Takes two layers of any
CRS, resolution and band count; refuses pairs that do not overlap or of which only one has a CRS (unless they have the same shape, and are
then taken pixel for pixel).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration.coarse import coarse_model, coarse_shift, shift_by_halves
from deepnets4eo.registration.fit import (
    FOLDS,
    MODELS,
    ModelName,
    choose_model,
    held_out_errors,
    residuals,
    robust_fit,
    scale_and_turn,
)
from deepnets4eo.registration.ground import MetricFrame
from deepnets4eo.registration.hypotheses import PART_PX, similarity_hypotheses
from deepnets4eo.registration.learned import learned_models
from deepnets4eo.registration.options import MAX_ROTATION_DEG, MAX_SHIFT_M, NEAR_ROTATION_DEG
from deepnets4eo.registration.result import (
    QualityThresholds,
    Registration,
    RegistrationQuality,
    Status,
    halves_agree,
    quality_status,
)
from deepnets4eo.registration.tiepoints import (
    IDENTITY,
    Matches,
    SampledPair,
    Search,
    gradient_correlation,
    make_pair,
    match_spread,
)

MOST_COMPARED = 64

ModelChoice: TypeAlias = Literal["auto", "translation", "similarity", "affine"]

FINE_SIDES_PX = (256, 128, 64, 32)
FINE_RADIUS_PX = 12
ROUGH_COUNT, FINE_COUNT = 100, 256
HOLDOUT = 0.3
SEARCH_SIGNIFICANCE = 1e-6  # of what a search over all turns finds: many models were tried
UNAMBIGUOUS_SHARE = 0.4
PART_GROWTH = 2.5
STATUSES: tuple[Status, ...] = ("ok", "degraded", "failed")
TOLERANCE_PX = 3.0  # a tie point within that distance agrees with the model


def register(
    pre: Layer,
    post: Layer,
    *,
    model: ModelChoice = "auto",
    max_shift_m: float = MAX_SHIFT_M,
    max_rotation_deg: float = MAX_ROTATION_DEG,
    seed: int = 0,
) -> Registration:
    """Measure how the pre image lies against the post image, and how reliable that is.

    Parameters
    ----------
    pre, post
        The two images: any CRS, resolution and band count. Without CRS their coordinates count as metres.
    model
        Kind of the map between both; "auto" takes the simplest one that predicts hold-out tie points as well as the
        richer ones.
    max_shift_m
        Largest displacement tried, metres.
    max_rotation_deg
        Largest rotation accepted, 0–45 degrees. Beyond 3, and where the first search finds nothing good, all turns are tried.
    seed
        Draws hold-out points and samples.

    Returns
    -------
    Registration, also when it failed; see its status.

    Raises
    ------
    GridError
        The images do not overlap, or only one of them has a CRS.
    InputError
        An unknown model, a displacement that is no distance above 0, or a rotation outside 0–45.

    Peak memory: some 100 MB whatever the images' size, and GDAL's cache.
    Time: bounded by the number of windows, some seconds.

    Examples
    --------
    ::

        registration = register(Layer.open("pre.tif"), Layer.open("post.tif"))
        print(registration.status, registration.dx_m, registration.dy_m)
    """
    if model not in ("auto", *MODELS):
        raise InputError(f"model is {model!r}, expected one of auto, {', '.join(MODELS)}.")
    if not 0 < max_shift_m < np.inf:
        raise InputError(f"max_shift_m is {max_shift_m}, expected a distance above 0 metres.")
    if not 0 <= max_rotation_deg <= 45:
        raise InputError(f"max_rotation_deg is {max_rotation_deg}, expected an angle from 0 to 45 degrees.")
    pair = make_pair(pre, post)
    if not np.isfinite([*pair.sides, pair.gsd_m]).all():
        raise GridError(
            f"{pre.source} and {post.source} have no common ground that can be measured in metres. Check their CRSs with "
            "`deepnets4eo check`."
        )
    task = _Task(pair, fine_search(pair), model, max_shift_m, seed)
    first = coarse_model(pair, max_shift_m, seed)
    near = QualityThresholds(max_rotation_deg=min(max_rotation_deg, NEAR_ROTATION_DEG))
    attempt = task.attempt(first, near)
    attempt = _try_small_windows(task, attempt, first, near)
    if attempt.status != "ok" and model != "translation" and not attempt.unambiguous:
        attempt = _try_every_turn(task, attempt, max_rotation_deg)
    if attempt.status != "ok" and model != "translation":
        attempt = _try_learned(task, attempt, max_rotation_deg)
    if attempt.status == "failed":
        attempt = _try_halves(task, attempt)
    return _result(pair, attempt)


def assume_registered(pre: Layer, post: Layer) -> Registration:
    """Take two images as registered already, without measuring: for pairs that were registered by other means.

    Parameters
    ----------
    pre, post
        The two images, of any CRS, resolution and band count.

    Returns
    -------
    Registration with status "ok" and no displacement.

    Raises
    ------
    GridError
        The images do not overlap, or only one of them has a CRS.

    Examples
    --------
    ::

        registration = assume_registered(Layer.open("pre.tif"), Layer.open("post.tif"))
    """
    pair = make_pair(pre, post, least_px=0)
    search = fine_search(pair)
    none = np.empty((0, 2))
    matches = Matches(none, none, np.empty(0), np.empty(0), np.empty(0, bool), np.empty((0, 1, 1), np.float32))
    fitted = FittedModel("translation", IDENTITY, matches, np.empty(0, bool), TOLERANCE_PX * search.gsd_m)
    measured = measure_fit(pair, search, fitted, float("inf"), 0)
    return _result(pair, Attempt(fitted, measured, "ok", "taken as registered, not measured"))


def fine_search(pair: SampledPair) -> Search:
    """The largest windows of which at least four fit along the shorter side of the overlap."""
    side_px = min(pair.sides) / pair.gsd_m
    fitting = [size for size in FINE_SIDES_PX if side_px >= 4 * size]
    size = fitting[0] if fitting else FINE_SIDES_PX[-1]
    return Search(size, min(FINE_RADIUS_PX, size * 3 // 8), pair.gsd_m, FINE_COUNT)


def _fit_round(
    pair: SampledPair, search: Search, start: Affine, choice: ModelChoice, seed: int, *, about: Affine = IDENTITY
) -> FittedModel:
    """Match windows through the starting model and fit a better one to 70 % of them.

    about : a turned model that the fit corrects, so that a few points, which fix a shift alone, keep its turn.
    """
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
    """What a model that corrects a turned one is with it."""
    return "similarity" if model == "translation" and about != IDENTITY else model


def _fit_all(fitted: FittedModel, choice: ModelChoice, seed: int, about: Affine) -> FittedModel:
    """The model through all windows; the error of each is that from a fit without it and a fifth of the windows."""
    matches, tolerance, rng = fitted.matches, fitted.tolerance_m, np.random.default_rng(seed)
    reliable = matches.reliable
    errors = np.full(len(reliable), np.inf)
    if reliable.sum() < 3:
        return replace(fitted, holdout=np.ones(len(reliable), bool), held_out_errors_m=errors)
    points, targets = matches.points[reliable], apply_affine(~about, matches.targets[reliable])
    model = choose_model(points, targets, tolerance, rng) if choice == "auto" else choice
    fold = rng.permutation(len(points)) % FOLDS
    errors[reliable] = held_out_errors(model, points, targets, tolerance, fold)
    affine = about * robust_fit(model, points, targets, tolerance, rng)
    everything = np.ones(len(reliable), bool)
    return FittedModel(_named(model, about), affine, matches, everything, tolerance, errors)


@dataclass(frozen=True)
class _Task:
    """What all attempts at one pair share."""

    pair: SampledPair
    search: Search
    choice: ModelChoice
    max_shift_m: float
    seed: int

    def attempt(self, start: Affine, limits: QualityThresholds, *, turned: bool = False) -> Attempt:
        """The model that two rounds of windows make of a first one. turned : see `about` of `_fit_round`."""
        rough = self.round(self.pair, start, turned=turned)
        about = rough.affine if turned else IDENTITY
        fitted = _fit_round(self.pair, self.search, rough.affine, self.choice, self.seed + 1, about=about)
        measured = measure_fit(self.pair, self.search, fitted, self.max_shift_m, self.seed)
        attempt = Attempt(fitted, measured, *quality_status(measured, limits))
        return self._of_all_windows(attempt, about, limits) if attempt.status == "failed" else attempt

    def _of_all_windows(self, failed: Attempt, about: Affine, limits: QualityThresholds) -> Attempt:
        """The model of all windows, each held out once, where few are left for one test; at best degraded."""
        fitted = _fit_all(failed.fitted, self.choice, self.seed, about)
        measured = measure_fit(self.pair, self.search, fitted, self.max_shift_m, self.seed)
        measured = replace(measured, train_inliers=measured.inliers)
        if quality_status(measured, _stricter(limits))[0] == "failed":
            return failed
        reason = f"{failed.reason}; of all, {measured.inliers} of {measured.tested} agree with models made without them"
        return Attempt(fitted, measured, "degraded", reason)

    def round(self, part: SampledPair, start: Affine, *, turned: bool) -> FittedModel:
        """The model that a first round of few windows makes of the starting one in a part of the overlap."""
        search = replace(self.search, max_count=ROUGH_COUNT)
        return _fit_round(part, search, start, self.choice, self.seed, about=start if turned else IDENTITY)

    @property
    def with_small_windows(self) -> _Task:
        """The same with windows of half the side: many more of them, so that fewer need to agree."""
        side_px = max(self.search.side_px // 2, FINE_SIDES_PX[-1])
        return replace(
            self, search=replace(self.search, side_px=side_px, radius_px=min(FINE_RADIUS_PX, side_px * 3 // 8))
        )


def _try_small_windows(task: _Task, first: Attempt, start: Affine, limits: QualityThresholds) -> Attempt:
    """The attempt with smaller windows, where the first is not ok and the gate thinks better of this one: where ground and leaning
    roofs move apart, the ground's windows are few, and a part of large windows holds both. It starts from what the first attempt
    fitted, or from its start where that failed."""
    if first.status == "ok":
        return first
    start = start if first.status == "failed" else first.fitted.affine
    turned = abs(scale_and_turn(start)[2]) > NEAR_ROTATION_DEG
    attempt = task.with_small_windows.attempt(start, _stricter(limits), turned=turned)
    return attempt if attempt.better_than(first) else first


def _try_every_turn(task: _Task, first: Attempt, max_rotation_deg: float) -> Attempt:
    """The attempt from the best of the models that a search over all turns finds, where the gate thinks better of it."""
    best, most = IDENTITY, -1
    for start in similarity_hypotheses(task.pair, task.max_shift_m, max_rotation_deg):
        for part in _growing_parts(task.pair):
            fitted = task.round(part, start, turned=True)
            start = fitted.affine
        agreeing = int(_fit_all(fitted, task.choice, task.seed, start).inlier.sum())
        if agreeing > most:
            best, most = start, agreeing
    limits = _stricter(QualityThresholds(max_rotation_deg=max_rotation_deg))
    attempt = task.attempt(best, limits, turned=True)
    attempt = _try_small_windows(task, attempt, best, limits)
    return attempt if attempt.better_than(first) else first


def _try_learned(task: _Task, first: Attempt, max_rotation_deg: float) -> Attempt:
    """The attempt from the place that learned matches agree on, where the gate thinks better of it."""
    limits = _stricter(QualityThresholds(max_rotation_deg=max_rotation_deg))
    best = first
    for start in learned_models(task.pair, task.seed):
        turned = abs(scale_and_turn(start)[2]) > NEAR_ROTATION_DEG
        attempt = _try_small_windows(task, task.attempt(start, limits, turned=turned), start, limits)
        best = attempt if attempt.better_than(best) else best
        if best.status == "ok":
            break
    return best


def _stricter(limits: QualityThresholds) -> QualityThresholds:
    """The limits for what was searched for among many models."""
    return replace(limits, significance=SEARCH_SIGNIFICANCE, good_share=UNAMBIGUOUS_SHARE)


def _growing_parts(pair: SampledPair) -> Iterator[SampledPair]:
    """Parts around the middle, each some times wider, and the whole: a small error of the turn is a large one far out."""
    x, y = pair.middle[0]
    side_m = PART_PX * pair.gsd_m
    while side_m * PART_GROWTH < max(pair.sides):
        left, top, right, bottom = pair.box
        half = side_m / 2
        yield replace(pair, box=(max(left, x - half), max(top, y - half), min(right, x + half), min(bottom, y + half)))
        side_m *= PART_GROWTH
    yield pair


def _try_halves(task: _Task, failed: Attempt) -> Attempt:
    """One shift from all windows together, where both halves of the overlap agree on it; the failed attempt otherwise."""
    shifted, halves = _fit_by_halves(task.pair, task.search, task.max_shift_m, task.seed)
    if halves_agree(halves):
        reason = f"{failed.reason}; both halves of the overlap still agree on one shift, to {halves.split_m:.2f} m"
        return Attempt(shifted, halves, "degraded", reason)
    measured = replace(failed.measured, split_m=halves.split_m, split_score=halves.split_score)
    return replace(failed, measured=measured)


def _fit_by_halves(
    pair: SampledPair, search: Search, max_shift_m: float, seed: int
) -> tuple[FittedModel, RegistrationQuality]:
    """Where single windows are not reliable: one shift from all of them, checked half against half."""
    first = coarse_shift(pair, max_shift_m, seed)
    matches = match_spread(pair, search, first, seed)
    correction, apart_m, score = shift_by_halves(matches, search)
    holdout = np.ones(len(matches.points), bool)
    fitted = FittedModel("translation", correction * first, matches, holdout, TOLERANCE_PX * search.gsd_m)
    measured = measure_fit(pair, search, fitted, max_shift_m, seed)
    return fitted, replace(measured, residual_m=apart_m, split_m=apart_m, split_score=score)


def _result(pair: SampledPair, attempt: Attempt) -> Registration:
    fitted, status = attempt.fitted, attempt.status
    model = fitted.affine if status != "failed" else IDENTITY
    frame = MetricFrame.of(pair.post.grid)
    pixels = frame.to_pixel * model * ~frame.to_pixel
    middle = pair.middle
    shift = (apply_affine(model, middle) - middle)[0]
    return Registration(
        status=status,
        reason=attempt.reason,
        model=fitted.model,
        matrix=np.array(pixels[:6]).reshape(2, 3),
        dx_m=float(shift[0]),
        dy_m=float(shift[1]),
        measured=attempt.measured,
        post_grid=pair.post.grid,
        pre_grid=pair.pre.grid,
        ties=tie_columns(fitted, frame.to_pixel),
    )


@dataclass(frozen=True)
class FittedModel:
    """A model, the matches it was made for, and which of them were held out."""

    model: ModelName
    affine: Affine
    matches: Matches
    holdout: NDArray[np.bool_]
    tolerance_m: float
    held_out_errors_m: NDArray[np.float64] | None = None  # where each match was held out from a model of the others

    @property
    def errors(self) -> NDArray[np.float64]:
        """Residual of each match, metres."""
        if self.held_out_errors_m is not None:
            return self.held_out_errors_m
        return residuals(self.affine, self.matches.points, self.matches.targets)

    @property
    def inlier(self) -> NDArray[np.bool_]:
        """Reliable matches within the tolerance."""
        return np.asarray(self.matches.reliable & (self.errors <= self.tolerance_m))


@dataclass(frozen=True)
class Attempt:
    """A fitted model, its quality, and what the gate says of it."""

    fitted: FittedModel
    measured: RegistrationQuality
    status: Status
    reason: str

    @property
    def unambiguous(self) -> bool:
        """Whether so many matches agree, whatever the status, that no other rotation needs to be tried."""
        share = self.measured.inliers / max(self.measured.reliable, 1)
        return (
            self.measured.significance <= SEARCH_SIGNIFICANCE and share >= UNAMBIGUOUS_SHARE and self.status != "failed"
        )

    def better_than(self, other: Attempt) -> bool:
        """Whether its status is better, or as good while fewer hold-out tie points would agree by chance."""
        ranks = [STATUSES.index(one.status) for one in (self, other)]
        surer = self.measured.significance < other.measured.significance
        return ranks[0] < ranks[1] or (ranks[0] == ranks[1] and self.status != "failed" and surer)


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
