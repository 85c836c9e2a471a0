"""Looks of roofs: which kind, surface and colour each roof of a site takes.

A site takes few of the style's colours often and others rarely, so that whole towns are red, rusty or pale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.plan import CONSTRUCTIONS, ROOF_KINDS, SURFACES
from deepnets4eo.synthetic.world.style import WorldStyle

_CARS = np.array(
    [[226, 226, 224], [186, 188, 190], [46, 46, 50], [112, 114, 118], [142, 44, 40], [52, 74, 122], [190, 178, 150]],
    np.float32,
)
_CAR_SHARES = np.array([0.3, 0.22, 0.18, 0.14, 0.06, 0.07, 0.03])


@dataclass(frozen=True)
class Looks:
    """How each of N roofs looks: codes of kind, surface and construction (N,), rise (N,), relief (N,), colour (N, 4)."""

    kind: NDArray[np.uint8]
    surface: NDArray[np.uint8]
    construction: NDArray[np.uint8]
    rise: NDArray[np.float64]
    relief: NDArray[np.float64]
    colour: NDArray[np.float32]

    def take(self, index: NDArray[Any]) -> Looks:
        """Return the looks of some roofs, by rows or a mask."""
        return Looks(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


class Palette:
    """The looks of one site, drawn once from its style."""

    def __init__(self, style: WorldStyle, rng: np.random.Generator) -> None:
        self._types = style.roofs
        shares = np.array([one.share for one in style.roofs])
        self._shares = rng.dirichlet(1e-3 + shares * rng.uniform(2.0, 14.0))
        self._colours = [np.array(one.colours, np.float32) for one in style.roofs]
        self._weights = [rng.dirichlet(np.full(len(one.colours), rng.choice([0.4, 1.0, 3.0]))) for one in style.roofs]
        self._tone = rng.normal(1.0, 0.07) * rng.normal(1.0, 0.02, 3)
        self._vivid = rng.uniform(0.4, 1.0)  # of the colours, 1 as in the style
        self._spread = rng.uniform(3.0, 12.0)
        self._relief = rng.uniform(0.4, 1.5)

    def draw(self, count: int, rng: np.random.Generator) -> Looks:
        """Draw the looks of `count` new roofs."""
        kind, surface, construction = (np.zeros(count, np.uint8) for _ in range(3))
        rise, colour = np.zeros(count), np.zeros((count, 3), np.float32)
        types = rng.choice(len(self._types), count, p=self._shares)
        for code, roof in enumerate(self._types):
            rows = np.flatnonzero(types == code)
            names = list(roof.kinds)
            shares = np.array([roof.kinds[name] for name in names])
            codes = np.array([ROOF_KINDS[name] for name in names], np.uint8)
            kind[rows] = codes[rng.choice(len(names), len(rows), p=shares / shares.sum())]
            surface[rows], construction[rows] = SURFACES[roof.surface], CONSTRUCTIONS[roof.construction]
            rise[rows] = rng.uniform(*roof.rise, len(rows))
            picks = rng.choice(len(self._weights[code]), len(rows), p=self._weights[code])
            colour[rows] = self._colours[code][picks]
        grey = colour.mean(axis=1, keepdims=True)
        colour = grey + self._vivid * (colour - grey)
        colour *= self._tone * rng.normal(1.0, self._spread / 130.0, (count, 1))
        colour += rng.normal(0.0, self._spread / 3.0, (count, 3))
        relief = self._relief * rng.uniform(0.6, 1.3, count)
        return Looks(kind, surface, construction, rise, relief, add_infrared(colour))


def add_infrared(colour: NDArray[Any]) -> NDArray[np.float32]:
    """Return display colours (N, 4), limited to 8–250, with the near infrared of minerals and paints: near red, a
    little brighter."""
    infrared = 0.75 * colour[:, :1] + 0.25 * colour[:, 1:2] + 10.0
    limited: NDArray[np.float32] = np.clip(np.concatenate([colour, infrared], axis=1), 8, 250).astype(np.float32)
    return limited


def car_colours(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return display colours (N, 4) of cars: many white, silver and black, few red and blue."""
    base = _CARS[rng.choice(len(_CARS), count, p=_CAR_SHARES)]
    return add_infrared(base * rng.uniform(0.85, 1.1, (count, 1)))


def vary(colour: Any, count: int, rng: np.random.Generator, spread: float = 0.1) -> NDArray[np.float32]:
    """Return one colour, or one for each object, varied: (N, 4) display values. `spread` is the standard deviation of
    the brightness as a share of it."""
    tones = rng.normal(1.0, spread, (count, 1)) * rng.normal(1.0, spread / 4, (count, 3))
    return add_infrared(np.asarray(colour, np.float64) * tones)
