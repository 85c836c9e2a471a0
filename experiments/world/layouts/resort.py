"""Coastal resort: sea and beach on one side, a promenade, hotels with pools, bungalows, houses behind, boats.

Drawn in the frame of the shore: u along it, v inland from the water's edge, metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from world.layouts.clearance import Rectangles, keep_apart, outline_rows
from world.layouts.tables import (
    add_buildings,
    draw_counts,
    draw_types,
    draw_within,
    roof_rows,
    start_plan,
    table_rows,
    vary,
    way_rows,
)
from world.plan import ELLIPSE, NO_BUILDING, RECTANGLE, Plan, join_rows
from world.style import WorldStyle


@dataclass(frozen=True)
class Shore:
    """Frame of the shore: a point of the water's edge, metres; the direction of u, radians; half the length drawn."""

    origin: NDArray[np.float64]
    turn: float
    half_m: float

    def outlines(self, u: Any, v: Any, length: Any, width: Any, angle: Any) -> Rectangles:
        """Return rectangles (N, 5) of the plan from middles, sides and angles in the frame, metres and radians."""
        u, v, length, width, angle = np.broadcast_arrays(*map(np.atleast_1d, (u, v, length, width, angle)))
        x = self.origin[0] + u * np.cos(self.turn) - v * np.sin(self.turn)
        y = self.origin[1] + u * np.sin(self.turn) + v * np.cos(self.turn)
        return np.stack([x, y, length, width, angle + self.turn], axis=1).astype(np.float64)


