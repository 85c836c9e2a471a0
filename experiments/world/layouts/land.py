"""Open land: countryside without any building, and the fields, orchards, hedgerows and waters that scattered settlement has, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic import materials
from deepnets4eo.synthetic.materials import CODE
from world.layouts.clearance import Rectangles, distance_m, keep_apart, outline_rows, top_area
from world.layouts.tables import draw_counts, draw_curve, start_plan, table_rows, vary, way_rows
from world.plan import (
    CONE,
    CROP_ROWS,
    DECIDUOUS,
    DOME,
    ELLIPSE,
    EVERGREEN,
    NO_BUILDING,
    NO_ROWS,
    PAVING_JOINTS,
    SHRUB,
    VAULT,
    Plan,
    join_rows,
)
from world.style import WorldStyle
from world.vegetation import mix_kinds, tree_rows, wood_rows

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


Extent = tuple[float, float]


def draw_parcels(extent_m: Extent, size_m: tuple[float, float], rng: np.random.Generator) -> Rectangles:
    """Divide a place and its surroundings into parcels (N, 5) of one direction without gaps, with sides of `size_m`
    (from, to)."""
    extent = np.array(extent_m)
    half = 0.5 * float(np.hypot(*extent)) + 10
    corners = np.array([[-half, half, -half, half]])
    limit = size_m[1] * np.array([1, rng.choice([1, 1, 0.6, 0.35])])
    for _ in range(12):
        sides = np.stack([corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 2]], axis=1)
        axis = np.argmax(sides / limit, axis=1)
        row = np.arange(len(corners))
        large = (sides[row, axis] > limit[axis]) & (sides[row, axis] > 2 * size_m[0])
        if not large.any():
            break
        low, high = corners[row, 2 * axis], corners[row, 2 * axis + 1]
        cut = low + (high - low) * rng.uniform(0.3, 0.7, len(row))
        one, other = corners.copy(), corners.copy()
        one[row, 2 * axis + 1], other[row, 2 * axis] = cut, cut
        corners = np.concatenate([np.where(large[:, None], one, corners), other[large]])
    turn = rng.uniform(0, np.pi)
    u, v = (corners[:, 0] + corners[:, 1]) / 2, (corners[:, 2] + corners[:, 3]) / 2
    x = extent[0] / 2 + u * np.cos(turn) - v * np.sin(turn)
    y = extent[1] / 2 + u * np.sin(turn) + v * np.cos(turn)
    length, width = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 2]
    parcels = np.column_stack([x, y, length, width, np.full(len(x), turn)])
    return parcels[(np.abs(parcels[:, :2] - extent / 2) < extent / 2 + (length + width)[:, None] / 2).all(axis=1)]


def field_rows(parcels: Rectangles, crops: dict[str, float], rng: np.random.Generator) -> NDArray[Any]:
    """Return fields on parcels (N, 5) as areas: crops by their shares, stubble, meadow, ploughed soil, most in rows,
    with a grassy border between."""
    shares = np.array(list(crops.values()))
    codes = np.array([materials.CODE[name] for name in crops])
    outlines = parcels.copy()
    outlines[:, 2:4] = np.maximum(outlines[:, 2:4] - rng.uniform(0, 3), 2)
    across = rng.random(len(outlines)) < 0.3  # rows run along the rectangle's long axis
    outlines[across, 2], outlines[across, 3] = outlines[across, 3], outlines[across, 2].copy()
    outlines[across, 4] += np.pi / 2
    count = len(outlines)
    return table_rows(
        "areas", outlines, material=codes[rng.choice(len(codes), count, p=shares / shares.sum())],
        pattern=np.where(rng.random(count) < 0.75, CROP_ROWS, NO_ROWS),
        period_m=np.exp(rng.uniform(np.log(0.6), np.log(9), count)), strength=rng.uniform(0.02, 0.5, count) ** 1.3,
        rough=rng.uniform(0, 0.3, count), tone=rng.normal(1, 0.14, count).clip(0.6, 1.4),
    )  # fmt: skip


def hedgerow_rows(
    parcels: Rectangles, share: float, areas: NDArray[Any], walls: Rectangles, rng: np.random.Generator
) -> NDArray[Any]:
    """Return rows of shrubs and trees along a share of the borders of parcels; none stands on ways, in water or near
    buildings (M, 5)."""
    own = parcels[rng.random(len(parcels)) < share]
    spacing = rng.uniform(1.2, 4)
    numbers = (own[:, 2] / spacing).astype(int)
    line = np.repeat(own, numbers, axis=0)
    rank = np.arange(len(line)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    along = rank * spacing - line[:, 2] / 2 + rng.normal(0, 0.4, len(line))
    across = -line[:, 3] / 2 + rng.normal(0, 0.4, len(line))
    x = line[:, 0] + along * np.cos(line[:, 4]) - across * np.sin(line[:, 4])
    y = line[:, 1] + along * np.sin(line[:, 4]) + across * np.cos(line[:, 4])
    tall = rng.random(len(x)) < rng.uniform(0, 0.6)
    rows = tree_rows(
        x, y, np.where(tall, rng.uniform(1.5, 4.5, len(x)), rng.uniform(0.7, 1.6, len(x))), SHRUB, (0.9, 1.6), rng
    )
    rows["kind"][tall] = DECIDUOUS
    rows["height_m"][tall] *= 1.7
    return rows[is_open(rows, areas) & (distance_m(x, y, walls) > rows["radius"])]


def is_open(rows: NDArray[Any], areas: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N,) bool, whether trees stand on no way and in no water."""
    wet = np.isin(areas["material"], [materials.CODE[name] for name in ("water", "asphalt", "old_asphalt", "concrete")])
    track = (areas["pattern"] == NO_ROWS) & (np.minimum(areas["length"], areas["width"]) < 7)
    return ~np.append(wet | track, False)[top_area(rows["x"], rows["y"], areas)]


