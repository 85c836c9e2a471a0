"""Guided anisotropic diffusion (Daudt et al., EarthVision 2019): scores flow within objects and stop at edges of the images.

Takes scores (C, H, W) and guides (B, H, W) in grey levels of 0 to 255; returns scores of the same sum and range.
Refuses rates of 0.25 or more, with which the scheme is unstable, and guides of another size."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError

STEPS = 2500  # as published, for labels of buildings
FEW_STEPS = 30  # for scores of changes that may be small: these leak away in more
EDGE_LEVEL = 5.0  # K: grey levels between neighbours at which half of the flow is stopped
RATE = 0.24
LARGEST_RATE = 0.25  # at which the finest pattern neither fades nor grows
BAND_ROWS = 128  # that one thread computes at a time
BAND_STEPS = 8  # steps that a band takes by itself, on as many rows more on each side
STRIP_ROWS = 32  # of a band at once: their temporary arrays fit into the cache of a core


@dataclass(frozen=True)
class Diffusion:
    """How scores are diffused.

    Parameters
    ----------
    steps : at least 0; values travel about √(2 · rate · steps) pixels: 35 for 2,500
    edge_level
        K, above 0: grey levels between neighbours at which half of the flow is stopped. Too large a level, and objects
        leak away.
    rate : λ, above 0 and below 0.25

    Raises
    ------
    InputError
        For values outside these ranges.
    """

    steps: int = STEPS
    edge_level: float = EDGE_LEVEL
    rate: float = RATE

    def __post_init__(self) -> None:
        if not 0 < self.rate < LARGEST_RATE:
            raise InputError(f"rate={self.rate}; expected above 0 and below {LARGEST_RATE}, where diffusion is stable.")
        if not self.edge_level > 0:
            raise InputError(f"edge_level={self.edge_level}; expected a level above 0.")
        if self.steps != int(self.steps) or self.steps < 0:
            raise InputError(f"steps={self.steps}; expected a whole number, 0 or more.")

    @property
    def reach_px(self) -> int:
        """Rows and columns around a tile within which nearly all of what flows into it lies: four standard deviations."""
        return int(np.ceil(4 * np.sqrt(2 * self.rate * self.steps)))


def guided_anisotropic_diffusion(
    scores: FloatImage,
    guides: Sequence[NDArray[np.generic]],
    *,
    diffusion: Diffusion | None = None,
    valid: NDArray[np.bool_] | None = None,
    workers: int = 2,
) -> FloatImage:
    """Diffuse scores along the edges that all guides agree to be free of.

    Each step takes the flow between neighbours from the guide that lets the least through; the guides are diffused as
    well, each by its own edges (equations 3 and 4 of the paper). The sum of each channel stays, and so does its range.

    Parameters
    ----------
    scores : (C, H, W), e.g. probabilities of change.
    guides
        One image or several, (B, H, W) each, in grey levels of 0 to 255; several must have equally many bands. They stay
        as they are.
    diffusion : steps, edge level and rate; by default as published
    valid : (H, W) bool; nothing flows into other pixels or out of them
    workers : threads. The result does not depend on them.

    Returns
    -------
    (C, H, W) float32.

    Raises
    ------
    InputError
        For sizes that differ or are 0, values that are no real numbers or not finite where valid, and a `valid` that is
        not bool.

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
    state = _stack(scores, guides, valid)
    step = _DiffusionStep(
        len(guides), guides[0].shape[0], diffusion, None if valid is None else np.asarray(valid, np.float32)
    )
    done = 0
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        while done < diffusion.steps:
            count = min(BAND_STEPS, diffusion.steps - done)
            state = _advance(state, step, count, pool)
            done += count
    result = np.ascontiguousarray(state[:, -scores.shape[0] :].transpose(1, 0, 2))
    return result if valid is None else np.where(valid, result, np.asarray(scores, np.float32))


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
    usable = slice(None) if valid is None else valid
    if not all(np.isfinite(array[:, usable]).all() for array in (scores, *guides)):
        raise InputError("scores or guides are not finite at some pixels. Leave these out with valid.")


def _stack(scores: FloatImage, guides: Sequence[NDArray[np.generic]], valid: NDArray[np.bool_] | None) -> FloatImage:
    """Guides and scores in one array (H, N, W), so that rows are contiguous; 0 where not valid."""
    stacked = np.concatenate([*guides, scores], dtype=np.float32, casting="unsafe")
    if valid is not None:
        stacked[:, ~valid] = 0
    return np.ascontiguousarray(stacked.transpose(1, 0, 2))


