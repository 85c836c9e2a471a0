"""Rows of a plan's tables from whole arrays: buildings with their roofs, ways, boxes, areas; and the looks of roofs and cars.

Takes outlines as (N, 5) x, y, length, width in metres and angle in radians. A site takes few of the style's colours often and others
rarely, so that whole towns are red, rusty or pale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic import materials
from world.layouts.clearance import OUTLINE, Rectangles
from world.plan import (
    BOTH,
    CONE,
    CONSTRUCTIONS,
    DOME,
    FLAT,
    NO_BUILDING,
    ROOF_KINDS,
    SURFACES,
    TABLES,
    Plan,
)
from world.style import WorldStyle

_CARS = np.array(
    [[226, 226, 224], [186, 188, 190], [46, 46, 50], [112, 114, 118], [142, 44, 40], [52, 74, 122], [190, 178, 150]],
    np.float32,
)
_CAR_SHARES = np.array([0.3, 0.22, 0.18, 0.14, 0.06, 0.07, 0.03])


def table_rows(table: str, outlines: Rectangles | None = None, **columns: Any) -> NDArray[Any]:
    """Return rows of a table (a key of `plan.TABLES`) from columns and rectangles (N, 5); they are at both dates, with
    tone and relief 1, where the columns say nothing else. Without rectangles a column `x` must be (N,)."""
    rows: NDArray[Any] = np.zeros(len(columns["x"] if outlines is None else outlines), TABLES[table])
    for name, value in (("when", BOTH), ("tone", 1), ("relief", 1)):
        if name in (TABLES[table].names or ()):
            rows[name] = value
    if outlines is not None:
        for index, name in enumerate(OUTLINE):
            rows[name] = outlines[:, index]
    for name, value in columns.items():
        rows[name] = value
    return rows


def way_rows(points: NDArray[np.float64], width_m: float, material: str, **columns: Any) -> NDArray[Any]:
    """Return areas of a material along a curve (K, 2) in metres: roads, tracks, rivers of `width_m`."""
    step = np.diff(points, axis=0)
    length = np.hypot(*step.T)
    outlines = np.column_stack(
        [(points[1:] + points[:-1]) / 2, length + 0.4 * width_m, np.full(len(step), width_m), np.arctan2(*step.T[::-1])]
    )
    return table_rows("areas", outlines, material=materials.CODE[material], **columns)


def draw_curve(
    extent_m: tuple[float, float], rng: np.random.Generator, meander_m: float, heading: float | None = None
) -> NDArray[np.float64]:
    """Return a curve (K, 2) in metres across a place, from far outside to far outside, with points about 7 m apart.
    `meander_m` is the amplitude of the bends, `heading` the direction in radians (drawn where None)."""
    extent = np.array(extent_m)
    half = 0.75 * float(np.hypot(*extent)) + meander_m
    along = np.linspace(-half, half, max(int(half / 3.5), 8))
    across = np.zeros_like(along)
    for wave_m in rng.uniform((40, 90, 180), (90, 200, 420)):
        across += meander_m * wave_m / 420 * np.sin(2 * np.pi * (along / wave_m + rng.random()))
    turn = rng.uniform(0, np.pi) if heading is None else heading
    axis = np.array([np.cos(turn), np.sin(turn)])
    middle = extent * rng.uniform(0.2, 0.8, 2)
    return middle + along[:, None] * axis + across[:, None] * np.array([-axis[1], axis[0]])


def draw_within(rng: np.random.Generator, span: Sequence[float], shape: Any) -> NDArray[np.float64]:
    """Draw evenly within a span (from, to)."""
    low, high = span
    return rng.uniform(low, high, shape)


def draw_counts(rng: np.random.Generator, span: Sequence[int], count: int) -> NDArray[np.int64]:
    """Draw `count` whole numbers evenly within a span, both ends included."""
    low, high = span
    return rng.integers(low, high + 1, count)


def draw_outline_sizes(
    sizes: dict[str, Any], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw lengths and widths (count,) in metres of a type of building from the spans `length_m` and, unless it is
    square, `width_m`; the length is the greater."""
    length = draw_within(rng, sizes["length_m"], count)
    if "width_m" not in sizes:
        return length, length
    width = draw_within(rng, sizes["width_m"], count)
    return np.maximum(length, width), np.minimum(length, width)