def orchard_rows(outline: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    """Return equal trees in rows on a rectangle (5,): fruit, olives, vines or young plantings."""
    x, y, length, width, angle = outline
    step_u, step_v = rng.uniform(2.2, 9), rng.uniform(3, 10)
    radius = rng.uniform(0.25, 0.55) * min(step_u, step_v)
    u, v = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(-length / 2 + 2, length / 2 - 1, step_u), np.arange(-width / 2 + 2, width / 2 - 1, step_v)
        )
    )
    kept = rng.random(len(u)) > rng.uniform(0, 0.2)
    u, v = u[kept] + rng.normal(0, 0.15, kept.sum()), v[kept] + rng.normal(0, 0.15, kept.sum())
    kind = int(rng.choice([DECIDUOUS, DECIDUOUS, EVERGREEN, SHRUB]))
    size = radius * rng.normal(1, 0.12, len(u)).clip(0.6, 1.4)
    return tree_rows(
        x + u * np.cos(angle) - v * np.sin(angle),
        y + u * np.sin(angle) + v * np.cos(angle),
        size,
        kind,
        (1.1, 1.7),
        rng,
    )


def water_rows(
    extent_m: Extent, rng: np.random.Generator, river: float, lake: float, ponds: tuple[int, int]
) -> NDArray[Any]:
    """Return water bodies with their banks as areas; `river` and `lake` are chances, `ponds` the number of ponds (from,
    to)."""
    groups = [table_rows("areas", np.zeros((0, 5)))]
    bank = str(rng.choice(["mud", "soil", "grass", "shrub"]))
    if rng.random() < river:
        course, width = draw_curve(extent_m, rng, rng.uniform(5, 70)), float(np.exp(rng.uniform(np.log(3), np.log(60))))
        groups += [
            way_rows(course, width + rng.uniform(2, 10), bank, rough=0.6),
            way_rows(course, width, "water", rough=rng.uniform(0, 0.5)),
        ]
    if rng.random() < lake:
        middle = rng.uniform(-0.1, 1.1, 2) * extent_m
        groups.append(_pools(middle + rng.normal(0, 30, (4, 2)), rng.uniform(50, 160, 4), bank, rng))
    count = int(draw_counts(rng, ponds, 1)[0])
    groups.append(_pools(rng.random((count, 2)) * extent_m, rng.uniform(6, 34, count), bank, rng))
    return join_rows(groups)


def _pools(
    middles: NDArray[np.float64], sizes: NDArray[np.float64], bank: str, rng: np.random.Generator
) -> NDArray[Any]:
    """Ragged ellipses of water, each over its bank; all banks lie below all water."""
    count = len(sizes)
    outlines = np.column_stack([middles, sizes, sizes * rng.uniform(0.4, 1, count), rng.uniform(0, np.pi, count)])
    wide = outlines + np.array([0, 0, 1, 1, 0]) * rng.uniform(2, 7)
    rough = rng.uniform(0.05, 0.5)
    return join_rows(
        [
            table_rows("areas", wide, shape=ELLIPSE, material=materials.CODE[bank], rough=rough + 0.2),
            table_rows("areas", outlines, shape=ELLIPSE, material=materials.CODE["water"], rough=rough),
        ]
    )
