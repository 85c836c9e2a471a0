"""Smoothing that keeps to the edges of the image: mean field of a conditional random field on a local window.

Takes probabilities and a guide image; gives probabilities. Pixels that are not known (NaN) send nothing and stay so.

A labelling x has the energy Σᵢ −log pᵢ(xᵢ) + Σ_{i<j} [xᵢ ≠ xⱼ] kᵢⱼ (Potts) over pairs up to `radius_px` apart, where
kᵢⱼ = wₐ exp(−|i−j|² / 2 sₐ² − d(Iᵢ, Iⱼ)² / 2 c²) / √(nᵢ nⱼ) + wₛ exp(−|i−j|² / 2 sₛ²) / √(mᵢ mⱼ), n and m being the sums
of the kernels around a pixel. Mean field repeats Qᵢ(l) ∝ pᵢ(l) exp(Σⱼ kᵢⱼ Qⱼ(l)) for all pixels at once.
Source: Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", NeurIPS
2011; there all pairs are summed, approximately, here the near ones, exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import FloatImage
from deepnets4eo.training.recipe import Section

BLOCK_PX = 1 << 13  # whose messages are worked on at once: they stay in the processor's cache
LEAST_SUM = 1e-3  # of a kernel around a pixel: one that resembles no neighbour hears little, and not the loudest noise


class CrfSettings(Section):
    """How far pixels look, and how much they listen. Reaches (iterations + 1) × radius_px pixels in all."""

    iterations: int = Field(default=5, ge=1, le=50)
    radius_px: int = Field(default=5, ge=1, le=20, description="half side of the window")
    step_px: int = Field(default=1, ge=1, le=10, description="2: every other neighbour, for wider windows at less cost")
    appearance_weight: float = Field(default=4.0, ge=0, description="votes of neighbours that look alike")
    appearance_px: float = Field(default=4.0, gt=0, description="standard deviation of their distance")
    appearance_range: float = Field(default=0.05, gt=0, description="… and of the guide's difference, in its units")
    smoothness_weight: float = Field(default=1.0, ge=0, description="votes of neighbours, whatever they look like")
    smoothness_px: float = Field(default=1.5, gt=0, description="standard deviation of their distance")
    least_proba: float = Field(
        default=0.01, gt=0, lt=0.5, description="what is less counts as this much; 0.1 for rules, which know no doubt"
    )

    @property
    def reach_px(self) -> int:
        """How far a pixel's result reaches: messages of each iteration, and sums of the kernels around the farthest."""
        return (self.iterations + 1) * self.radius_px


class _Plane:
    """Images laid out in one line, framed so that a neighbour lies a fixed number of places further.

    Behind each row there are `radius_px` places, and some rows above and below: neighbours beyond the edge are there.
    """

    def __init__(self, shape: tuple[int, int], radius_px: int) -> None:
        self.shape, self.frame = shape, radius_px + 1
        self.width = shape[1] + radius_px
        self.size = (shape[0] + 2 * self.frame) * self.width
        self.inside = slice(self.frame * self.width, self.size - self.frame * self.width)

    def empty(self, count: int, value: float) -> FloatImage:
        """(count, size) float32 of one value."""
        return np.full((count, self.size), value, np.float32)

    def view(self, line: FloatImage) -> FloatImage:
        """The image (…, h, w) in lines (…, size)."""
        rows = line.reshape(*line.shape[:-1], -1, self.width)
        return rows[..., self.frame : self.frame + self.shape[0], : self.shape[1]]

    def offset(self, down: int, right: int) -> int:
        """How many places further a neighbour lies."""
        return down * self.width + right


class _Likeness(NamedTuple):
    """How alike pixels and those `offset` places further are, (size,) float32; 0 for what is beyond the edge."""

    offset: int
    weight: FloatImage


class _Kernels(NamedTuple):
    """Both kernels on a plane: each one's 1 / √(sum around a pixel) (size,), and what they are made of."""

    likeness: list[_Likeness]
    look_root: FloatImage
    steps: list[tuple[int, np.float32]]  # along one axis: distance, weight
    near_root: FloatImage


def mean_field(proba: FloatImage, guide: FloatImage, settings: CrfSettings | None = None) -> FloatImage:
    """Probabilities after mean-field inference, (K, h, w) float32 summing to 1.

    proba : (K, h, w) float32, NaN where not known. guide : (C, h, w) float32, 0–1; differences are root mean squares
    over the C bands, and pairs with a NaN have no appearance in common
    A pixel's result depends on (iterations + 1) × radius_px pixels around it, to the last bit.
    Memory: 2 radius (radius + 1) / step² weights of 4 bytes a pixel (240 bytes for radius 5), and 20 K + 4 C bytes.
    """
    settings = settings or CrfSettings()
    known = np.logical_not(np.isnan(proba).any(axis=0))
    plane = _Plane(known.shape, settings.radius_px)
    kernels = _kernels(plane, guide, known, settings)
    unary = plane.empty(len(proba), 0)
    plane.view(unary)[:] = np.where(known, np.log(np.clip(proba, settings.least_proba, 1)), 0)
    heard = plane.empty(1, 0)[0]
    plane.view(heard)[:] = known
    belief = _softmax(unary.copy(), heard)
    for _ in range(settings.iterations):
        messages = _look_messages(plane, belief * kernels.look_root, kernels)
        messages *= kernels.look_root * np.float32(settings.appearance_weight)
        near = _near_messages(plane, belief * kernels.near_root, kernels.steps)
        near *= kernels.near_root * np.float32(settings.smoothness_weight)
        messages += near
        messages += unary
        belief = _softmax(messages, heard)
    result = plane.view(belief).copy()
    result[:, ~known] = np.nan
    return result


def _kernels(plane: _Plane, guide: FloatImage, known: NDArray[np.bool_], settings: CrfSettings) -> _Kernels:
    framed = plane.empty(len(guide), np.nan)  # NaN resembles nothing, so what is beyond the edge weighs nothing
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
    return np.asarray(1 / np.sqrt(np.maximum(total, np.float32(LEAST_SUM))), np.float32)


def _likeness(framed: FloatImage, offset: int, distance: float, spread: float) -> FloatImage:
    """exp(−distance − d² / 2 spread²) of each place and the one `offset` further, (size,); 0 where one is not known."""
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


def _look_messages(plane: _Plane, belief: FloatImage, kernels: _Kernels) -> FloatImage:
    """Sums over neighbours that look alike, a few rows at a time, each pixel's neighbours always in the same order."""
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


def _near_messages(plane: _Plane, belief: FloatImage, steps: list[tuple[int, np.float32]]) -> FloatImage:
    """Sums over all neighbours by distance: along rows, then along columns, then without the pixel itself."""
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
    """Probabilities (K, size), computed in place; 0 where not known."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    scores *= known
    return scores
