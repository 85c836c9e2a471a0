"""Old towns: houses wall to wall around the courtyards of small blocks, along narrow lanes in deep shadow.

At half of the sites every house between two party walls is a building of its own; at the others a few houses under one
front are one, as in maps that draw what looks alike as one outline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from world.layouts.clearance import Rects, rect_rows, within
from world.layouts.draft import Draft, Town, cut_lots, draw_town, pave_streets
from world.layouts.furnishings import add_roof_things, add_sheds, add_street_cars, split_amenities
from world.layouts.tables import Looks, vary
from world.plan import CONE, DOME, FLAT, GABLE, HIP, MONO, PAVING_JOINTS, PLAIN, Plan
from world.style import WorldStyle

_THINGS = {"vent": 2.0, "dish": 1.0, "tank": 1.0, "laundry": 1.0, "clutter": 1.0, "conditioner": 1.0, "canopy": 0.5}


def lay_out_courtyards(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out an old town with the numbers of `styles/old-town.yaml` over (width, height) metres, the frame at any
    angle."""
    draft = Draft(style, extent_m, rng)
    town = draw_town(draft)
    wide = town.streets[:, 3] > 8.5
    material = str(rng.choice(["asphalt", "old_asphalt"]))
    # lanes are the ground that the blocks leave
    pieces = pave_streets(draft, Town(town.blocks, town.streets[wide], town.bend), material, verge="concrete")
    add_street_cars(draft, pieces, draft.number("street_cars"))
    straight = split_amenities(draft, town)
    blocks = town.bend.move(straight)
    blocks[:, 4] += rng.normal(0, draft.number("skew"), len(blocks))
    special = rng.random(len(blocks)) < draft.number("landmarks")
    for block in blocks[special]:
        add_landmark(draft, block[None])
    blocks = blocks[~special]
    _courts(draft, blocks)
    units, yard, row = _perimeter(draft, blocks)
    if len(units):
        _build(draft, units, yard, row)
    return draft.to_plan()


def _courts(draft: Draft, blocks: Rects) -> None:
    """Floors of the blocks, yards among them: paved, soil or green."""
    rng = draft.rng
    floor = str(rng.choice(["concrete", "gravel", "soil", "old_asphalt"]))
    inner = rect_rows(blocks[:, 0], blocks[:, 1], blocks[:, 2] - 2, blocks[:, 3] - 2, blocks[:, 4])
    if floor == "old_asphalt":  # asphalt stays free of buildings, so it is only in the yards
        inner[:, 2:4] *= 0.2
        draft.take(inner)
    draft.add_area(
        inner, floor, pattern=PAVING_JOINTS, period_m=3.0, strength=0.1, tone=rng.uniform(0.75, 1.1, len(inner))
    )
    green = rng.random(len(blocks)) < draft.number("green_courts")
    yards = inner[green].copy()
    yards[:, 2:4] *= rng.uniform(0.35, 0.6, (len(yards), 1))
    draft.add_area(yards, str(rng.choice(["grass", "dry_grass", "soil"])), rough=0.4, tone=rng.uniform(0.7, 1.1))


def _perimeter(draft: Draft, blocks: Rects) -> tuple[Rects, NDArray[np.float64], NDArray[np.intp]]:
    """Houses around each block, v to the street; the room behind each, metres; and the row each belongs to."""
    rng = draft.rng
    n = len(blocks)
    depth = np.clip(draft.number("depth_m") + rng.normal(0, 0.8, n), 5.0, blocks[:, 3] / 2 - 0.6)
    length, width = blocks[:, 2] - 1.2, blocks[:, 3] - 1.2
    yard = np.maximum(width - 2 * depth, 0.0)
    sides = [within(blocks, 0.0, side * (width - depth) / 2, length, depth, (side < 0) * np.pi) for side in (1, -1)]
    # the short sides stand between the long ones
    ends = [within(blocks, side * (length - depth) / 2, 0.0, yard, depth, -side * np.pi / 2) for side in (1, -1)]
    edges = np.concatenate(sides + ends)
    behind = np.concatenate([yard / 2, yard / 2, *[np.maximum(length - 2 * depth, 0) / 2] * 2])
    edge, u, frontage = cut_lots(draft, edges[:, 2], draft.number("unit_m"), 0.28)
    there = rng.random(len(edge)) > draft.number("gaps")
    edge, u, frontage = edge[there], u[there], frontage[there]
    full = edges[edge, 3]
    deep = np.minimum(full, full * rng.uniform(1 - draft.number("uneven"), 1.0, len(edge)))
    return within(edges[edge], u, (full - deep) / 2, frontage, deep), behind[edge] + full - deep, edge


