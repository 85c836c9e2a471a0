"""Countryside without any building: fields, forest, orchards, scrub, bare rock, sand, water, paved and fenced land.

All that a network may take for a roof stands here: walls, boulders, bales, containers, panels, greenhouses, tanks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.layouts.clearance import Rectangles, distance_m, keep_apart, outline_rows, top_area
from deepnets4eo.synthetic.world.layouts.land import (
    draw_parcels,
    field_rows,
    hedgerow_rows,
    is_open,
    orchard_rows,
    water_rows,
)
from deepnets4eo.synthetic.world.layouts.palette import vary
from deepnets4eo.synthetic.world.layouts.tables import draw_curve, start_plan, table_rows, way_rows
from deepnets4eo.synthetic.world.plan import CONE, DOME, NO_BUILDING, PAVING_JOINTS, SHRUB, VAULT, Plan, join_rows
from deepnets4eo.synthetic.world.style import WorldStyle
from deepnets4eo.synthetic.world.vegetation import mix_kinds, tree_rows, wood_rows

# two display colours of bare ground: lava, grey and pale rock, red rock, sand, chalk
BARE = (
    ((34, 32, 32, 38), (72, 66, 62, 74)),
    ((96, 92, 86, 98), (146, 140, 130, 148)),
    ((158, 152, 138, 158), (214, 208, 194, 214)),
    ((128, 88, 66, 126), (178, 132, 102, 170)),
    ((186, 166, 130, 178), (226, 208, 172, 214)),
)


def countryside(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out countryside without buildings over (width, height) metres: fields, forest, orchards, scrub, bare ground,
    meadow or pavement by the shares `scenes`, with tracks, hedges, walls and water by the other numbers of the
    style."""
    numbers = style.numbers
    plan = start_plan(style, extent_m, rng)
    parcels = draw_parcels(extent_m, numbers["field_m"], rng)
    shares = np.array(list(numbers["scenes"].values()))
    scene = str(rng.choice(list(numbers["scenes"]), p=shares / shares.sum()))
    plan = SCENES[scene](plan, style, parcels, rng)
    water = water_rows(extent_m, rng, numbers["river"], numbers["lake"], numbers["ponds"])
    water = water[: 0 if scene == "paved" else None]
    plan = plan.with_rows(areas=join_rows([water, *_tracks(style, extent_m, rng)]))
    solid = outline_rows(plan.roofs)
    trees = plan.trees[is_open(plan.trees, plan.areas) & (distance_m(plan.trees["x"], plan.trees["y"], solid) > 0.7)]
    hedges = hedgerow_rows(parcels, style.draw(rng, "hedges"), plan.areas, solid, rng)
    plan = replace(plan, trees=join_rows([trees, hedges]))
    return plan.with_rows(boxes=join_rows([_walls(style, parcels, rng), _bales(plan, rng)]))


