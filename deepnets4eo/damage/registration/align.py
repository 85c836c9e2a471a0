"""Pre to post: wide windows for a first guess, fine windows twice, a model chosen and judged on hold-out tie points.

Takes two layers of any CRS, resolution and band count; refuses pairs that do not overlap or of which only one has a
CRS (unless they have the same shape, and are then taken pixel for pixel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.damage.registration.coarse import coarse_model
from deepnets4eo.damage.registration.fit import (
    MODELS,
    ModelName,
    choose_model,
    residuals,
    robust_fit,
    scale_and_turn,
)
from deepnets4eo.damage.registration.gate import Measured, judge
from deepnets4eo.damage.registration.ground import Frame, View, mean_gsd_m, through
from deepnets4eo.damage.registration.result import Registration
from deepnets4eo.damage.registration.tiepoints import IDENTITY, Matches, Pair, Search, measure, place
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.scene import Layer

ModelChoice: TypeAlias = Literal["auto", "translation", "similarity", "affine"]

FINE_SIDES_PX = (256, 128, 64, 32)
FINE_RADIUS_PX = 12
FINE_COUNT = 256
HOLDOUT = 0.3
MIN_OVERLAP_PX = 48


@dataclass(frozen=True)
class _Fitted:
    model: ModelName
    affine: Affine
    matches: Matches
    holdout: NDArray[np.bool_]
    tolerance_m: float


def register(
    pre: Layer, post: Layer, *, model: ModelChoice = "auto", max_shift_m: float = 30.0, seed: int = 0
) -> Registration:
    """Measure how the pre image lies against the post image, and judge whether that can be trusted.

    pre, post : any CRS, resolution and band count; without CRS their coordinates count as metres.
    model : "auto" takes the simplest one that predicts unseen tie points as well as the richer ones.
    max_shift_m : largest displacement looked for. seed : draws hold-out points and samples.
    returns : Registration, also when it failed; see its status.
    Errors: GridError for pairs that do not overlap or with one CRS missing; InputError for an unknown model.
    Peak memory: some 500 windows of 256² pixels, whatever the images' size (about 600 MB).
    Time: bounded by the number of windows, some seconds.
    """
    if model not in ("auto", *MODELS):
        raise InputError(f"model is {model!r}, expected one of auto, {', '.join(MODELS)}.")
    if not max_shift_m > 0:
        raise InputError(f"max_shift_m is {max_shift_m}, expected a distance above 0 metres.")
    pair = make_pair(pre, post)
    search = fine_search(pair)
    first = coarse_model(pair, max_shift_m, seed)
    rough = _fit_round(pair, search, first, model, seed)
    fitted = _fit_round(pair, search, rough.affine, model, seed + 1)
    return _report(pair, search, fitted, max_shift_m, seed)


def make_pair(pre: Layer, post: Layer) -> Pair:
    """Both layers in the frame of the post image, with the part that both show.

    Errors: GridError where they do not overlap.
    """
    frame = Frame.of(post.grid)
    pre_view, post_view = View(pre, frame), View(post, frame)
    left, top, right, bottom = pre_view.bounds()
    width, height = frame.extent
    box = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
    gsd_m = max(mean_gsd_m(post.grid), pre_view.gsd_m)
    if min(box[2] - box[0], box[3] - box[1]) < MIN_OVERLAP_PX * gsd_m:
        raise GridError(
            f"{pre.source} and {post.source} do not overlap by {MIN_OVERLAP_PX} pixels: in metres from the upper left of the "
            f"post image, the post image spans 0–{width:.0f} × 0–{height:.0f}, the pre image {left:.0f}–{right:.0f} × "
            f"{top:.0f}–{bottom:.0f}. Check that they show one place and that their CRS are right."
        )
    return Pair(pre_view, post_view, box, gsd_m)


def fine_search(pair: Pair) -> Search:
    """The largest windows of which at least four fit along the shorter side of the overlap."""
    side_px = min(pair.sides) / pair.gsd_m
    fitting = [size for size in FINE_SIDES_PX if side_px >= 4 * size]
    size = fitting[0] if fitting else FINE_SIDES_PX[-1]
    return Search(size, min(FINE_RADIUS_PX, size * 3 // 8), pair.gsd_m, FINE_COUNT)


def _fit_round(pair: Pair, search: Search, start: Affine, wanted: ModelChoice, seed: int) -> _Fitted:
    """Match windows through the starting model and fit a better one to 70 % of the reliable matches."""
    matches = measure(pair, search, place(pair, search, start), start, seed)
    rng = np.random.default_rng(seed)
    holdout = rng.random(len(matches.points)) < HOLDOUT
    tolerance = 3.0 * search.gsd_m
    train = matches.reliable & ~holdout
    if train.sum() < 3:
        return _Fitted("translation", start, matches, holdout, tolerance)
    points, targets = matches.points[train], matches.targets[train]
    model = choose_model(points, targets, tolerance, rng) if wanted == "auto" else wanted
    return _Fitted(model, robust_fit(model, points, targets, tolerance, rng), matches, holdout, tolerance)


def _report(pair: Pair, search: Search, fitted: _Fitted, max_shift_m: float, seed: int) -> Registration:
    matches, holdout = fitted.matches, fitted.holdout
    error = residuals(fitted.affine, matches.points, matches.targets)
    inlier = matches.reliable & (error <= fitted.tolerance_m)
    judged = inlier & holdout
    residual = float(np.sqrt((error[judged] ** 2).mean())) if judged.any() else float("nan")
    middle = np.array([[(pair.box[0] + pair.box[2]) / 2, (pair.box[1] + pair.box[3]) / 2]])
    shift = (through(fitted.affine, middle) - middle)[0]
    before, after = _agreement(pair, search, fitted, seed)
    low, high, turn = scale_and_turn(fitted.affine)
    area = (2 * search.radius_px + 1) * search.gsd_m
    measured = Measured(
        gsd_m=search.gsd_m,
        tested=int(holdout.sum()),
        reliable=int((matches.reliable & holdout).sum()),
        inliers=int(judged.sum()),
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
    status, reason = judge(measured)
    trusted = fitted.affine if status != "failed" else IDENTITY
    shift = shift if status != "failed" else np.zeros(2)
    frame = Frame.of(pair.post.grid)
    pixels = frame.to_pixel * trusted * ~frame.to_pixel
    return Registration(
        status=status,
        reason=reason,
        model=fitted.model,
        matrix=np.array(pixels[:6]).reshape(2, 3),
        dx_m=float(shift[0]),
        dy_m=float(shift[1]),
        residual_m=residual,
        residual_px=residual / search.gsd_m,
        measured=measured,
        post_grid=pair.post.grid,
        pre_grid=pair.pre.grid,
        ties=_ties(matches, holdout, inlier, error, frame),
    )


def _agreement(
    pair: Pair, search: Search, fitted: _Fitted, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient correlation of the hold-out windows before and after the model, where both can be read."""
    points = fitted.matches.points[fitted.holdout]
    if not len(points):
        return np.empty(0), np.empty(0)
    still = Search(search.side_px, 1, search.gsd_m, search.max_count)
    before, after = (measure(pair, still, points, model, seed) for model in (IDENTITY, fitted.affine))
    known = {tuple(point): value for point, value in zip(before.points, before.agreement, strict=True)}
    both = [(known[tuple(p)], v) for p, v in zip(after.points, after.agreement, strict=True) if tuple(p) in known]
    values = np.array(both).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def _cells(points: NDArray[np.float64], box: tuple[float, float, float, float]) -> int:
    """How many of 4 × 4 cells of the box hold a point."""
    size = np.array([box[2] - box[0], box[3] - box[1]]) / 4
    cell = np.clip(((points - box[:2]) / size).astype(int), 0, 3)
    return len({(int(col), int(row)) for col, row in cell})


def _ties(
    matches: Matches, holdout: NDArray[np.bool_], inlier: NDArray[np.bool_], error: NDArray[np.float64], frame: Frame
) -> dict[str, NDArray[Any]]:
    offset = matches.targets - matches.points
    return {
        "pixel": through(frame.to_pixel, matches.points),
        "dx_m": offset[:, 0],
        "dy_m": offset[:, 1],
        "residual_m": error,
        "quality": matches.values,
        "ratio": matches.ratios,
        "reliable": matches.reliable,
        "inlier": inlier,
        "holdout": holdout,
    }