def draw_types(style: WorldStyle, choices: list[int] | None, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the kind of roof, a row of `style.roofs`, of `count` buildings by the shares of the style; `choices`
    restricts the rows."""
    rows = np.arange(len(style.roofs)) if choices is None else np.array(choices)
    shares = np.array([style.roofs[row].share for row in rows])
    return rng.choice(rows, count, p=shares / shares.sum())


def add_buildings(
    plan: Plan,
    style: WorldStyle,
    outlines: Rectangles,
    types: NDArray[np.int64],
    eave_m: NDArray[np.float64],
    rng: np.random.Generator,
) -> Plan:
    """Return the plan with N more buildings of one rectangle each, in order, and their roofs; `types` (N,) are rows of
    `style.roofs`."""
    constructions = np.array([CONSTRUCTIONS[kind.construction] for kind in style.roofs], np.uint8)
    rows = table_rows(
        "buildings", x=outlines[:, 0], y=outlines[:, 1], radius_m=np.hypot(outlines[:, 2], outlines[:, 3]) / 2,
        eave_m=eave_m, storeys=np.clip(np.round(eave_m / 3), 1, 40), construction=constructions[types],
        key=rng.integers(0, 2**32, len(outlines), dtype=np.uint32),
    )  # fmt: skip
    building = np.arange(len(rows)) + len(plan.buildings)
    return plan.with_rows(buildings=rows, roofs=roof_rows(style, outlines, types, eave_m, building, rng))


def roof_rows(
    style: WorldStyle,
    outlines: Rectangles,
    types: NDArray[np.int64],
    eave_m: NDArray[np.float64],
    building: NDArray[np.int64] | int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Return roofs (N,) over rectangles (N, 5): parts of the buildings of the rows `building`, or structures that are
    none (`NO_BUILDING`). `types` (N,) are rows of `style.roofs`."""
    rows = table_rows("roofs", outlines, eave_m=eave_m, building=building)
    for index in np.unique(types):
        kind, own = style.roofs[index], types == index
        count = int(own.sum())
        shapes, shares = list(kind.kinds), np.array(list(kind.kinds.values()))
        shape = np.array([ROOF_KINDS[name] for name in shapes])[rng.choice(len(shapes), count, p=shares / shares.sum())]
        rows["kind"][own] = shape
        rows["surface"][own] = SURFACES[kind.surface]
        rows["rise"][own] = np.where(shape == FLAT, 0, draw_within(rng, kind.rise, count))
        rows["relief"][own] = rng.uniform(0.4, 1.8, count)
        colours = np.array(kind.colours, float)[rng.integers(len(kind.colours), size=count)]
        rows["colour"][own] = vary(colours, count, rng, 0.13)
    round_roof = np.isin(rows["kind"], (CONE, DOME)) & (rows["building"] != NO_BUILDING)
    rows["length"][round_roof] = rows["width"][round_roof]
    return rows


def start_plan(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Return a plan with nothing but the ground of the style, its colours varied for this site; `grounds` among the
    numbers are pairs of display colours of which one is taken."""
    low, high, _ = materials.poles()
    ground, patches, share = style.ground
    common = np.clip(rng.normal(1, 0.12), 0.72, 1.3) * rng.normal(1, 0.035, 4)
    poles = {}
    for name in ("grass", "dry_grass", "soil", "gravel", "shrub", "mud", "water", "asphalt", "concrete"):
        pair = style.poles.get(name) or [low[materials.CODE[name]], high[materials.CODE[name]]]
        own = np.clip(rng.normal(1, 0.08), 0.8, 1.25) * rng.normal(1, 0.035, 4)
        poles[name] = np.clip(np.array(pair, np.float32) * common * own, 6, 248).astype(np.float32)
    if "grounds" in style.numbers:
        choices = np.array(style.numbers["grounds"], np.float32)
        poles[ground] = np.clip(choices[rng.integers(len(choices))] * common, 6, 248).astype(np.float32)
    plan = Plan(
        extent_m, materials.CODE[ground], materials.CODE[patches], rng.uniform(*share), rng.uniform(*style.relief_m)
    )
    return replace(plan, poles=poles)


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