def resort(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out a coastal resort without trees over (width, height) metres: sea, beach, roads, hotels, bungalows, houses,
    umbrellas and boats by the numbers of the style."""
    plan = start_plan(style, extent_m, rng)
    half = 0.75 * float(np.hypot(*extent_m))
    turn, sea = rng.uniform(0, 2 * np.pi), style.draw(rng, "sea")
    inland = np.array([-np.sin(turn), np.cos(turn)])
    reach = (abs(inland) * extent_m).sum()
    shore = Shore(np.array(extent_m) / 2 + inland * (sea - 0.5) * reach, turn, half)
    beach = style.draw(rng, "beach_m")
    coast, roads = _coast(shore, beach, rng), _roads(shore, style, beach, rng)
    plan = plan.with_rows(areas=join_rows([coast, roads]))
    taken = np.concatenate([outline_rows(roads), shore.outlines(0, (beach - 500) / 2, 2 * half, beach + 500, 0)])
    plan, taken = _add_hotels(plan, style, shore, beach, taken, rng)
    plan = _add_small(plan, style, shore, beach, taken, rng)
    return plan.with_rows(boxes=_beach_life(style, shore, beach, rng))


def _coast(shore: Shore, beach: float, rng: np.random.Generator) -> NDArray[Any]:
    """Beach, wet sand and sea, each a rectangle with a ragged edge and bays."""
    half = shore.half_m
    count = int(half / 12)
    u, size = rng.uniform(-half, half, count), rng.uniform(20, 90, count)
    bay = rng.uniform(0.1, 0.5) * np.minimum(beach, 25)
    sand = shore.outlines(0, (beach - 30) / 2, 2 * half, beach + 30, 0)
    ledges = shore.outlines(u, beach - 2, size, rng.uniform(3, 14, count), rng.normal(0, 0.1, count))
    bays = shore.outlines(u, 0, size, bay, rng.normal(0, 0.03, count))
    sea = shore.outlines(0, -500, 2 * half, 1000, 0)
    return join_rows(
        [
            table_rows("areas", sand, material=CODE["gravel"], rough=0.7),
            table_rows("areas", ledges, shape=ELLIPSE, material=CODE["gravel"], rough=0.9),
            table_rows("areas", bays + np.array([0, 0, 3, rng.uniform(2, 8), 0]), shape=ELLIPSE, material=CODE["gravel"], tone=0.8, rough=0.6),
            table_rows("areas", np.concatenate([bays, sea]), shape=[ELLIPSE] * count + [RECTANGLE], material=CODE["water"], rough=0.6),
        ]
    )  # fmt: skip


def _roads(shore: Shore, style: WorldStyle, beach: float, rng: np.random.Generator) -> NDArray[Any]:
    """A promenade behind the beach, parallel roads behind it, and lanes across."""
    half, spacing = shore.half_m, style.draw(rng, "roads_m")
    v = beach + rng.uniform(4, 40)
    material = str(rng.choice(["asphalt", "old_asphalt", "concrete", "soil"]))
    bend, wave, phase = rng.uniform(0, 7), rng.uniform(90, 300), rng.uniform(0, 6)
    u = np.linspace(-half, half, int(half / 5))
    groups = []
    while v < 2 * half:
        points = shore.outlines(u, v + bend * np.sin(u / wave * 6.3 + phase), 1, 1, 0)[:, :2]
        groups.append(way_rows(points, rng.uniform(4, 9), material))
        v += spacing * rng.uniform(0.7, 1.3)
    across = rng.uniform(-half, half, int(2 * half / spacing * rng.uniform(0.3, 1.2)))
    for start in across:
        line = np.linspace(beach + 2, 2 * half, 20)
        groups.append(
            way_rows(
                shore.outlines(start + 0.1 * line * rng.normal(), line, 1, 1, 0)[:, :2], rng.uniform(3, 6), material
            )
        )
    return join_rows(groups)


def _spread(
    style: WorldStyle, number: str, shore: Shore, beach: float, deep_m: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions u and v in a strip behind the beach, by a number a hectare."""
    count = int(rng.poisson(style.draw(rng, number) * 2 * shore.half_m * deep_m / 1e4))
    return rng.uniform(-shore.half_m, shore.half_m, count), beach + rng.uniform(3, deep_m, count)


def _add_hotels(
    plan: Plan, style: WorldStyle, shore: Shore, beach: float, taken: Rectangles, rng: np.random.Generator
) -> tuple[Plan, Rectangles]:
    """Hotels of one to three wings around a court with a pool on its deck."""
    u, v = _spread(style, "hotels_per_ha", shore, beach, 140, rng)
    count = len(u)
    lots = shore.outlines(
        u,
        v,
        rng.uniform(26, 75, count),
        rng.uniform(24, 46, count),
        rng.normal(0, 0.08, count) + rng.choice([0, np.pi / 2], count),
    )
    lots = lots[keep_apart(lots, taken, 2.0)]
    count = len(lots)
    depth = rng.uniform(9, 15, count)
    main = _inside(lots, 0, (lots[:, 3] - depth) / 2, lots[:, 2], depth)
    eave: Any = draw_within(rng, style.numbers["storeys"], count).round() * 3.1
    types = draw_types(style, style.numbers["hotel_roofs"], count, rng)
    first = len(plan.buildings)
    plan = add_buildings(plan, style, main, types, eave, rng)
    colour = plan.roofs["colour"][len(plan.roofs) - count :]
    for side in (-1, 1):
        own = np.flatnonzero(rng.random(count) < 0.5)
        wing_m = depth[own] * rng.uniform(0.7, 1, len(own))
        length = lots[own, 3] - depth[own] * rng.uniform(0.6, 1, len(own))
        wings = _inside(lots[own], side * (lots[own, 2] - wing_m) / 2, (length - lots[own, 3]) / 2, wing_m, length)
        rows = roof_rows(style, wings, types[own], eave[own], first + own, rng)
        rows["colour"] = colour[own]
        plan = plan.with_rows(roofs=rows)
    plan.buildings["radius_m"][first:] = np.hypot(lots[:, 2], lots[:, 3])
    room = lots[:, 3] - depth
    deck = _inside(lots, 0, -depth / 2, lots[:, 2] * 0.55, room * 0.8)
    pool = _inside(
        lots,
        rng.uniform(-3, 3, count),
        -depth / 2,
        lots[:, 2] * rng.uniform(0.15, 0.4, count),
        room * rng.uniform(0.25, 0.55, count),
    )
    areas = [
        table_rows("areas", deck, material=CODE["concrete"], rough=0.1),
        table_rows("areas", pool, shape=rng.integers(0, 2, count), material=CODE["pool"], rough=0.1),
    ]
    return plan.with_rows(areas=join_rows(areas)), np.concatenate([taken, lots])


def _inside(base: Rectangles, u: Any, v: Any, length: Any, width: Any) -> Rectangles:
    """Rectangles in the frames of others, the longer side named length."""
    u, v, length, width, _ = np.broadcast_arrays(u, v, length, width, base[:, 0])
    cosine, sine = np.cos(base[:, 4]), np.sin(base[:, 4])
    x = base[:, 0] + u * cosine - v * sine
    y = base[:, 1] + u * sine + v * cosine
    turned = np.where(width > length, np.pi / 2, 0)
    return np.stack([x, y, np.maximum(length, width), np.minimum(length, width), base[:, 4] + turned], axis=1)


def _add_small(
    plan: Plan, style: WorldStyle, shore: Shore, beach: float, taken: Rectangles, rng: np.random.Generator
) -> Plan:
    """Bungalows near the beach, houses farther inland, huts of straw on the sand."""
    groups = []
    for number, roofs, sizes, eave, deep in (
        ("bungalows_per_ha", "bungalow_roofs", ((5, 10), (4, 8)), (2.4, 3.4), 90),
        ("houses_per_ha", "house_roofs", ((8, 17), (6, 11)), (2.8, 6.4), 2 * shore.half_m),
    ):
        along, inland = _spread(style, number, shore, beach, deep, rng)
        total = len(along)
        length, width = (draw_within(rng, span, total) for span in sizes)
        angle = rng.choice([0, np.pi / 2], total) + rng.normal(0, 0.07, total)
        outlines = shore.outlines(along, inland, np.maximum(length, width), np.minimum(length, width), angle)
        types = draw_types(style, style.numbers[roofs], total, rng)
        groups.append((outlines, types, draw_within(rng, eave, total)))
    outlines, types, eaves = (np.concatenate(column) for column in zip(*groups, strict=True))
    near = ((outlines[:, :2] > -25) & (outlines[:, :2] < np.array(plan.extent_m) + 25)).all(axis=1)
    outlines, types, eaves = outlines[near], types[near], eaves[near]
    apart = keep_apart(outlines, taken, 0.9)
    plan = add_buildings(plan, style, outlines[apart], types[apart], eaves[apart], rng)
    count = int(draw_counts(rng, style.numbers["umbrellas"], 1)[0])
    u = rng.uniform(-shore.half_m, shore.half_m) + np.arange(count) % 20 * rng.uniform(3, 6)
    v = beach * rng.uniform(0.4, 0.75) + np.arange(count) // 20 * rng.uniform(3.2, 6)
    huts = shore.outlines(u, v, rng.uniform(1.8, 3.2), rng.uniform(1.8, 3.2), 0)
    shades = roof_rows(
        style, huts, draw_types(style, style.numbers["hut_roofs"], count, rng), np.full(count, 2.0), NO_BUILDING, rng
    )
    shades["width"] = shades["length"]
    return plan.with_rows(roofs=shades)


def _beach_life(style: WorldStyle, shore: Shore, beach: float, rng: np.random.Generator) -> NDArray[Any]:
    """Boats on the water and the sand, piers, cars behind the beach."""
    half = shore.half_m
    boats, cars, piers = (
        int(draw_counts(rng, style.numbers["boats"], 1)[0]),
        int(rng.integers(5, 60)),
        int(rng.integers(0, 3)),
    )
    length = np.exp(draw_within(rng, (np.log(2.5), np.log(15)), boats))
    spread = rng.choice([0.15, 1.0]) * half
    afloat = shore.outlines(
        rng.normal(0, spread, boats),
        rng.uniform(-90, 4, boats),
        length,
        length * rng.uniform(0.2, 0.33, boats),
        rng.uniform(0, 6.3, boats),
    )
    parked = shore.outlines(
        rng.uniform(-half, half, cars), beach + rng.uniform(2, 90, cars), 4.4, 1.8, rng.choice([0, np.pi / 2], cars)
    )
    long = rng.uniform(15, 70, piers)
    jetty = shore.outlines(
        rng.uniform(-half, half, piers) * 0.6, -long / 2 + 4, long, rng.uniform(1.6, 4, piers), np.pi / 2
    )
    hulls = np.array([[226, 226, 224], [200, 204, 206], [150, 60, 50], [60, 90, 130]])[rng.integers(4, size=boats)]
    paints = np.array([[210, 210, 208], [60, 62, 66], [140, 142, 146], [130, 50, 46]])[rng.integers(4, size=cars)]
    hulls, paints = vary(hulls, boats, rng, 0.13), vary(paints, cars, rng, 0.13)
    planks = vary((150, 134, 114), piers, rng, 0.13)
    return join_rows(
        [
            table_rows("boxes", jetty, height_m=1.0, material=CODE["wood"], colour=planks),
            table_rows("boxes", afloat, height_m=0.3 + length / 9, material=CODE["boat"], colour=hulls),
            table_rows("boxes", parked, height_m=1.5, material=CODE["car"], colour=paints),
        ]
    )
