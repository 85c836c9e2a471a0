"""Pre-to-post alignment: wide windows for a first model, fine windows twice, a model chosen and tested on held-out tie points.

If that fails, models of every turn are tried, and models from a matcher's key points, behind the same gate. Refuses pairs that do not
overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from affine import Affine

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.outputs import Phrase
from deepnets4eo.rasters import Layer
from deepnets4eo.registration.attempts import (
    TOLERANCE_PX,
    Attempt,
    AttemptTask,
    FittedModel,
    ModelChoice,
    fine_search,
    measure_fit,
    stricter,
    tie_columns,
)
from deepnets4eo.registration.coarse import PART_PX, coarse_model, coarse_shift, shift_by_halves, similarity_hypotheses
from deepnets4eo.registration.fit import MODELS, scale_and_turn
from deepnets4eo.registration.ground import MetricFrame
from deepnets4eo.registration.matchers import Matcher, MatcherName, matched_model, open_matcher
from deepnets4eo.registration.options import SearchLimits
from deepnets4eo.registration.result import QualityThresholds, Registration, RegistrationQuality, halves_agree
from deepnets4eo.registration.tiepoints import IDENTITY, Matches, SampledPair, Search, make_pair, match_spread

PART_GROWTH = 2.5
COARSER = (2, 4)  # times the pixel size
COARSER_SIDE_PX = 128  # four of the smallest windows


def register(
    pre: Layer,
    post: Layer,
    *,
    model: ModelChoice = "auto",
    max_shift_m: float = SearchLimits.shift_m,
    max_rotation_deg: float = SearchLimits.rotation_deg,
    seed: int = 0,
    matcher: Matcher | MatcherName | None = None,
) -> Registration:
    """Measure the offset of the pre image from the post image, and how reliable it is.

    Parameters
    ----------
    pre, post : The two images: any CRS, resolution and band count. Without CRS their coordinates count as metres.
    model
        Kind of the map between both; "auto" takes the simplest one that predicts hold-out tie points as well as the
        richer ones.
    max_shift_m : Largest displacement tried, metres.
    max_rotation_deg
        Largest rotation accepted, 0–45 degrees. Above 3, and if the first search finds nothing good, all turns are tried.
    seed : Draws hold-out points and samples.
    matcher
        Used if no other attempt is ok: takes two grey images (h, w) and returns matching points, (N, 2) columns and rows in
        each, e.g. `disk_lightglue`, or "xfeat", whose weights come with the extra `xfeat`. The same windows decide whether
        its points are reliable.

    Returns
    -------
    Registration, also when it failed; see its status.

    Raises
    ------
    GridError
        The images do not overlap, or only one of them has a CRS.
    InputError
        An unknown model or matcher, a displacement that is no distance above 0, or a rotation outside 0–45.

    Peak memory: some 250 MB whatever the images' size, and GDAL's cache.
    Time: bounded by the number of windows, some seconds.
    """
    if model not in ("auto", *MODELS):
        raise InputError(f"model is {model!r}, expected one of auto, {', '.join(MODELS)}.")
    if not 0 < max_shift_m < np.inf:
        raise InputError(f"max_shift_m is {max_shift_m}, expected a distance above 0 metres.")
    if not 0 <= max_rotation_deg <= 45:
        raise InputError(f"max_rotation_deg is {max_rotation_deg}, expected an angle from 0 to 45 degrees.")
    matcher = None if matcher is None else open_matcher(matcher)
    pair = make_pair(pre, post)
    if not np.isfinite([*pair.sides, pair.gsd_m]).all():
        raise GridError(
            f"{pre.source} and {post.source} have no common ground that can be measured in metres. Check their CRSs with "
            "`deepnets4eo check`."
        )
    task = AttemptTask(pair, fine_search(pair), model, max_shift_m, seed)
    first = coarse_model(pair, max_shift_m, seed)
    near = QualityThresholds(max_rotation_deg=min(max_rotation_deg, SearchLimits.near_rotation_deg))
    attempt = task.attempt(first, near)
    attempt = _try_small_windows(task, attempt, first, near)
    if attempt.status != "ok" and model != "translation" and not attempt.unambiguous:
        attempt = _try_every_turn(task, attempt, max_rotation_deg)
    if attempt.status != "ok" and model != "translation" and matcher is not None:
        attempt = _try_matches(task, attempt, matcher, max_rotation_deg)
    if attempt.status == "failed":
        attempt = _try_halves(task, attempt)
    if attempt.status == "failed":
        attempt = _try_larger_pixels(task, attempt, near)
    return _result(pair, attempt)


def assume_registered(pre: Layer, post: Layer) -> Registration:
    """Take two images as registered already, without measuring: for pairs that were registered by other means.

    Returns status "ok" and no displacement. Errors: GridError (the images do not overlap, or only one of them has a CRS).
    """
    pair = make_pair(pre, post, least_px=0)
    search = fine_search(pair)
    none = np.empty((0, 2))
    matches = Matches(none, none, np.empty(0), np.empty(0), np.empty(0, bool), np.empty((0, 1, 1), np.float32))
    fitted = FittedModel("translation", IDENTITY, matches, np.empty(0, bool), TOLERANCE_PX * search.gsd_m)
    measured = measure_fit(pair, search, fitted, float("inf"), 0)
    return _result(pair, Attempt(fitted, measured, "ok", Phrase("match_not_measured")))


def _try_small_windows(task: AttemptTask, first: Attempt, start: Affine, limits: QualityThresholds) -> Attempt:
    """Try smaller windows if the first attempt is not ok; return the better attempt. Leaning roofs leave few windows on the ground."""
    if first.status == "ok":
        return first
    start = start if first.status == "failed" else first.fitted.affine
    turned = abs(scale_and_turn(start)[2]) > SearchLimits.near_rotation_deg
    attempt = task.with_small_windows.attempt(start, stricter(limits), turned=turned)
    return attempt if attempt.better_than(first) else first


def _try_every_turn(task: AttemptTask, first: Attempt, max_rotation_deg: float) -> Attempt:
    """Try the best model of a search over all turns; return the attempt if the gate rates it better than the first."""
    first_part, *wider = _growing_parts(task.pair)
    starts = similarity_hypotheses(task.pair, task.max_shift_m, max_rotation_deg)
    rounds = [task.round(first_part, start, turned=True) for start in starts]
    agreeing = [int(task.fit_all(candidate, candidate.affine).inlier.sum()) for candidate in rounds]
    best = rounds[int(np.argmax(agreeing))].affine
    for part in wider:
        best = task.round(part, best, turned=True).affine
    limits = stricter(QualityThresholds(max_rotation_deg=max_rotation_deg))
    attempt = task.attempt(best, limits, turned=True)
    attempt = _try_small_windows(task, attempt, best, limits)
    return attempt if attempt.better_than(first) else first


def _try_matches(task: AttemptTask, first: Attempt, matcher: Matcher, max_rotation_deg: float) -> Attempt:
    """Try the position that a matcher's points agree on; return the attempt if the gate rates it better than the first."""
    start = matched_model(task.pair, matcher, task.seed)
    if start is None:
        return first
    limits = stricter(QualityThresholds(max_rotation_deg=max_rotation_deg))
    turned = abs(scale_and_turn(start)[2]) > SearchLimits.near_rotation_deg
    attempt = _try_small_windows(task, task.attempt(start, limits, turned=turned), start, limits)
    return attempt if attempt.better_than(first) else first


