"""A first model from wide windows: the peak of the sum of all correlation surfaces, also of similarities."""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import Floats, Points
from deepnets4eo.registration.fit import draw_samples, exact_models, predict
from deepnets4eo.registration.tiepoints import (
    IDENTITY,
    Matches,
    SampledPair,
    Search,
    find_peaks,
    match_spread,
)

SIDE_PX = 128
COUNT = 64
TRIALS = 600
MANY = 30
GAIN, GAIN_FEW = 1.1, 1.4  # a turned model must score this many times a shift's; more with fewer than 30 windows
MAX_ROTATION_COARSE_DEG, MAX_STRETCH = 5.0, 0.12


def coarse_model(pair: SampledPair, max_shift_m: float, seed: int) -> Affine:
    """Shift or similarity from post to pre, good to a few working pixels; identity where no window holds data."""
    search = coarse_search(pair, max_shift_m)
    matches, surfaces = _match(pair, search, seed)
    if not len(matches.points):
        return IDENTITY
    shift = _best_shift(surfaces, search)
    turned = _best_similarity(matches, surfaces, search, np.random.default_rng(seed))
    if turned is None:
        return shift
    gain = GAIN if len(surfaces) >= MANY else GAIN_FEW
    both = np.array([turned[:6], shift[:6]]).reshape(2, 2, 3)
    score_turned, score_shift = _scores(both, matches.points, surfaces, search)
    return turned if score_turned > gain * score_shift else shift


def coarse_shift(pair: SampledPair, max_shift_m: float, seed: int) -> Affine:
    """The shift at the peak of the sum of all surfaces; identity where no window holds data."""
    search = coarse_search(pair, max_shift_m)
    matches, surfaces = _match(pair, search, seed)
    return _best_shift(surfaces, search) if len(matches.points) else IDENTITY


def _match(pair: SampledPair, search: Search, seed: int) -> tuple[Matches, NDArray[np.float32]]:
    """Matches of the wide windows, and their surfaces made smooth."""
    matches = match_spread(pair, search, IDENTITY, seed)
    return matches, ndimage.gaussian_filter(matches.surfaces, (0, 1.0, 1.0), mode="nearest")


def coarse_search(pair: SampledPair, max_shift_m: float) -> Search:
    """Windows of about four times the largest shift, at a matching ground size."""
    side_px = min(SIDE_PX, max(16, int(min(pair.sides) / pair.gsd_m / 2) // 2 * 2))
    gsd_m = max(pair.gsd_m, 4.0 * max_shift_m / side_px)
    gsd_m = min(gsd_m, max(pair.gsd_m, min(pair.sides) / side_px))
    radius_px = int(np.clip(np.ceil(max_shift_m / gsd_m) + 1, 4, side_px * 3 // 8))
    return Search(side_px, radius_px, gsd_m, COUNT)


def _best_shift(surfaces: NDArray[np.float32], search: Search) -> Affine:
    total = surfaces.sum(axis=0)
    row, col = np.unravel_index(int(total.argmax()), total.shape)
    step = search.gsd_m
    return Affine.translation((int(col) - search.radius_px) * step, (int(row) - search.radius_px) * step)


def _best_similarity(
    matches: Matches,
    surfaces: NDArray[np.float32],
    search: Search,
    rng: np.random.Generator,
) -> Affine | None:
    candidates = np.flatnonzero(matches.reliable)
    if len(candidates) < 4:
        return None
    samples = candidates[draw_samples(len(candidates), 2, TRIALS, rng)]
    models = exact_models("similarity", matches.points, matches.targets, samples)
    turn = models[:, 0, 0] + 1j * models[:, 1, 0]
    likely = (np.abs(np.angle(turn, deg=True)) <= MAX_ROTATION_COARSE_DEG) & (np.abs(np.abs(turn) - 1) <= MAX_STRETCH)
    models = models[likely]
    if not len(models):
        return None
    scores = _scores(models, matches.points, surfaces, search)
    return Affine(*models[int(scores.argmax())].ravel())


def _scores(models: Floats, points: Points, surfaces: NDArray[np.float32], search: Search) -> Floats:
    """For each model the sum over the windows of their surface at the shift it predicts there, (T,)."""
    shift = np.rint((predict(models, points) - points) / search.gsd_m).astype(int) + search.radius_px
    inside = ((shift >= 0) & (shift < surfaces.shape[-1])).all(axis=2)
    at = np.clip(shift, 0, surfaces.shape[-1] - 1)
    values = surfaces[np.arange(len(points)), at[..., 1], at[..., 0]]
    total: Floats = np.where(inside, values, 0.0).sum(axis=1, dtype=np.float64)
    return total


def shift_by_halves(matches: Matches, search: Search) -> tuple[Affine, float, float]:
    """One shift from all surfaces together, each half of the overlap read at the other half's peak.

    Returns the correction, the distance between both peaks (m), the lower height in robust spreads; NaN for few windows.
    """
    if len(matches.points) < 6:
        return IDENTITY, float("nan"), float("nan")
    position = matches.points[:, int(np.ptp(matches.points, axis=0).argmax())]
    first = position <= np.median(position)
    halves = np.stack([matches.surfaces[part].sum(axis=0) for part in (first, ~first)])
    halves = ndimage.gaussian_filter(halves, (0, 1.0, 1.0), mode="nearest")
    both = find_peaks(halves.sum(axis=0, keepdims=True))
    peaks = find_peaks(halves)
    apart = float(np.hypot(np.diff(peaks.rows)[0], np.diff(peaks.cols)[0])) * search.gsd_m
    score = min(_height(halves[i], halves[1 - i]) for i in (0, 1))
    correction = Affine.translation(both.cols[0] * search.gsd_m, both.rows[0] * search.gsd_m)
    return correction, apart, score


def _height(searched: NDArray[np.float32], tested: NDArray[np.float32]) -> float:
    """Value of one surface where the other has its peak, in robust spreads above the median."""
    at = np.unravel_index(int(searched.argmax()), searched.shape)
    middle = float(np.median(tested))
    spread = 1.4826 * float(np.median(np.abs(tested - middle)))
    return (float(tested[at]) - middle) / max(spread, 1e-9)
