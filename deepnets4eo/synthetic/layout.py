"""Lays out the city: block after block with lots, buildings, paving, fences, parked cars; then the trees.

Takes a style, the extent in metres and a generator; returns a plan.
"""

from __future__ import annotations

import numpy as np
from shapely import STRtree

from deepnets4eo.synthetic.blocks import Block, fill_block
from deepnets4eo.synthetic.greenery import plant
from deepnets4eo.synthetic.plan import Plan
from deepnets4eo.synthetic.streets import draw_streets
from deepnets4eo.synthetic.style import Style


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