def _try_larger_pixels(task: AttemptTask, failed: Attempt, limits: QualityThresholds) -> Attempt:
    """Try larger pixels, which reduce the effect of speckle and of leaning objects; the result is at best degraded.

    Its residual limit in metres is as for the images' own pixels."""
    nearest_m = max(limits.max_residual_m, limits.max_residual_px * task.pair.gsd_m)
    limits = replace(stricter(limits), max_residual_m=nearest_m, max_residual_px=0.0)
    for times in COARSER:
        pair = replace(task.pair, gsd_m=times * task.pair.gsd_m)
        if min(pair.sides) < COARSER_SIDE_PX * pair.gsd_m:
            break
        seen = replace(task, pair=pair, search=fine_search(pair))
        start = coarse_model(pair, task.max_shift_m, task.seed)
        attempt = _try_small_windows(seen, seen.attempt(start, limits), start, limits)
        if attempt.status != "failed":
            measured = attempt.measured
            values = {"failed": failed.why, "inliers": measured.inliers, "tested": measured.tested, "times": times}
            return replace(attempt, status="degraded", why=Phrase("match_in_larger_pixels", values))
    return failed


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


def _try_halves(task: AttemptTask, failed: Attempt) -> Attempt:
    """One shift from all windows together, where both halves of the overlap agree on it; the failed attempt otherwise."""
    shifted, halves = _fit_by_halves(task.pair, task.search, task.max_shift_m, task.seed)
    if halves_agree(halves):
        values = {"failed": failed.why, "split_m": halves.split_m}
        return Attempt(shifted, halves, "degraded", Phrase("match_of_halves", values))
    measured = replace(failed.measured, split_m=halves.split_m, split_score=halves.split_score)
    return replace(failed, measured=measured)


def _fit_by_halves(
    pair: SampledPair, search: Search, max_shift_m: float, seed: int
) -> tuple[FittedModel, RegistrationQuality]:
    """Fit one shift from all windows if single windows are not reliable, checked half against half."""
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
        why=attempt.why,
        model=fitted.model,
        matrix=np.array(pixels[:6]).reshape(2, 3),
        dx_m=float(shift[0]),
        dy_m=float(shift[1]),
        measured=attempt.measured,
        post_grid=pair.post.grid,
        pre_grid=pair.pre.grid,
        ties=tie_columns(fitted, frame.to_pixel),
    )
