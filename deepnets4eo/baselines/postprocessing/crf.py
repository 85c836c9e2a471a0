"""Smoothing that keeps to the edges of the image: mean field of a conditional random field on a local window.

The energy of a labelling x is a Potts model over all pairs of pixels up to `radius_px` apart:

    E(x) = Σᵢ −log pᵢ(xᵢ) + Σ_{i<j} [xᵢ ≠ xⱼ] kᵢⱼ
    kᵢⱼ = wₐ exp(−|i−j|² / 2 sₐ² − d(Iᵢ, Iⱼ)² / 2 c²) / √(nᵢ nⱼ) + wₛ exp(−|i−j|² / 2 sₛ²) / √(mᵢ mⱼ)

where n and m are the sums of the two kernels around a pixel. Mean field repeats Qᵢ(l) ∝ pᵢ(l) exp(Σⱼ kᵢⱼ Qⱼ(l)) for all
pixels at once.

Source: Krähenbühl and Koltun, NeurIPS 2011. They sum over all pairs approximately; here the near pairs are summed
exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.options import option_group

BLOCK_PX = 1 << 13  # whose messages are computed at once: they fit into the processor's cache
MIN_KERNEL_SUM = (
    1e-3  # of a kernel around a pixel, so that a pixel unlike all neighbours gets small messages, not amplified noise
)


@option_group
class CrfSettings:
    """Range and weights of the kernels of a conditional random field; a pixel depends on (iterations + 1) × radius_px
    around.

    Parameters
    ----------
    iterations : steps of mean field, 1 to 50

    Examples
    --------
    >>> CrfSettings(iterations=3, radius_px=4).reach_px
    16
    """

    iterations: int = Field(default=5, ge=1, le=50)
    radius_px: int = Field(default=5, ge=1, le=20, description="half side of the window")
    step_px: int = Field(default=1, ge=1, le=10, description="2: every other neighbour, for wider windows at less cost")
    appearance_weight: float = Field(default=4.0, ge=0, description="weight of neighbours that look similar")
    appearance_px: float = Field(default=4.0, gt=0, description="standard deviation of their distance")
    appearance_range: float = Field(default=0.05, gt=0, description="… and of the guide's difference, in its units")
    smoothness_weight: float = Field(default=1.0, ge=0, description="weight of all neighbours")
    smoothness_px: float = Field(default=1.5, gt=0, description="standard deviation of their distance")
    least_proba: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="lower probabilities count as this one; 0.1 for rules, whose probabilities are 0 or 1",
    )

    @property
    def reach_px(self) -> int:
        """Return the reach of a result in pixels: the messages of each iteration, and the kernel sums around the farthest pixel."""
        return (self.iterations + 1) * self.radius_px


class _FramedLine:
    """Images stored as one line, with a frame so that a neighbour is a fixed number of entries further, beyond the edge
    too."""

    def __init__(self, shape: tuple[int, int], radius_px: int) -> None:
        self.shape, self.frame = shape, radius_px + 1
        self.width = shape[1] + radius_px
        self.size = (shape[0] + 2 * self.frame) * self.width
        self.inside = slice(self.frame * self.width, self.size - self.frame * self.width)

    def empty(self, count: int, value: float) -> FloatImage:
        """Return (count, size) float32 of one value."""
        return np.full((count, self.size), value, np.float32)

    def view(self, line: FloatImage) -> FloatImage:
        """Return the image (…, h, w) in lines (…, size)."""
        rows = line.reshape(*line.shape[:-1], -1, self.width)
        return rows[..., self.frame : self.frame + self.shape[0], : self.shape[1]]

    def offset(self, down: int, right: int) -> int:
        """Return the number of entries from a pixel to a neighbour."""
        return down * self.width + right


class _Likeness(NamedTuple):
    """Similarity of pixels and those `offset` entries further, (size,) float32; 0 for entries beyond the edge."""

    offset: int
    weight: FloatImage


class _Kernels(NamedTuple):
    """Both kernels on a plane: 1 / √(sum around a pixel) (size,) of each, and their terms."""

    likeness: list[_Likeness]
    look_root: FloatImage
    steps: list[tuple[int, np.float32]]  # along one axis: distance, weight
    near_root: FloatImage


def mean_field(proba: FloatImage, guide: FloatImage, settings: CrfSettings | None = None) -> FloatImage:
    """Smooth probabilities by mean-field inference; a pixel depends exactly on (iterations + 1) × radius_px around it.

    Returns (K, h, w) float32 that sum to 1 over K; unknown pixels are NaN.

    Memory: 2 radius (radius + 1) / step² weights of 4 bytes per pixel (240 bytes for radius 5), and 20 K + 4 C bytes.

    Parameters
    ----------
    proba : (K, h, w) float32, probabilities 0 to 1; NaN marks unknown pixels
        Unknown pixels send no messages and stay unknown.
    guide : (C, h, w) float32, 0 to 1
        Differences are root mean squares over the C bands; pairs with a NaN have no appearance term.
    settings : range and weights of the kernels

    Examples
    --------
    >>> proba = np.full((2, 5, 5), 0.2, np.float32)
    >>> proba[0] = 0.8
    >>> proba[:, 2, 2] = 0.4, 0.6  # a single pixel of the other class in a constant image
    >>> mean_field(proba, np.zeros((1, 5, 5), np.float32)).argmax(axis=0).max()
    np.int64(0)
    """
    # Kernels are summed over a bounded neighbourhood instead of a permutohedral lattice: a pixel then depends on a known halo, so that tiles
    # give what the whole scene would, bit by bit. Both sums are divided by the roots of their totals at both ends (symmetric normalisation
    # of Krähenbühl & Koltun 2013), or pixels at edges would get weaker messages than pixels inside.
    settings = settings or CrfSettings()
    known = np.logical_not(np.isnan(proba).any(axis=0))
    plane = _FramedLine(known.shape, settings.radius_px)
    kernels = _kernels(plane, guide, known, settings)
    unary = plane.empty(len(proba), 0)
    plane.view(unary)[:] = np.where(known, np.log(np.clip(proba, settings.least_proba, 1)), 0)
    known_line = plane.empty(1, 0)[0]
    plane.view(known_line)[:] = known
    belief = _softmax(unary.copy(), known_line)
    for _ in range(settings.iterations):
        messages = _look_messages(plane, belief * kernels.look_root, kernels)
        messages *= kernels.look_root * np.float32(settings.appearance_weight)
        near = _near_messages(plane, belief * kernels.near_root, kernels.steps)
        near *= kernels.near_root * np.float32(settings.smoothness_weight)
        messages += near
        messages += unary
        belief = _softmax(messages, known_line)
    result = plane.view(belief).copy()
    result[:, ~known] = np.nan
    return result


def _kernels(plane: _FramedLine, guide: FloatImage, known: Mask, settings: CrfSettings) -> _Kernels:
    framed = plane.empty(len(guide), np.nan)  # NaN is similar to nothing, so entries beyond the edge have weight 0
    plane.view(framed)[:] = np.where(known, guide, np.nan)
    reach = settings.radius_px // settings.step_px
    steps = [settings.step_px * step for step in range(-reach, reach + 1)]
    shifts = [(down, right) for down in steps for right in steps if down > 0 or (down == 0 and right > 0)]
    likeness, total = [], np.zeros(plane.size, np.float32)
    for down, right in shifts:
        distance = (down * down + right * right) / (2 * settings.appearance_px**2)
        offset = plane.offset(down, right)
        weight = _likeness(framed, offset, distance, settings.appearance_range)
        total += weight
        total[offset:] += weight[: total.size - offset]
        likeness.append(_Likeness(offset, weight))
    along = [(step, np.float32(np.exp(-(step**2) / (2 * settings.smoothness_px**2)))) for step in steps if step > 0]
    present = plane.empty(1, 0)
    plane.view(present)[:] = known
    near_total = _near_messages(plane, present, along)[0]
    return _Kernels(likeness, _root(total), along, _root(near_total))


def _root(total: FloatImage) -> FloatImage:
    return np.asarray(1 / np.sqrt(np.maximum(total, np.float32(MIN_KERNEL_SUM))), np.float32)


def _likeness(framed: FloatImage, offset: int, distance: float, spread: float) -> FloatImage:
    """Return exp(−distance − d² / 2 spread²) of each entry and the entry `offset` further on, (size,); 0 if either is unknown."""
    scale = -1 / (2 * len(framed) * spread**2)
    weight = np.zeros(framed.shape[1], np.float32)
    squares = weight[:-offset]
    squares += np.float32(-distance / scale)
    difference = np.empty_like(squares)
    for band in framed:
        np.subtract(band[offset:], band[:-offset], out=difference)
        difference *= difference
        squares += difference
    squares *= np.float32(scale)
    np.exp(squares, out=squares)
    np.fmax(squares, 0, out=squares)
    return weight


def _look_messages(plane: _FramedLine, belief: FloatImage, kernels: _Kernels) -> FloatImage:
    """Sum over similar neighbours, a few rows at a time, each pixel's neighbours always in the same order."""
    messages = np.zeros_like(belief)
    spare = np.empty((len(belief), BLOCK_PX), np.float32)
    for start in range(plane.inside.start, plane.inside.stop, BLOCK_PX):
        stop = min(start + BLOCK_PX, plane.inside.stop)
        part, product = messages[:, start:stop], spare[:, : stop - start]
        for offset, weight in kernels.likeness:
            np.multiply(belief[:, start + offset : stop + offset], weight[start:stop], out=product)
            part += product
            np.multiply(belief[:, start - offset : stop - offset], weight[start - offset : stop - offset], out=product)
            part += product
    return messages


def _near_messages(plane: _FramedLine, belief: FloatImage, steps: list[tuple[int, np.float32]]) -> FloatImage:
    """Sum over all neighbours by distance: along rows, then along columns, then without the pixel itself."""
    sums = belief
    for unit in (plane.offset(0, 1), plane.offset(1, 0)):
        line, sums = sums, sums.copy()
        for step, weight in steps:
            offset = step * unit
            pair = line[:, 2 * offset :] + line[:, : -2 * offset]
            pair *= weight
            sums[:, offset:-offset] += pair
    return sums - belief


def _softmax(scores: FloatImage, known: FloatImage) -> FloatImage:
    """Compute probabilities (K, size) in place; 0 where not known."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    scores *= known
    return scores