def _build(draft: Draft, units: Rects, yard: NDArray[np.float64], row: NDArray[np.intp]) -> None:
    rng = draft.rng
    n = len(units)
    if rng.random() < 0.5:
        owner = np.arange(n)
    else:  # a few neighbours of one row are one building
        starts = np.concatenate([[True], (np.diff(row) != 0) | (rng.random(n - 1) < rng.uniform(0.2, 0.7))])
        owner = np.cumsum(starts) - 1
    stays = draft.take_free(units, np.arange(n))
    units, yard = units[stays], yard[stays]
    owner = np.unique(owner[stays], return_inverse=True)[1]
    looks, eave = _unit_looks(draft, units, owner)
    wings, base = _wings(draft, units, yard)
    parts = np.concatenate([units, wings])
    every_owner = np.concatenate([owner, owner[base]])
    wing_looks = looks.take(base)
    pitched = wing_looks.kind != FLAT
    wing_looks.kind[pitched] = rng.choice([MONO, GABLE], int(pitched.sum()))
    names = ("kind", "surface", "construction", "rise", "relief", "colour")
    both = Looks(*(np.concatenate([getattr(looks, name), getattr(wing_looks, name)]) for name in names))
    eaves = np.concatenate([eave, eave[base] * rng.uniform(0.4, 0.9, len(base))])
    parapet = np.where(both.kind == FLAT, draft.number("parapet_m"), 0.0)
    draft.add_buildings(parts, every_owner, eaves, both, parapet_m=parapet)
    _small_things(draft, units, yard, looks)


def _unit_looks(draft: Draft, units: Rects, owner: NDArray[np.intp]) -> tuple[Looks, NDArray[np.float64]]:
    """Looks and eaves of houses: each its own colour and height, more or less like its neighbours."""
    rng = draft.rng
    n = len(units)
    looks = draft.palette.draw(n, rng)
    # ridges run along the street; hips need a house longer than deep
    looks.kind[(looks.kind == HIP) & (units[:, 2] < units[:, 3])] = GABLE
    rows_alike = rng.random(n) < rng.uniform(0.2, 0.9)
    alike = np.searchsorted(owner, owner)[rows_alike]
    for name in ("kind", "surface", "rise", "colour"):
        values = getattr(looks, name)
        values[rows_alike] = values[alike]
    looks.colour[:] *= rng.normal(1.0, 0.04, (n, 1)).astype(np.float32)
    storeys = np.clip(np.round(draft.number("storeys") + rng.normal(0, draft.number("uneven_storeys"), n)), 1, 8)
    return looks, storeys * 3.1 + rng.uniform(0, 0.7, n)


def _wings(draft: Draft, units: Rects, yard: NDArray[np.float64]) -> tuple[Rects, NDArray[np.intp]]:
    """Lower wings into the yards, and the house of each."""
    rng = draft.rng
    base = np.flatnonzero((rng.random(len(units)) < draft.number("wings")) & (yard > 3.5))
    reach = np.minimum(rng.uniform(3.0, 12.0, len(base)), yard[base] - 0.8)
    span = np.minimum(rng.uniform(3.2, 6.5, len(base)), units[base, 2])
    u = rng.choice([-0.5, 0.5], len(base)) * (units[base, 2] - span)
    wings = within(units[base], u, -(units[base, 3] + reach) / 2, reach, span, np.pi / 2)
    stays = draft.take_free(wings, np.arange(len(wings)))
    return wings[stays], base[stays]


def _small_things(draft: Draft, units: Rects, yard: NDArray[np.float64], looks: Looks) -> None:
    """Sheds in the yards, chimneys and dormers on the ridges, clutter on flat roofs."""
    rng = draft.rng
    n = len(units)
    behind = np.flatnonzero((rng.random(n) < draft.number("sheds")) & (yard > 5))
    size = rng.uniform(1.8, 3.6, (2, len(behind)))
    v = -(units[behind, 3] / 2 + rng.uniform(0.4, 0.9, len(behind)) * yard[behind])
    add_sheds(draft, within(units[behind], rng.uniform(-2, 2, len(behind)), v, size[0], size[1]))
    pitched = np.flatnonzero((looks.kind != FLAT) & (rng.random(n) < draft.number("chimneys")))
    u = rng.uniform(-0.4, 0.4, len(pitched)) * units[pitched, 2]
    v = rng.uniform(-0.2, 0.2, len(pitched)) * units[pitched, 3]
    stacks = within(units[pitched], u, v, rng.uniform(0.5, 1.0, len(pitched)), rng.uniform(0.6, 1.6, len(pitched)))
    draft.add_boxes(stacks, rng.uniform(0.8, 1.6), vary((150, 120, 100), len(pitched), rng, 0.2), on_roof=1)
    lit = np.flatnonzero((looks.kind != FLAT) & (rng.random(n) < draft.number("dormers")))
    rows = rng.choice([-0.27, 0.27], len(lit)) * units[lit, 3]
    dormers = within(units[lit], rng.uniform(-0.3, 0.3, len(lit)) * units[lit, 2], rows, 1.4, 1.8)
    draft.add_boxes(dormers, 0.9, looks.colour[lit] * 0.9, on_roof=1)
    add_roof_things(draft, units[looks.kind == FLAT], _THINGS, draft.number("roof_things"))


