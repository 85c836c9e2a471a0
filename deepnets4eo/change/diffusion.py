"""Guided anisotropic diffusion (Daudt et al., EarthVision 2019): scores flow within objects and stop at edges of the images.

Takes scores (C, H, W) and guides (B, H, W) in grey levels of 0 to 255; returns scores of the same sum and range.

Refuses rates of 0.25 or more, which make the scheme unstable, and guides of another size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError

STEPS = 2500  # as published, for labels of buildings
LARGEST_RATE = 0.25  # at which the finest pattern neither fades nor grows
BAND_ROWS = 256  # that one thread computes at a time
BAND_STEPS = 8  # steps that a band takes by itself, on as many rows more on each side
COMPILED_VALUES = 2**28  # values times steps, a second of work, from which a compiled step is worth its import
STRIP_ROWS = 32  # of a band at once: their temporary arrays fit into the cache of a core


@dataclass(frozen=True)
class Diffusion:
    """Options of the diffusion of scores.

    Parameters
    ----------
    steps : at least 0; values travel about √(2 · rate · steps) pixels: 35 for 2,500
    edge_level : K, above 0: grey levels between neighbours that stop half of the flow
    rate : λ, above 0 and below 0.25
    cycle
        Steps of a cycle; `steps` is a multiple. In a cycle of n the steps become longer and longer (fast explicit diffusion,
        Grewenig et al. 2010): it goes as far as (n² + n) / 3 steps of `rate`. 1, as published: all steps are alike. Scores of cycles
        may leave their range a little

    Raises
    ------
    InputError
        For values outside these ranges.

    Examples
    --------
    >>> round(sum(Diffusion(15, cycle=5).rates) / 0.24, 6)
    30.0
    """

    few_steps: ClassVar[int] = 30  # for scores of changes that may be small: these leak away in more
    steps: int = STEPS
    edge_level: float = 5.0
    rate: float = 0.24
    cycle: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.rate < LARGEST_RATE:
            raise InputError(f"rate={self.rate}; expected above 0 and below {LARGEST_RATE}, where diffusion is stable.")
        if not 0 < self.edge_level < math.inf:
            raise InputError(f"edge_level={self.edge_level}; expected a level above 0.")
        if self.steps != int(self.steps) or self.steps < 0:
            raise InputError(f"steps={self.steps}; expected a whole number, 0 or more.")
        if self.cycle != int(self.cycle) or self.cycle < 1 or self.steps % self.cycle:
            raise InputError(f"cycle={self.cycle}; expected a whole number, 1 or more, that divides {self.steps}.")

    @property
    def rates(self) -> tuple[float, ...]:
        """Return λ of each step."""
        if self.cycle == 1:
            return (self.rate,) * self.steps
        angles = math.pi * (2 * np.arange(self.cycle) + 1) / (4 * self.cycle + 2)
        return tuple((self.rate / (2 * np.cos(angles) ** 2)).tolist()) * (self.steps // self.cycle)

    @property
    def reach_px(self) -> int:
        """Return the rows and columns around a tile that contain nearly all of what flows into it: four standard deviations."""
        return int(np.ceil(4 * np.sqrt(2 * math.fsum(self.rates))))


def guided_anisotropic_diffusion(
    scores: FloatImage,
    guides: Sequence[NDArray[np.generic]],
    *,
    diffusion: Diffusion | None = None,
    valid: NDArray[np.bool_] | None = None,
    workers: int = 2,
    tiles: int = 1,
) -> FloatImage:
    """Diffuse scores along the edges, within regions that all guides agree to be free of edges.

    Each step takes the flow between neighbours from the guide with the smallest flow.

    The guides are diffused as well, each by its own edges (equations 3 and 4 of the paper).

    The sum and the range of each channel are preserved.

    Parameters
    ----------
    scores : (C, H, W), e.g. probabilities of change.
    guides : images (B, H, W) with the same number of bands, in grey levels of 0 to 255
    diffusion : steps, edge level and rate; by default as published
    valid : (H, W) bool; nothing flows into other pixels or out of them
    workers : threads
    tiles : number of such arrays that are diffused one after another; of many, the compiled step is worth its import

    Returns
    -------
    (C, H, W) float32.

    Raises
    ------
    InputError
        For sizes that differ or are 0, valid values that are not finite, and a `valid` that is not bool.

    Examples
    --------
    >>> scores = np.zeros((1, 4, 4), np.float32)
    >>> scores[0, 0, 0] = 1
    >>> flat = np.zeros((3, 4, 4), np.float32)
    >>> guided_anisotropic_diffusion(scores, [flat, flat]).round(3)[0, 3, 3]
    np.float32(0.062)
    """
    diffusion = diffusion or Diffusion()
    check_arrays(scores, guides, valid)
    values = (sum(map(len, guides)) + len(scores)) * scores[0].size
    compiled = _compiled() if tiles * values * diffusion.steps >= COMPILED_VALUES else None
    bands = _cut(scores.shape[1], None if compiled is None else workers)
    seen = None if valid is None else _side_by_side([valid[None]], bands)[0]
    state = _side_by_side([*guides, scores], bands)
    if seen is not None and not seen.all():
        state[:, seen == 0] = 0
    step = _DiffusionStep(len(guides), guides[0].shape[0], diffusion, seen, compiled)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for done in range(0, diffusion.steps, BAND_STEPS):
            _advance(state, bands, step, diffusion.rates[done : done + BAND_STEPS], pool)
    own = state[-scores.shape[0] :]
    result = np.concatenate([own[:, band.at(band.first) : band.at(band.last)] for band in bands], axis=1)
    return result if valid is None else np.where(valid, result, np.asarray(scores, np.float32))


@cache
def _compiled() -> Callable[..., None] | None:
    """Return the compiled step; None if the compiler is not installed, or finds no room to keep what it compiled."""
    try:
        from deepnets4eo.change.diffusion_kernels import diffuse
    except (ImportError, RuntimeError):
        return None
    return cast("Callable[..., None]", diffuse)


def check_arrays(scores: FloatImage, guides: Sequence[NDArray[np.generic]], valid: NDArray[np.bool_] | None) -> None:
    """Refuse sizes that differ, values that are not finite where valid, and other types. Errors: InputError."""
    shapes = [guide.shape for guide in guides]
    if scores.ndim != 3 or not shapes or any(len(shape) != 3 for shape in shapes):
        raise InputError(
            f"scores have shape {scores.shape}, guides {shapes}; expected (C, H, W) and one guide (B, H, W) at least."
        )
    sizes = {scores.shape[1:], *(shape[1:] for shape in shapes), *([valid.shape] if valid is not None else [])}
    if len(sizes) > 1 or len({shape[0] for shape in shapes}) > 1:
        raise InputError(
            f"scores have shape {scores.shape}, guides {shapes}; all need the same rows and columns, and guides the same bands."
        )
    if not scores[0].size:
        raise InputError(f"scores have shape {scores.shape}; expected one pixel at least.")
    if valid is not None and valid.dtype != bool:
        raise InputError(f"valid has the type {valid.dtype}, expected bool. Pass valid > 0.")
    types = [array.dtype for array in (scores, *guides)]
    if any(np.issubdtype(kind, np.complexfloating) or not np.issubdtype(kind, np.number) for kind in types):
        raise InputError(f"scores and guides have the types {', '.join(map(str, types))}; expected real numbers.")
    if not all(_is_finite(array, valid) for array in (scores, *guides)):
        raise InputError("scores or guides are not finite at some pixels. Leave these out with valid.")


def _is_finite(values: NDArray[np.generic], valid: NDArray[np.bool_] | None) -> bool:
    """Return whether the values (C, H, W) are finite in all valid pixels; picking these out takes as long as five steps."""
    return bool(np.isfinite(values).all() or (valid is not None and np.isfinite(values[:, valid]).all()))


@dataclass(frozen=True)
class _Band:
    """Rows `first` to before `last` of an image, which a thread computes by itself; it keeps the rows `start` to before `stop`, from
    which values flow into them. They are at `offset` in the array of all bands."""

    first: int
    last: int
    start: int
    stop: int
    offset: int

    def at(self, row: int) -> int:
        """Return where the band keeps a row of the image."""
        return row - self.start + self.offset


def _cut(height: int, threads: int | None) -> list[_Band]:
    """Return the bands of an image: one per thread, of BAND_ROWS rows at least; else of BAND_ROWS rows, which fit into the cache."""
    if threads is None:
        firsts = [*range(0, height, BAND_ROWS), height]
    else:
        number = max(min(threads, height // BAND_ROWS), 1)
        firsts = [height * band // number for band in range(number + 1)]
    bands, offset = list[_Band](), 0
    for first, last in pairwise(firsts):
        start, stop = max(first - BAND_STEPS, 0), min(last + BAND_STEPS, height)
        bands.append(_Band(first, last, start, stop, offset))
        offset += stop - start
    return bands


def _side_by_side(arrays: Sequence[NDArray[np.generic]], bands: Sequence[_Band]) -> FloatImage:
    """Return the channels of arrays (C, H, W) in one (N, h, W), which has the rows that each band keeps, one band after the other."""
    rows = bands[-1].at(bands[-1].stop)
    together = np.empty((sum(map(len, arrays)), rows, arrays[0].shape[2]), np.float32)
    for band in bands:
        own = together[:, band.offset : band.at(band.stop)]
        np.concatenate([array[:, band.start : band.stop] for array in arrays], out=own, casting="unsafe")
    return together


def _advance(
    state: FloatImage, bands: Sequence[_Band], step: _DiffusionStep, rates: Sequence[float], pool: ThreadPoolExecutor
) -> None:
    """Take steps of `rates` in place, each band by itself, then give each band the rows of the next ones that flow into it."""
    # A row depends on one more row at each side per step. Bands therefore keep rows around them, of which each step computes one less at
    # each side, and threads need not wait for each other.
    top, bottom = bands[0].first, bands[-1].last

    def advance_band(band: _Band) -> None:
        left = range(len(rates), 0, -1)
        rows = [(band.at(max(band.first - count, top)), band.at(min(band.last + count, bottom))) for count in left]
        step.take(state, rows, rates)

    list(pool.map(advance_band, bands))
    for upper, lower in pairwise(bands):
        state[:, lower.at(lower.start) : lower.at(lower.first)] = state[
            :, upper.at(lower.start) : upper.at(lower.first)
        ]
        state[:, upper.at(upper.last) : upper.at(upper.stop)] = state[:, lower.at(upper.last) : lower.at(upper.stop)]


@dataclass
class _DiffusionStep:
    """Explicit steps on guides and scores together. The channels of a state are `num_guides` guides of `bands`, then
    scores; `valid` is (H, W) float32 of 0 or 1.

    All arithmetic is on contiguous rows of one channel, which NumPy does fastest.
    """

    num_guides: int
    bands: int
    diffusion: Diffusion
    valid: FloatImage | None
    compiled: Callable[..., None] | None = None

    def take(self, state: FloatImage, rows: Sequence[tuple[int, int]], rates: Sequence[float]) -> None:
        """Take a step of each rate λ in place in its rows, from the first to before the last; compiled if `compiled` is given.

        state : (N, H, W)
        """
        if self.compiled is None:
            for (first, last), rate in zip(rows, rates, strict=True):
                self.apply(state[:, first:last], None if self.valid is None else self.valid[first:last], rate)
            return
        factor = np.float32(1 / (self.bands * self.diffusion.edge_level))
        seen = np.ones(state.shape[1:], np.float32) if self.valid is None else self.valid
        self.compiled(state, seen, np.array(rows), self.num_guides, self.bands, factor, np.asarray(rates, np.float32))

    def apply(self, state: FloatImage, valid: FloatImage | None, rate: float) -> None:
        """Take one step in place, with arrays."""
        channels, height, width = state.shape
        strip = min(STRIP_ROWS, height)
        down, right = np.empty((2, channels, strip, width), np.float32)
        shares, size = np.empty((self.num_guides + 1, strip, width), np.float32), np.empty((strip, width), np.float32)
        below = None if valid is None else valid[1:] * valid[:-1]
        beside = np.ones((height, width), np.float32) if valid is None else valid.copy()
        beside[:, :-1] *= beside[:, 1:]
        beside[:, -1] = 0  # behind the last pixel of a row the first one of the next is stored, to which nothing flows
        from_above = np.zeros((channels, width), np.float32)
        for first in range(0, height, strip):
            own = state[:, first : first + strip]
            rows, low = own.shape[1], min(strip, height - first - 1)  # the image's last row has none below
            for channel, after in enumerate(state[:, first + 1 : first + 1 + low]):
                np.subtract(after, own[channel, :low], out=down[channel, :low])
                flat = own[channel].reshape(-1)
                np.subtract(flat[1:], flat[:-1], out=right[channel].reshape(-1)[: rows * width - 1])
            right[:, rows - 1, -1] = 0
            lower = None if below is None else below[first : first + low]
            self._scale(down[:, :low], shares[:, :low], size[:low], lower, np.float32(rate))
            self._scale(right[:, :rows], shares[:, :rows], size[:rows], beside[first : first + rows], np.float32(rate))
            for channel, values in enumerate(own):
                values[:low] += down[channel, :low]
                values[0] -= from_above[channel]
                values[1:] -= down[channel, : rows - 1]
                flat, flow = values.reshape(-1), right[channel].reshape(-1)[: rows * width - 1]
                flat[:-1] += flow
                flat[1:] -= flow
            if low:
                from_above[:] = down[:, low - 1]  # the next strip still needs its rows as they were

    def _scale(
        self, flows: FloatImage, shares: FloatImage, size: FloatImage, between: FloatImage | None, rate: np.float32
    ) -> None:
        """Turn differences (N, h, W) into flows.

        The factor is λ / (1 + (mean of |difference| / K)²) for each guide, and the minimum of these shares for scores.

        between : (h, W), 0 where nothing flows
        """
        factor = np.float32(1 / (self.bands * self.diffusion.edge_level))
        for guide in range(self.num_guides):
            own, share = flows[guide * self.bands : (guide + 1) * self.bands], shares[guide]
            np.abs(own[0], out=share)
            for band in own[1:]:
                share += np.abs(band, out=size)
            share *= factor
            share *= share
            share += np.float32(1)
            np.divide(rate, share, out=share)
            if between is not None:
                share *= between
            for band in own:
                band *= share
        least = np.minimum.reduce(shares[:-1], axis=0, out=shares[-1])
        for score in flows[self.num_guides * self.bands :]:
            score *= least
