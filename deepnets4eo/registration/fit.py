"""Fits of a translation, similarity or affine to tie points (N, 2), many possibly wrong; simpler ones for few points."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Points
from deepnets4eo.grid import apply_affine

ModelName: TypeAlias = Literal["translation", "similarity", "affine"]

MODELS: tuple[ModelName, ...] = ("translation", "similarity", "affine")
MIN_POINTS = {"translation": 1, "similarity": 6, "affine": 12}  # an affine from fewer bends to noise
SAMPLE = {"translation": 1, "similarity": 2, "affine": 3}
TRIALS = 300
FOLDS = 5
WORTH = 0.9  # a richer model must bring the held-out cost below this share of the simpler one's


def least_squares(model: ModelName, points: Points, targets: Points, weights: Floats) -> Affine:
    """Fit the model that maps points to targets (N, 2) with the smallest squared error, weighted by (N,) ≥ 0."""
    share = weights / weights.sum()
    middle, goal = share @ points, share @ targets
    if model == "translation":
        return Affine.translation(*(goal - middle))
    a, b = points - middle, targets - goal
    if model == "similarity":
        spread = max(float(share @ (a * a).sum(axis=1)), 1e-12)
        scale = float(share @ (a * b).sum(axis=1)) / spread
        turn = float(share @ (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])) / spread
        linear = np.array([[scale, -turn], [turn, scale]])
    else:
        root = np.sqrt(share)[:, None]
        linear = np.linalg.lstsq(a * root, b * root, rcond=None)[0].T
    offset = goal - linear @ middle
    return Affine(linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1])


def residuals(model: Affine, points: Points, targets: Points) -> Floats:
    """Distance of each target from where the model puts its point, (N,) metres."""
    off = apply_affine(model, points) - targets
    return np.hypot(off[:, 0], off[:, 1])


def robust_fit(model: ModelName, points: Points, targets: Points, tolerance: float, rng: np.random.Generator) -> Affine:
    """Fit the model that most points agree on within `tolerance` metres, refined with Tukey's biweight."""
    best = _consensus(model, points, targets, tolerance, rng)
    for _ in range(10):
        error = residuals(best, points, targets)
        close = error[error < 2 * tolerance]
        width = max(3.0 * float(np.median(close)) if len(close) else 0.0, 0.5 * tolerance)
        weights = np.clip(1 - (error / (1.5 * width)) ** 2, 0, None) ** 2
        if (weights > 0).sum() < MIN_POINTS[model]:
            return best
        best = least_squares(model, points, targets, weights)
    return best


def _consensus(model: ModelName, points: Points, targets: Points, tolerance: float, rng: np.random.Generator) -> Affine:
    """Return the best of many models through minimal samples, by truncated squared error."""
    models = exact_models(model, points, targets, draw_samples(len(points), SAMPLE[model], TRIALS, rng))
    if not len(models):
        return least_squares("translation", points, targets, np.ones(len(points)))
    off = predict(models, points) - targets
    cost = np.minimum((off * off).sum(axis=2), tolerance * tolerance).mean(axis=1)
    return Affine(*models[int(cost.argmin())].ravel())


def draw_samples(count: int, size: int, trials: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw indices of minimal samples, (T, size), without repetition within a sample; for size 1 each point once."""
    if size == 1:
        return rng.permutation(count)[:trials, None]
    return (
        np.stack([rng.permutation(count)[:size] for _ in range(trials)]) if count >= size else np.empty((0, size), int)
    )


def exact_models(model: ModelName, points: Points, targets: Points, samples: NDArray[np.intp]) -> Floats:
    """Return the models that go exactly through minimal samples, (T, 2, 3); degenerate samples are skipped."""
    a, b = points[samples], targets[samples]
    if model == "translation":
        linear = np.broadcast_to(np.eye(2), (len(a), 2, 2))
    elif model == "similarity":
        step, goal = (pair[:, 1] - pair[:, 0] for pair in (a, b))
        good = (step != 0).any(axis=1)
        a, b, step, goal = a[good], b[good], step[good], goal[good]
        turn = (goal[:, 0] + 1j * goal[:, 1]) / (step[:, 0] + 1j * step[:, 1])
        linear = np.stack([np.stack([turn.real, -turn.imag], -1), np.stack([turn.imag, turn.real], -1)], -2)
    else:
        steps, goals = (np.swapaxes(three[:, 1:] - three[:, :1], 1, 2) for three in (a, b))
        size = np.linalg.norm(steps, axis=1).prod(axis=1)
        good = np.abs(np.linalg.det(steps)) > 0.05 * np.maximum(size, 1e-12)
        a, b, steps, goals = a[good], b[good], steps[good], goals[good]
        linear = goals @ np.linalg.inv(steps)
    offset = b[:, 0] - np.einsum("tij,tj->ti", linear, a[:, 0])
    return np.concatenate((linear, offset[:, :, None]), axis=2)


def predict(models: Floats, points: Points) -> Floats:
    """Return the position of each point under each model, (T, N, 2)."""
    moved: Floats = np.einsum("tij,nj->tni", models[:, :, :2], points) + models[:, None, :, 2]
    return moved


def truncated_cost(error: Floats, tolerance: float) -> float:
    """Return the mean squared error, with each point counting for at most the tolerance squared."""
    return float(np.minimum(error * error, tolerance * tolerance).mean())


def choose_model(points: Points, targets: Points, tolerance: float, rng: np.random.Generator) -> ModelName:
    """Choose the simplest model that predicts unseen points as well as the richer ones, by five-fold hold-out."""
    fold = rng.permutation(len(points)) % FOLDS
    chosen: ModelName = "translation"
    least = held_out_cost(chosen, points, targets, tolerance, fold)
    for model in MODELS[1:]:
        if len(points) < 1.5 * MIN_POINTS[model]:
            break
        cost = held_out_cost(model, points, targets, tolerance, fold)
        if cost < WORTH * least:
            chosen, least = model, cost
    return chosen


def held_out_cost(model: ModelName, points: Points, targets: Points, tolerance: float, fold: NDArray[np.int_]) -> float:
    """Return the truncated cost over the points, each predicted by a fit without its fold."""
    return truncated_cost(held_out_errors(model, points, targets, tolerance, fold), tolerance)


def held_out_errors(
    model: ModelName, points: Points, targets: Points, tolerance: float, fold: NDArray[np.int_]
) -> Floats:
    """Residual of each point, (N,) metres, seen from a fit without its fold; infinite where too few are left for one."""
    error = np.full(len(points), np.inf)
    for k in range(FOLDS):
        out = fold == k
        if out.any() and (~out).sum() >= SAMPLE[model]:
            rng = np.random.default_rng(k)
            fitted = robust_fit(model, points[~out], targets[~out], tolerance, rng)
            error[out] = residuals(fitted, points[out], targets[out])
    return error


def scale_and_turn(model: Affine) -> tuple[float, float, float]:
    """Smallest and largest stretch, and rotation in degrees, of an affine."""
    linear = np.array([[model.a, model.b], [model.d, model.e]])
    stretch = np.linalg.svd(linear, compute_uv=False)
    turn = np.degrees(np.arctan2(model.d - model.b, model.a + model.e))
    return float(stretch[-1]), float(stretch[0]), float(turn)