def _fields(plan: Plan, style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> Plan:
    tilled = parcels[rng.random(len(parcels)) < rng.uniform(0.5, 1.2)]
    return plan.with_rows(areas=field_rows(tilled, style.numbers["crops"], rng))


def _forest(plan: Plan, style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> Plan:
    """Woods on dark litter, with clearings."""
    litter = str(rng.choice(["grass", "soil", "dry_grass", "shrub", "mud"]))
    plan = replace(plan, ground=CODE[litter])
    trees = wood_rows(plan, outline_rows(plan.roofs), rng.uniform(0.45, 1.0), rng)
    return plan.with_rows(trees=mix_kinds(trees, rng.uniform(*style.evergreen), 0.0, rng))


def _orchards(plan: Plan, style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> Plan:
    own = parcels[rng.random(len(parcels)) < rng.uniform(0.3, 1.0)]
    plan = plan.with_rows(areas=field_rows(own, {"grass": 2, "dry_grass": 2, "soil": 2}, rng))
    return plan.with_rows(trees=join_rows([plan.trees, *[orchard_rows(row, rng) for row in own]]))


def _scrub(plan: Plan, style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> Plan:
    """Many shrubs of all sizes on bare or grassy ground."""
    plan = replace(
        plan, ground=CODE[str(rng.choice(["soil", "dry_grass", "grass"]))], patch_share=rng.uniform(0.1, 0.5)
    )
    count = int(rng.uniform(60, 500) * plan.extent_m[0] * plan.extent_m[1] / 1e4)
    x, y = (rng.random((count, 2)) * plan.extent_m).T
    radius = np.exp(rng.normal(np.log(rng.uniform(0.6, 1.4)), 0.4, count)).clip(0.3, 3.5)
    return plan.with_rows(trees=tree_rows(x, y, radius, SHRUB, (0.8, 1.5), rng))


def _bare(plan: Plan, style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> Plan:
    """Lava, rock or sand with boulders."""
    pair = np.array(BARE[rng.integers(len(BARE))], np.float32) * np.float32(rng.normal(1, 0.1))
    patches = str(rng.choice(["dry_grass", "shrub", "soil", "rubble", "mud"]))
    poles = plan.poles | {"gravel": np.clip(pair, 8, 246)}
    plan = replace(plan, ground=CODE["gravel"], patches=CODE[patches], patch_share=rng.uniform(0, 0.5), poles=poles)
    count = int(rng.uniform(0, 150) * plan.extent_m[0] * plan.extent_m[1] / 1e4)
    size = np.exp(rng.normal(np.log(1.2), 0.6, count)).clip(0.4, 8)
    outlines = np.column_stack(
        [rng.random((count, 2)) * plan.extent_m, size, size * rng.uniform(0.5, 1, count), rng.uniform(0, 3.2, count)]
    )
    colour = vary(pair.mean(axis=0)[:3], count, rng, 0.13)
    return plan.with_rows(
        boxes=table_rows(
            "boxes", outlines, height_m=size * rng.uniform(0.15, 0.6, count), material=CODE["gravel"], colour=colour
        )
    )


def _meadow(plan: Plan, style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> Plan:
    return replace(plan, patch_share=rng.uniform(0, 0.6))


def _paved(plan: Plan, style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> Plan:
    """Yards, sports fields and parking lots with all that stands on them."""
    sides = rng.uniform((30, 16), (130, 70), (14, 2))
    lots = np.column_stack(
        [rng.random((14, 2)) * plan.extent_m, sides, np.full(14, parcels[0, 4]) + rng.choice([0, np.pi / 2], 14)]
    )
    lots = lots[keep_apart(lots, np.zeros((0, 5)), 4.0)][: int(rng.integers(1, 8))]
    surfaces = ["asphalt", "old_asphalt", "concrete", "gravel", "soil", "grass"]
    material = [CODE[str(name)] for name in rng.choice(surfaces, len(lots))]
    plan = plan.with_rows(
        areas=table_rows(
            "areas", lots, material=material, pattern=PAVING_JOINTS, period_m=rng.uniform(2, 8), strength=rng.uniform(0, 0.3),
            tone=rng.uniform(0.8, 1.2, len(lots)), rough=0.1,
        )
    )  # fmt: skip
    for lot in lots:
        plan = _add_contents(
            plan,
            lot,
            str(rng.choice(["cars", "containers", "panels", "greenhouses", "tanks", "court", "nothing"])),
            rng,
        )
    return plan


def _add_contents(plan: Plan, lot: NDArray[np.float64], contents: str, rng: np.random.Generator) -> Plan:
    """Fill a lot with rows of equal things, some missing."""
    if contents == "nothing":
        return plan
    if contents == "court":
        inner = lot * np.array([1, 1, 0.75, 0.75, 1])
        court = table_rows(
            "areas",
            inner[None],
            material=CODE[str(rng.choice(["grass", "pool", "soil", "concrete"]))],
            tone=rng.uniform(0.7, 1.1),
        )
        return plan.with_rows(areas=court)
    length, width, gap_u, gap_v, height = {
        "cars": (4.4, 1.8, 0.9, 4.5, 1.5), "containers": (12.2, 2.5, 1.5, 0.6, 2.6), "panels": (rng.uniform(8, 40), 3.5, 1, 4, 2.0),
        "greenhouses": (rng.uniform(20, 70), rng.uniform(6, 10), 4, rng.uniform(0.2, 3), 2.2), "tanks": (9, 9, 4, 4, rng.uniform(0.5, 8)),
    }[contents]  # fmt: skip
    if contents == "cars":
        length, width, gap_u, gap_v = width, length, gap_u, gap_v  # cars stand side by side along the lot
    u = np.arange(-lot[2] / 2 + length / 2 + 1, lot[2] / 2 - length / 2, length + gap_u)
    v = np.arange(-lot[3] / 2 + width / 2 + 1, lot[3] / 2 - width / 2, width + gap_v)
    u, v = (axis.ravel() for axis in np.meshgrid(u, v))
    stays = rng.random(len(u)) < rng.uniform(0.4, 1)
    u, v = u[stays], v[stays]
    x, y = lot[0] + u * np.cos(lot[4]) - v * np.sin(lot[4]), lot[1] + u * np.sin(lot[4]) + v * np.cos(lot[4])
    outlines = np.column_stack([x, y, np.tile([length, width, lot[4]], (len(x), 1))])
    if contents in ("greenhouses", "tanks"):
        kind = VAULT if contents == "greenhouses" else int(rng.choice([CONE, DOME]))
        base = [214.0, 218, 216] if contents == "greenhouses" else [200.0, 200, 196]
        return plan.with_rows(
            roofs=table_rows(
                "roofs", outlines, eave_m=height, rise=rng.uniform(0.1, 0.5), kind=kind, relief=rng.uniform(0.2, 1.5),
                colour=vary(base, len(x), rng, 0.13), building=NO_BUILDING,
            )
        )  # fmt: skip
    shades = np.array({"panels": [[44, 50, 74]], "cars": [[206, 206, 204], [58, 60, 64], [140, 142, 146], [130, 48, 44], [54, 76, 120]],
                       "containers": [[150, 74, 58], [60, 92, 130], [176, 176, 172], [80, 110, 80], [176, 130, 70]]}[contents], float)  # fmt: skip
    colour = vary(shades[rng.integers(len(shades), size=len(x))], len(x), rng, 0.13)
    material = CODE["car"] if contents == "cars" else CODE["rubble"]
    return plan.with_rows(boxes=table_rows("boxes", outlines, height_m=height, material=material, colour=colour))


SCENES: dict[str, Callable[[Plan, WorldStyle, Rectangles, np.random.Generator], Plan]] = {
    "fields": _fields, "forest": _forest, "orchards": _orchards, "scrub": _scrub, "bare": _bare, "meadow": _meadow,
    "paved": _paved,
}  # fmt: skip


def _tracks(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> list[NDArray[Any]]:
    """Bright tracks and roads."""
    low, high = style.numbers["tracks"]
    return [
        way_rows(
            draw_curve(extent_m, rng, rng.uniform(0, 60)), float(np.exp(rng.uniform(np.log(1.2), np.log(9)))),
            str(rng.choice(style.numbers["track_materials"])), rough=rng.uniform(0, 0.8), tone=rng.uniform(0.9, 1.25),
        )
        for _ in range(int(rng.integers(low, high + 1)))
    ]  # fmt: skip


def _walls(style: WorldStyle, parcels: Rectangles, rng: np.random.Generator) -> NDArray[Any]:
    """Dry-stone walls along borders of parcels."""
    own = parcels[rng.random(len(parcels)) < style.draw(rng, "walls")]
    side = rng.choice([-0.5, 0.5], len(own)) * own[:, 3]
    outlines = own.copy()
    outlines[:, 0] -= side * np.sin(own[:, 4])
    outlines[:, 1] += side * np.cos(own[:, 4])
    outlines[:, 2] *= rng.uniform(0.5, 1, len(own))
    outlines[:, 3] = rng.uniform(0.4, 1.2)
    base = rng.choice(np.array([[150, 144, 132], [100, 96, 90], [60, 56, 54], [186, 178, 160]], float))
    return table_rows(
        "boxes",
        outlines,
        height_m=rng.uniform(0.5, 1.8),
        material=CODE["gravel"],
        colour=vary(base, len(own), rng, 0.13),
    )


def _bales(plan: Plan, rng: np.random.Generator) -> NDArray[Any]:
    """Bales of straw, white or pale, single cars on the land."""
    count = int(rng.choice([0, 0, 8, 30]))
    x, y = (rng.random((count, 2)) * plan.extent_m).T
    dry = ~np.append(plan.areas["material"] == CODE["water"], False)[top_area(x, y, plan.areas)]
    x, y, count = x[dry], y[dry], int(dry.sum())
    length = rng.uniform(1.2, 2.6)
    outlines = np.column_stack(
        [x, y, np.full(count, length), np.full(count, rng.uniform(1.0, 1.6)), rng.uniform(0, 3.2, count)]
    )
    base = rng.choice(np.array([[196, 178, 132], [222, 222, 220], [120, 112, 90]], float))
    return table_rows(
        "boxes",
        outlines,
        height_m=rng.uniform(0.8, 1.6),
        material=CODE["soil"],
        colour=vary(base, count, rng, 0.13),
    )
