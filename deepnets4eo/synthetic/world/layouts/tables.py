"""Rows of a plan's tables from whole arrays: buildings with their roofs, ways, boxes, areas.

Takes outlines as (N, 5) x, y, length, width in metres and angle in radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic import materials
from deepnets4eo.synthetic.world.layouts.clearance import OUTLINE, Rectangles
from deepnets4eo.synthetic.world.layouts.palette import vary
from deepnets4eo.synthetic.world.plan import (
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
from deepnets4eo.synthetic.world.style import WorldStyle


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
