"""First models from wide windows, by the peak of the sum of all correlation surfaces; if that fails, from every turn and scale.

In the search over turns and scales, each surface is moved as a small further turn and stretch would move its window."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import scipy
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask, Points, Spectrum
from deepnets4eo.registration.fit import draw_samples, exact_models, predict
from deepnets4eo.registration.tiepoints import (
    IDENTITY,
    Matches,
    SampledPair,
    Search,
    correlate_spectra,
    find_peaks,
    match_spread,
    orientation_field,
    taper,
)

SIDE_PX = 128
COUNT = 64
TRIALS = 600
MANY = 30
GAIN, GAIN_FEW = 1.1, 1.4  # a turned model must score this many times a shift's; more with fewer than 30 windows
MAX_ROTATION_COARSE_DEG, MAX_STRETCH = 5.0, 0.12


def coarse_model(pair: SampledPair, max_shift_m: float, seed: int) -> Affine:
    """Return the shift or similarity from post to pre, good to a few working pixels; identity if no window contains data."""
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
    """Return the shift at the peak of the sum of all surfaces; identity if no window contains data."""
    search = coarse_search(pair, max_shift_m)
    matches, surfaces = _match(pair, search, seed)
    return _best_shift(surfaces, search) if len(matches.points) else IDENTITY


def _match(pair: SampledPair, search: Search, seed: int) -> tuple[Matches, NDArray[np.float32]]:
    """Match the wide windows; return the matches and their smoothed surfaces."""
    matches = match_spread(pair, search, IDENTITY, seed)
    return matches, scipy.ndimage.gaussian_filter(matches.surfaces, (0, 1.0, 1.0), mode="nearest")


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
    matches: Matches, surfaces: NDArray[np.float32], search: Search, rng: np.random.Generator
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
    halves = scipy.ndimage.gaussian_filter(halves, (0, 1.0, 1.0), mode="nearest")
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


VIEW_PX = 512  # longest side of the coarse view
PART_PX = 1024  # side of the part around the middle that is seen, pixels of the coarser image
NATIVE_PX = 4096  # and of the finer one, so that the memory is bounded
WINDOW_PX = 128
TURN_STEP_DEG, SCALES = 3.0, (0.95, 1.0, 1.05)  # within a window a turn of half a step moves less than two pixels
SMALL_TURNS_DEG, SMALL_STRETCHES = (-1.5, -0.75, 0.0, 0.75, 1.5), (-0.025, 0.0, 0.025)
MAX_MODELS = 3


class Hypothesis(NamedTuple):
    """A model, the sum of the windows' correlations as its score, and the turn and scale it was found at."""

    score: float
    turn_deg: float
    scale: float
    model: Affine


