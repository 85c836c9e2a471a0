"""Informal settlement: small touching roofs of sheets along narrow paths, a few tracks, a drain, junk.

Takes a style whose numbers span the size of huts and the width of paths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic import materials
from world.layouts.clearance import Rectangles, keep_apart, outline_rows
from world.layouts.tables import (
    add_buildings,
    draw_counts,
    draw_curve,
    draw_types,
    draw_within,
    start_plan,
    table_rows,
    vary,
    way_rows,
)
from world.plan import Plan, join_rows
from world.style import WorldStyle


def informal(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out an informal settlement without trees over (width, height) metres: huts, paths, districts of one
    direction, tracks, larger halls, a drain and junk by the numbers of the style."""
    plan = start_plan(style, extent_m, rng)
    ways = [
        way_rows(
            draw_curve(extent_m, rng, rng.uniform(5, 45)), style.draw(rng, "track_m"), "soil", rough=0.6, tone=1.08
        )
        for _ in range(int(draw_counts(rng, style.numbers["tracks"], 1)[0]))
    ]
    if rng.random() < style.numbers["drain"]:
        course, width = draw_curve(extent_m, rng, 60), rng.uniform(1.5, 6)
        ways += [way_rows(course, width * 2.2, "mud", rough=0.9), way_rows(course, width, "water", rough=0.5)]
    plan = plan.with_rows(areas=join_rows([table_rows("areas", np.zeros((0, 5))), *ways]))
    huts = np.concatenate([_halls(style, extent_m, rng), _districts(style, extent_m, rng)])
    huts = huts[_settled(style, extent_m, huts, rng)]
    huts = huts[keep_apart(huts, outline_rows(plan.areas), 0.04)]
    eave = draw_within(rng, style.numbers["eave_m"], len(huts)) * np.where(rng.random(len(huts)) < 0.05, 2, 1)
    plan = add_buildings(plan, style, huts, draw_types(style, None, len(huts), rng), eave, rng)
    return plan.with_rows(boxes=_junk(plan, style, rng))


def _districts(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Rectangles:
    """Rows of huts in parts of the settlement, each with its own direction."""
    extent, size = np.array(extent_m), style.draw(rng, "district_m")
    count = max(int(extent.prod() / size**2), 1)
    middles = rng.random((count, 2)) * extent
    base, wild = rng.uniform(0, np.pi), rng.uniform(0.05, 0.8)
    parts = []
    for index, middle in enumerate(middles):
        rows = _rows_of_huts(style, middle, base + rng.normal(0, wild), 1.4 * size, rng)
        rows = rows[(np.abs(rows[:, :2] - extent / 2) < extent / 2 + 10).all(axis=1)]
        nearest = np.argmin(((rows[:, None, :2] - middles) ** 2).sum(axis=2), axis=1)
        parts.append(rows[nearest == index])
    return np.concatenate(parts)


def _rows_of_huts(
    style: WorldStyle, middle: NDArray[np.float64], angle: float, reach_m: float, rng: np.random.Generator
) -> Rectangles:
    """Rows of touching huts, back to back in pairs with a path between the pairs."""
    low, high = style.numbers["hut_m"]
    pitch = (low + high) / 2
    number = int(2 * reach_m / pitch) + 1
    depth = rng.uniform(low, high, number)
    path = np.where(
        np.arange(number) % int(rng.choice([1, 2, 2, 2])) == 0, draw_within(rng, style.numbers["path_m"], number), 0.1
    )
    v = np.cumsum(depth + path) - depth / 2 - reach_m
    lengths = rng.uniform(low, high, (number, number)) * rng.choice([1, 1, 1, 1.7], (number, number))
    gaps = np.where(
        rng.random((number, number)) < 0.15, draw_within(rng, style.numbers["path_m"], (number, number)), 0.1
    )
    u = np.cumsum(lengths + gaps, axis=1) - lengths / 2 - reach_m * rng.uniform(1, 1.2, (number, 1))
    width = np.repeat(depth[:, None], number, axis=1) * rng.uniform(0.82, 1, (number, number))
    v = np.repeat(v[:, None], number, axis=1) + rng.uniform(-0.15, 0.15, lengths.shape)
    lengths *= rng.uniform(0.93, 1, lengths.shape)
    keep = (np.abs(u) < reach_m) & (np.abs(v) < reach_m) & (rng.random(u.shape) > style.draw(rng, "free"))
    u, v, lengths, width = u[keep], v[keep], lengths[keep], width[keep]
    askew = rng.normal(0, 0.03, len(u))
    x = middle[0] + u * np.cos(angle) - v * np.sin(angle)
    y = middle[1] + u * np.sin(angle) + v * np.cos(angle)
    return np.column_stack([x, y, lengths, width, angle + askew])


def _halls(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Rectangles:
    """Schools, churches, markets: a few larger buildings, before the huts."""
    count = int(rng.poisson(style.draw(rng, "halls_per_ha") * extent_m[0] * extent_m[1] / 1e4))
    sizes = np.column_stack([rng.uniform(12, 32, count), rng.uniform(7, 13, count)])
    angle = rng.uniform(0, np.pi) + rng.choice([0, np.pi / 2], count) + rng.normal(0, 0.1, count)
    return np.column_stack([rng.random((count, 2)) * extent_m, sizes, angle])


def _settled(
    style: WorldStyle, extent_m: tuple[float, float], huts: Rectangles, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whether huts lie on the settled side of a winding border."""
    share = style.draw(rng, "settled")
    turn, wave, phase = rng.uniform(0, 2 * np.pi), rng.uniform(40, 160), rng.uniform(0, 2 * np.pi)
    u = huts[:, 0] * np.cos(turn) + huts[:, 1] * np.sin(turn)
    v = huts[:, 1] * np.cos(turn) - huts[:, 0] * np.sin(turn)
    border = u + 0.12 * extent_m[0] * np.sin(v / wave * 2 * np.pi + phase)
    return border <= np.quantile(border, min(share, 1))


def _junk(plan: Plan, style: WorldStyle, rng: np.random.Generator) -> NDArray[Any]:
    """Heaps, barrels, carts and sheets beside the huts, stones and tyres on the roofs."""
    count = int(rng.poisson(style.draw(rng, "junk_per_ha") * plan.extent_m[0] * plan.extent_m[1] / 1e4))
    outlines = np.column_stack(
        [rng.random((count, 2)) * plan.extent_m, rng.uniform(0.4, 2.4, (count, 2)), rng.uniform(0, np.pi, count)]
    )
    shades = rng.choice([[52, 60, 70], [150, 90, 60], [180, 176, 170], [70, 66, 60], [60, 90, 150]], count)
    return table_rows(
        "boxes", outlines, height_m=rng.uniform(0.15, 1.1, count), on_roof=rng.random(count) < 0.5,
        material=materials.CODE["rubble"], colour=vary(shades, count, rng, 0.13),
    )  # fmt: skip