def add_landmark(draft: Draft, block: Rects) -> None:
    """Add a landmark to a block (1, 5)."""
    rng = draft.rng
    material = str(rng.choice(["concrete", "gravel", "soil"]))
    draft.add_area(block, material, pattern=PAVING_JOINTS, period_m=rng.uniform(2, 6), strength=rng.uniform(0, 0.4))
    length, width = float(block[0, 2]) - 4, float(block[0, 3]) - 4
    if min(length, width) < 14:
        return
    kind = rng.choice(["church", "mosque", "palace"])
    parts, kinds, eaves = {"church": _church, "mosque": _mosque, "palace": _palace}[str(kind)](
        draft, block, length, width
    )
    owner = np.zeros(len(parts), np.intp)
    if not draft.take_free(parts, owner)[0]:
        return
    looks = draft.palette.draw(1, rng).take(owner)
    looks.kind[:] = kinds
    round_tops = np.isin(kinds, (DOME, CONE))
    looks.surface[round_tops], looks.rise[round_tops] = PLAIN, rng.uniform(0.6, 1.0)
    if rng.random() < 0.6:
        looks.colour[round_tops] = np.array([[150, 170, 160, 150], [196, 190, 178, 190], [110, 130, 150, 120]])[
            rng.integers(3)
        ]
    draft.add_buildings(parts, owner, eaves, looks, parapet_m=np.where(np.array(kinds) == FLAT, 0.8, 0.0))


def _church(draft: Draft, block: Rects, length: float, width: float) -> tuple[Rects, list[int], list[float]]:
    """Nave, transept, tower and apse."""
    rng = draft.rng
    nave, across = min(length, rng.uniform(22, 60)), min(width / 2, rng.uniform(9, 20))
    eave, side = rng.uniform(8, 16), rng.choice([-1.0, 1.0])
    tower = across * rng.uniform(0.4, 0.6)
    parts = [
        within(block, 0.0, 0.0, nave, across),
        within(block, side * nave * 0.2, 0.0, min(width, across * 1.9), across * 0.8, np.pi / 2),
        within(block, -side * (nave - tower) / 2, 0.0, tower, tower),
        within(block, side * nave / 2 * 0.98, 0.0, across * 0.7, across * 0.7),
    ]
    kinds = [GABLE, GABLE, int(rng.choice([CONE, HIP, FLAT])), DOME]
    return np.concatenate(parts), kinds, [eave, eave, eave + rng.uniform(8, 20), eave * 0.8]


def _mosque(draft: Draft, block: Rects, length: float, width: float) -> tuple[Rects, list[int], list[float]]:
    """A hall with one large and some small domes, and minarets."""
    rng = draft.rng
    size = min(length, width, rng.uniform(16, 40))
    eave = rng.uniform(6, 12)
    parts, kinds, eaves = [within(block, 0.0, 0.0, size, size)], [FLAT], [eave]
    parts.append(within(block, 0.0, 0.0, 0.55 * size, 0.55 * size))
    kinds, eaves = [*kinds, DOME], [*eaves, eave + 1.5]
    for u, v in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        parts.append(within(block, u * 0.36 * size, v * 0.36 * size, 0.2 * size, 0.2 * size))
        kinds, eaves = [*kinds, DOME], [*eaves, eave + 0.5]
    for _ in range(int(rng.integers(1, 3))):
        u, v = rng.choice([-0.48, 0.48], 2) * size
        parts.append(within(block, u, v, 2.2, 2.2))
        kinds, eaves = [*kinds, CONE], [*eaves, eave + rng.uniform(12, 30)]
    return np.concatenate(parts), kinds, eaves


def _palace(draft: Draft, block: Rects, length: float, width: float) -> tuple[Rects, list[int], list[float]]:
    """Four wings around a courtyard, or three."""
    rng = draft.rng
    length, width = min(length, rng.uniform(26, 80)), min(width, rng.uniform(22, 60))
    depth = min(rng.uniform(7, 14), 0.38 * width)
    parts = [
        within(block, 0.0, (width - depth) / 2, length, depth),
        within(block, 0.0, -(width - depth) / 2, length, depth),
        within(block, (length - depth) / 2, 0.0, width, depth, np.pi / 2),
        within(block, -(length - depth) / 2, 0.0, width, depth, np.pi / 2),
    ][: int(rng.integers(3, 5))]
    kind = int(rng.choice([GABLE, HIP, FLAT]))
    return np.concatenate(parts), [kind] * len(parts), [rng.uniform(7, 18)] * len(parts)
