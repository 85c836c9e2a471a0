"""Lays out the city: block after block with lots, buildings, paving, fences, parked cars; then the trees.

Takes a style, the extent in metres and a generator; returns a plan.
"""

from __future__ import annotations

import numpy as np
from shapely import STRtree

from deepnets4eo.synthetic.blocks import Block, fill_block
from deepnets4eo.synthetic.plan import Plan, draw_streets
from deepnets4eo.synthetic.style import Style

DENSITY = {"residential": 1.0, "apartments": 0.7, "commerce": 0.2, "park": 1.3, "field": 0.15, "wood": 9.0, "site": 0.1}


def draw_plan(rng: np.random.Generator, style: Style, extent_m: tuple[float, float]) -> Plan:
    """Plan a city of `extent_m` (width, height) metres."""
    streets = draw_streets(rng, style.region, extent_m)
    plan = Plan(streets, extent_m)
    for column in range(len(streets.u) - 1):
        for row in range(len(streets.v) - 1):
            block = Block.of(streets, column, row)
            x, y = streets.to_xy(block.u_mid, block.v_mid)
            if plan.inside(x, y, block.reach_m):
                fill_block(plan, block, style, rng)
    _drop_collisions(plan)
    _park_along_streets(plan, rng)
    _trace_roads(plan)
    plant(plan, style, rng)
    return plan


def _trace_roads(plan: Plan) -> None:
    """Centre lines of all open streets, as polylines in local metres."""
    streets = plan.streets
    for line, position in enumerate(streets.u):
        points = [streets.to_xy(position, v) for v in np.arange(streets.v[0], streets.v[-1], 12.0)]
        plan.roads.append((points, float(streets.u_width[line]), bool(streets.u_paving[line])))
    for line, position in enumerate(streets.v):
        for column in np.flatnonzero(streets.open_v[:, line]):
            span = np.linspace(streets.u[column], streets.u[column + 1], 7)
            points = [streets.to_xy(u, position) for u in span]
            plan.roads.append((points, float(streets.v_width[line]), bool(streets.v_paving[line])))


def _park_along_streets(plan: Plan, rng: np.random.Generator) -> None:
    """Cars at the kerb and moving on the lanes: slots on both sides of the u lines."""
    streets = plan.streets
    for line, position in enumerate(streets.u):
        span = streets.v[-1] - streets.v[0]
        width = streets.u_width[line]
        for v in rng.uniform(streets.v[0], streets.v[-1], int(span / (22 if width < 14 else 16))):
            side = rng.choice((-1.0, 1.0)) * (width / 2 - 1.2 if width < 14 else width / 2 * rng.choice((0.3, 0.7)))
            x, y = streets.to_xy(position + side, v)
            if plan.inside(x, y, 10):
                plan.slots.append((x, y, rng.uniform(3.9, 5.2), rng.uniform(1.7, 2.0), streets.heading(position, v)))


def _drop_collisions(plan: Plan) -> None:
    """Keep a building only where it is clear of the diagonal road and of all buildings kept before it."""
    normal_u, normal_v, offset = plan.streets.diagonal
    outlines = [building.outline for building in plan.buildings]
    pairs = STRtree(outlines).query(outlines, predicate="intersects").T.tolist() if outlines else []
    earlier: dict[int, list[int]] = {}
    for one, other in pairs:
        if other < one:
            earlier.setdefault(one, []).append(other)
    kept: list[bool] = []
    for index, building in enumerate(plan.buildings):
        u, v = plan.streets.to_uv(np.float64(building.x), np.float64(building.y))
        clear = not np.isfinite(offset) or abs(normal_u * u + normal_v * v - offset) > building.radius_m + 5
        kept.append(bool(clear) and not any(kept[other] for other in earlier.get(index, ())))
    plan.buildings = [building for building, keep in zip(plan.buildings, kept, strict=True) if keep]


def plant(plan: Plan, style: Style, rng: np.random.Generator) -> None:
    """Add trees and shrubs to the plan."""
    streets = plan.streets
    for column in range(len(streets.u) - 1):
        for row in range(len(streets.v) - 1):
            block = Block.of(streets, column, row)
            x, y = streets.to_xy(block.u_mid, block.v_mid)
            if plan.inside(x, y, block.reach_m):
                _plant_block(plan, block, style, rng)
    _shade_houses(plan, style, rng)
    _clear_stems(plan)


def _plant_block(plan: Plan, block: Block, style: Style, rng: np.random.Generator) -> None:
    """Single trees and clumps of one block, wherever they fall; stems in buildings are dropped later."""
    across, along = block.u1 - block.u0, block.v1 - block.v0
    if across < 5 or along < 5:
        return
    density = style.trees_per_ha * DENSITY.get(block.kind, 0.8) * rng.uniform(0.5, 1.6)
    count = min(int(rng.poisson(across * along / 1e4 * density)), int(across * along / 14))
    if not count:
        return
    clumps = rng.uniform(size=(max(count // 6, 1), 2)) * (across, along)
    member = rng.integers(len(clumps), size=count)
    spread = rng.normal(0, 5.0, (count, 2))
    single = rng.random(count) < 0.55
    spot = np.where(single[:, None], rng.uniform(size=(count, 2)) * (across, along), clumps[member] + spread)
    for across_m, along_m in spot:
        u, v = block.u0 + np.clip(across_m, 1, across - 1), block.v0 + np.clip(along_m, 0.5, along - 0.5)
        x, y = plan.streets.to_xy(float(u), float(v))
        if not plan.inside(x, y, 10):
            continue
        kind = 2 if rng.random() < 0.25 else int(rng.random() < style.evergreen)
        radius = float(rng.uniform(0.6, 1.5) if kind == 2 else np.clip(rng.gamma(6.0, 0.55), 1.4, 7.5))
        height = radius * rng.uniform(1.0, 1.4) if kind == 2 else radius * rng.uniform(1.7, 2.9) + 1.5
        plan.trees.append((x, y, radius, float(height), kind))


def _shade_houses(plan: Plan, style: Style, rng: np.random.Generator) -> None:
    """Trees close by houses, whose crowns reach over the roof."""
    for building in plan.buildings:
        if building.use != "house" or rng.random() > style.trees_per_ha / 90:
            continue
        turn, away = rng.uniform(0, 2 * np.pi), building.radius_m * rng.uniform(0.75, 1.1)
        x, y = building.x + away * np.cos(turn), building.y + away * np.sin(turn)
        radius = float(rng.uniform(2.5, 6.0))
        kind = int(rng.random() < style.evergreen)
        plan.trees.append((float(x), float(y), radius, radius * float(rng.uniform(1.8, 2.6)) + 2.0, kind))


def _clear_stems(plan: Plan) -> None:
    """Drop trees whose stem stands inside a building; crowns may still reach over roofs."""
    from shapely import STRtree, points

    if not plan.buildings or not plan.trees:
        return
    tree_index = STRtree([building.outline.buffer(0.8) for building in plan.buildings])
    stems = points(np.array([(x, y) for x, y, *_ in plan.trees]))
    blocked = set(tree_index.query(stems, predicate="within")[0].tolist())
    plan.trees = [tree for index, tree in enumerate(plan.trees) if index not in blocked]