def similarity_hypotheses(pair: SampledPair, max_shift_m: float, max_rotation_deg: float) -> list[Affine]:
    """At most `MAX_MODELS` similarities from post to pre, frame metres, of different turns or scales, the best first."""
    (pre, pre_valid), (post, post_valid), gsd_m = middle_views(pair, VIEW_PX)
    fields = orientation_field(pre, pre_valid), orientation_field(post, post_valid)
    windows = _Windows.over(pre.shape)
    radius_px = min(int(np.ceil(max_shift_m / gsd_m)) + 1, windows.side // 2 - 1)
    spectra = windows.spectra(fields[1])
    count = int(max_rotation_deg // TURN_STEP_DEG)
    turns = [TURN_STEP_DEG * step for step in range(-count, count + 1)]
    hypotheses = []
    for turn_deg, scale in product(turns, SCALES):
        turned = windows.spectra(_turn_field(fields[0], turn_deg, scale))
        surfaces = scipy.ndimage.gaussian_filter(correlate_spectra(turned, spectra, radius_px), (0, 1.0, 1.0))
        score, small = _best_small_motion(surfaces, windows.from_middle)
        middle = Affine.translation(*pair.middle[0])
        model = middle * Affine.rotation(turn_deg) * Affine.scale(scale) * _in_metres(small, gsd_m) * ~middle
        hypotheses.append(Hypothesis(score, turn_deg, scale, model))
    hypotheses.sort(key=lambda one: -one.score)
    different: list[Hypothesis] = []
    for hypothesis in hypotheses:
        if not any(abs(hypothesis.turn_deg - other.turn_deg) <= TURN_STEP_DEG for other in different):
            different.append(hypothesis)
    return [hypothesis.model for hypothesis in different[:MAX_MODELS]]


def middle_views(pair: SampledPair, longest_px: int) -> tuple[tuple[FloatImage, Mask], tuple[FloatImage, Mask], float]:
    """Pre and post around the middle on one coarse grid with what is valid, holes filled; the size of its pixels."""
    largest_m = min(PART_PX * pair.gsd_m, NATIVE_PX * min(pair.pre.gsd_m, pair.post.gsd_m))
    width_m, height_m = (min(side, largest_m) for side in pair.sides)
    gsd_m = max(pair.gsd_m, max(width_m, height_m) / longest_px)
    shape = max(16, int(height_m / gsd_m)), max(16, int(width_m / gsd_m))
    x, y = pair.middle[0] - np.array(shape[::-1]) * gsd_m / 2
    views = []
    for sampler in (pair.pre, pair.post):
        grey, valid = sampler.read(Affine(gsd_m, 0, x, 0, gsd_m, y), shape)
        valid = valid & np.isfinite(grey)
        views.append((np.where(valid, grey, grey[valid].mean() if valid.any() else 0).astype(np.float32), valid))
    return views[0], views[1], gsd_m


class _Windows(NamedTuple):
    """Square windows of a view: their upper left corners, side, and (N, 2) x and y of their centres from the middle."""

    corners: list[tuple[int, int]]
    side: int
    from_middle: Floats

    @classmethod
    def over(cls, shape: tuple[int, int]) -> _Windows:
        """Windows that overlap by half where few fit."""
        side = min(WINDOW_PX, int(min(shape) / 1.5) // 2 * 2)
        axes = []
        for length in shape:
            fitting = length // side
            count = fitting if fitting > 3 else max(1, 2 * fitting - 1)
            axes.append(np.linspace(0, length - side, count).round().astype(int))
        corners = [(int(row), int(col)) for row in axes[0] for col in axes[1]]
        middles = np.array(corners)[:, ::-1] + side / 2 - np.array(shape[::-1]) / 2
        return cls(corners, side, middles)

    def spectra(self, field: Spectrum) -> Spectrum:
        """Fourier transforms of the windows of a field."""
        weight = taper((self.side, self.side))
        cut = np.stack([field[row : row + self.side, col : col + self.side] * weight for row, col in self.corners])
        spectra: Spectrum = scipy.fft.fft2(cut)
        return spectra


def _turn_field(field: Spectrum, turn_deg: float, scale: float) -> Spectrum:
    """Turn and scale an orientation field about the middle of its view; directions turn along, doubled."""
    turn = Affine.rotation(turn_deg) * Affine.scale(scale)
    matrix = np.array([[turn.e, turn.d], [turn.b, turn.a]])
    middle = np.array(field.shape) / 2 - 0.5
    parts = [
        scipy.ndimage.affine_transform(np.ascontiguousarray(part), matrix, middle - matrix @ middle, order=1)
        for part in (field.real, field.imag)
    ]
    turned: Spectrum = ((parts[0] + 1j * parts[1]) * np.exp(-2j * np.radians(turn_deg))).astype(np.complex64)
    return turned


def _best_small_motion(surfaces: NDArray[np.float32], from_middle: Floats) -> tuple[float, Affine]:
    """Find the small turn and stretch with the highest sum of the moved surfaces; return the sum and the motion in pixels."""
    radius = surfaces.shape[-1] // 2
    best, motion = -np.inf, Affine.identity()
    for turn_deg, stretch in product(SMALL_TURNS_DEG, SMALL_STRETCHES):
        turn = np.radians(turn_deg)
        x, y = (stretch * from_middle + turn * from_middle[:, ::-1] * (-1, 1)).T
        total = np.zeros_like(surfaces[0])
        for surface, right, down in zip(surfaces, np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
            _add_moved(total, surface, int(down), int(right))
        row, col = np.unravel_index(int(total.argmax()), total.shape)
        if total[row, col] > best:
            best = float(total[row, col])
            motion = Affine(1 + stretch, -turn, int(col) - radius, turn, 1 + stretch, int(row) - radius)
    return best, motion


def _add_moved(total: NDArray[np.float32], surface: NDArray[np.float32], down: int, right: int) -> None:
    """Add a surface, so that its value at (row + down, col + right) counts at (row, col)."""
    side = len(total)
    rows, cols = (slice(max(0, -move), side - max(0, move)) for move in (down, right))
    source = tuple(slice(max(0, move), side - max(0, -move)) for move in (down, right))
    if abs(down) < side and abs(right) < side:
        total[rows, cols] += surface[source]


def _in_metres(motion: Affine, gsd_m: float) -> Affine:
    return Affine.scale(gsd_m) * motion * ~Affine.scale(gsd_m)