def _advance(state: FloatImage, step: _DiffusionStep, count: int, pool: ThreadPoolExecutor) -> FloatImage:
    """The state after `count` steps, band by band: each computes the rows that flow into it anew."""
    result = np.empty_like(state)
    height = state.shape[0]

    def advance_band(first: int) -> None:
        last = min(first + BAND_ROWS, height)
        start, stop = max(first - count, 0), min(last + count, height)
        band = state[start:stop].copy()
        step.apply(band, start, count)
        result[first:last] = band[first - start : last - start]

    list(pool.map(advance_band, range(0, height, BAND_ROWS)))
    return result


@dataclass
class _DiffusionStep:
    """One explicit step on guides and scores together: the channels of a state are `num_guides` guides of `bands`, then
    scores; `valid` is (H, W) float32 of 0 or 1."""

    num_guides: int
    bands: int
    diffusion: Diffusion
    valid: FloatImage | None
    factor: np.float32 = field(init=False)
    rate: np.float32 = field(init=False)

    def __post_init__(self) -> None:
        self.factor = np.float32(1 / (self.bands * self.diffusion.edge_level))
        self.rate = np.float32(self.diffusion.rate)

    def apply(self, state: FloatImage, first_row: int, count: int) -> None:
        """Take `count` steps in place. state : (h, N, W), of which the first row is `first_row` of the image"""
        height, channels, width = state.shape
        strip = min(STRIP_ROWS, height)
        rows = _Flow(0, self, (strip, channels, width))
        columns = _Flow(2, self, (strip, channels, width - 1))
        valid = None if self.valid is None else self.valid[first_row : first_row + height]
        from_above = np.empty((channels, width), np.float32)
        for _ in range(count):
            from_above[:] = 0
            for first in range(0, height, strip):
                own = state[first : first + strip]
                down = rows.flow(state[first : first + strip + 1], _both(valid, first, strip, 0))
                right = columns.flow(own, _both(valid, first, strip, 1))
                own[: len(down)] += down
                own[0] -= from_above
                own[1:] -= down[: len(own) - 1]
                own[:, :, :-1] += right
                own[:, :, 1:] -= right
                if len(down):
                    from_above[:] = down[-1]  # the next strip still needs its rows as they were


def _both(valid: FloatImage | None, first: int, strip: int, axis: int) -> FloatImage | None:
    """1 where a pixel of a strip and the next one along the axis are valid, (h, 1, w)."""
    if valid is None:
        return None
    if axis == 0:
        part = valid[first : first + strip + 1]
        return (part[1:] * part[:-1])[:, None]
    part = valid[first : first + strip]
    return (part[:, 1:] * part[:, :-1])[:, None]


class _Flow:
    """The flow between neighbours along one axis (rows 0, columns 2) in one step; its arrays are used again in each
    step."""

    def __init__(self, axis: int, step: _DiffusionStep, shape: tuple[int, int, int]) -> None:
        self.axis, self.step = axis, step
        height, channels, width = shape
        self.differences = np.empty((height, channels, width), np.float32)
        self.sizes = np.empty((height, step.num_guides * step.bands, width), np.float32)
        self.shares = np.empty((height, step.num_guides + 1, width), np.float32)

    def flow(self, state: FloatImage, between: FloatImage | None) -> FloatImage:
        """Values that each pixel gets from the next one along the axis, (h, N, w). between : (h, 1, w), 0 where nothing flows"""
        after, before = (state[1:], state[:-1]) if self.axis == 0 else (state[:, :, 1:], state[:, :, :-1])
        num_guides, bands, height = self.step.num_guides, self.step.bands, len(after)
        differences, shares = self.differences[:height], self.shares[:height]
        np.subtract(after, before, out=differences)
        self._measure_shares(differences, shares, between)
        for guide in range(num_guides):
            differences[:, guide * bands : (guide + 1) * bands] *= shares[:, guide : guide + 1]
        differences[:, num_guides * bands :] *= shares[:, num_guides:]
        return differences

    def _measure_shares(self, differences: FloatImage, shares: FloatImage, between: FloatImage | None) -> None:
        """The share of each difference that flows: λ / (1 + (mean of |difference| / K)²) by each guide, and the least of these."""
        num_guides, bands = self.step.num_guides, self.step.bands
        sizes, by_guide = self.sizes[: len(differences)], shares[:, :num_guides]
        np.abs(differences[:, : num_guides * bands], out=sizes)
        for guide in range(num_guides):
            share = by_guide[:, guide]
            share[:] = sizes[:, guide * bands]
            for band in range(1, bands):
                share += sizes[:, guide * bands + band]
        by_guide *= self.step.factor
        by_guide *= by_guide
        by_guide += np.float32(1)
        np.divide(self.step.rate, by_guide, out=by_guide)
        if between is not None:
            by_guide *= between
        np.minimum.reduce(by_guide, axis=1, out=shares[:, num_guides])
