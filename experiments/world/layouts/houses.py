"""Houses along streets: terraces under shared roofs, and suburbs of detached houses in gardens along bent streets.

Terraces have narrow back gardens, sheds, carports and rear extensions: at half of the sites every house between two party walls is a
building of its own, at the others every row is one; mapping teams do both. Suburbs have drives, garages, sheds, fences and pools.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from world.layouts.clearance import Rects, within
from world.layouts.draft import Draft, block_sides, cut_lots, draw_town, pave_streets
from world.layouts.furnishings import (
    add_fences,
    add_garden_things,
    add_sheds,
    add_street_cars,
    split_amenities,
)
from world.layouts.tables import Looks, vary
from world.plan import FLAT, MONO, PLAIN, SHEETS, STAINED, Plan
from world.style import WorldStyle


def lay_out_rows(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out terraces with the numbers of `styles/terraces.yaml` over (width, height) metres, the frame at any angle."""
    draft = Draft(style, extent_m, rng)
    town = draw_town(draft)
    pieces = pave_streets(draft, town, str(rng.choice(["asphalt", "old_asphalt"])), verge="concrete")
    add_street_cars(draft, pieces, draft.number("street_cars"))
    blocks = town.bend.move(split_amenities(draft, town))
    sides = block_sides(blocks)
    side, u, size = cut_lots(draft, sides[:, 2], draft.number("terrace_m"), 0.3)
    lots = within(sides[side], u, 0.0, size - draft.number("gap_m"), sides[side, 3])
    rows = _front(draft, lots)
    rows = rows[draft.take_free(rows, np.arange(len(rows)))]
    if len(rows):
        _build(draft, rows)
    return draft.to_plan()


def _front(draft: Draft, lots: Rects) -> Rects:
    """Rectangles of whole rows at the fronts of their lots; rows that bend less than their lots stay straight."""
    n = len(lots)
    depth = draft.number("depth_m") + draft.rng.normal(0, 0.5, n)
    setback = draft.number("setback_m") + np.abs(draft.rng.normal(0, 1.0, n))
    return within(lots, 0.0, lots[:, 3] / 2 - setback - depth / 2, lots[:, 2], depth)


def _build(draft: Draft, rows: Rects) -> None:
    rng = draft.rng
    line, u, frontage = cut_lots(draft, rows[:, 2], draft.number("unit_m"), 0.06)
    line_rows = rows[line]
    step = rng.choice([0.0, 0.0, 0.5, 1.2]) * rng.choice([-1.0, 1.0], len(line)) / 2
    depth = line_rows[:, 3] - np.abs(step)
    units = within(line_rows, u, step / 2, frontage, depth)
    owner = np.arange(len(units)) if rng.random() < 0.5 else np.unique(line, return_inverse=True)[1]
    storeys = np.round(draft.numbers("storeys", len(rows)))
    eave = (2.7 * storeys + rng.uniform(0, 0.8, len(rows)))[line] + rng.choice([0.0, 0.3]) * rng.choice(
        [-1, 0, 1], len(line)
    )
    looks = _row_looks(draft, line, len(rows))
    parts, part_owner, part_looks, eaves = _with_extensions(draft, units, owner, looks, eave)
    draft.add_buildings(parts, part_owner, eaves, part_looks)
    _chimneys(draft, units, eave, looks)
    _yards(draft, line_rows, u, frontage, depth)


def _row_looks(draft: Draft, line: NDArray[np.intp], count: int) -> Looks:
    """Looks of units: those of their row, a few with another covering."""
    rng = draft.rng
    looks = draft.palette.draw(count, rng).take(line)
    others = draft.palette.draw(len(line), rng)
    share = rng.choice([0.0, 0.08, 0.3])
    renewed = rng.random(len(line)) < share
    looks.colour[renewed] = others.colour[renewed]
    looks.colour[:, :3] += rng.normal(0, 2.5, (len(line), 1))
    return looks


def _with_extensions(
    draft: Draft, units: Rects, owner: NDArray[np.intp], looks: Looks, eave: NDArray[np.float64]
) -> tuple[Rects, NDArray[np.intp], Looks, NDArray[np.float64]]:
    """Units, and low flat extensions into some gardens."""
    rng = draft.rng
    has = np.flatnonzero(rng.random(len(units)) < draft.number("extensions"))
    size = draft.rng.uniform(2.0, 4.5, len(has))
    base = units[has]
    wide = base[:, 2] * rng.uniform(0.45, 0.8, len(has))
    across = rng.choice([-1.0, 1.0], len(has)) * (base[:, 2] - wide) / 2
    extensions = within(base, across, -(base[:, 3] + size) / 2, wide, size)
    free = draft.take_free(extensions, np.arange(len(has)))
    has, extensions = has[free], extensions[free]
    extra = looks.take(has)
    extra.kind[:] = rng.choice([FLAT, MONO], len(has))
    extra.surface[:] = STAINED
    extra.colour[:] = vary((128, 126, 124), len(has), rng, 0.25)
    names = ("kind", "surface", "construction", "rise", "relief", "colour")
    both = Looks(*(np.concatenate([getattr(looks, name), getattr(extra, name)]) for name in names))
    eaves = np.concatenate([eave, np.full(len(has), rng.uniform(2.5, 3.0))])
    return np.concatenate([units, extensions]), np.concatenate([owner, owner[has]]), both, eaves


def _chimneys(draft: Draft, units: Rects, eave: NDArray[np.float64], looks: Looks) -> None:
    rng = draft.rng
    has = np.flatnonzero((rng.random(len(units)) < draft.number("chimneys")) & (looks.kind != FLAT))
    stacks = within(units[has], units[has, 2] / 2 - 0.4, 0.0, 0.6, 1.2)
    draft.add_boxes(stacks, rng.uniform(0.8, 1.5), vary((138, 100, 84), len(has), rng), on_roof=1)
    lit = rng.random(len(units)) < rng.choice([0.0, 0.2, 0.6])
    windows = within(units[lit], 0.0, 0.25 * units[lit, 3] * rng.choice([-1, 1], int(lit.sum())), 0.9, 1.1)
    draft.add_boxes(windows, 0.12, vary((60, 66, 76), int(lit.sum()), rng), on_roof=1)


def _yards(
    draft: Draft, rows: Rects, u: NDArray[np.float64], frontage: NDArray[np.float64], depth: NDArray[np.float64]
) -> None:
    """Gardens and their sheds, fences, paved terraces behind the units, carports and cars before them."""
    rng = draft.rng
    n = len(u)
    garden = draft.number("garden_m")
    v = -rows[:, 3] / 2 - garden / 2
    lots = within(rows, u, v, frontage, garden)
    covers = rng.choice(["grass", "soil", "concrete", "dry_grass"], n, p=[0.55, 0.15, 0.2, 0.1])
    for material in ("grass", "soil", "concrete", "dry_grass"):
        of_it = covers == material
        draft.add_area(lots[of_it], material, tone=rng.uniform(0.85, 1.15, int(of_it.sum())))
    rear = within(lots, 0.0, depth * 0 + garden / 2 - 1.5, frontage, 3.0)
    paved = rng.random(n) < 0.5
    draft.add_area(rear[paved], str(rng.choice(["concrete", "gravel"])), tone=rng.uniform(0.8, 1.1))
    size = rng.uniform(1.8, 3.2, (2, n))
    sheds = within(
        lots, rng.choice([-1, 1], n) * (frontage / 2 - size[0] / 2 - 0.3), -garden / 2 + size[1] / 2 + 0.3, *size
    )
    add_sheds(draft, sheds[rng.random(n) < draft.number("sheds")])
    add_fences(draft, lots)
    front = within(rows, u, rows[:, 3] / 2 + 2.8, 5.0, 2.8, np.pi / 2)
    carports = rng.random(n) < draft.number("carports")
    covered = front[carports]
    covered = covered[draft.take_free(covered, np.arange(len(covered)))]
    colour = vary((166, 168, 166), len(covered), rng, 0.2)
    draft.add_structures(
        covered, 2.3, kind=rng.choice([FLAT, MONO]), rise=0.1, surface=rng.choice([SHEETS, PLAIN]), colour=colour
    )


def lay_out_streets(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out a suburb with the numbers of `styles/suburb.yaml` over (width, height) metres, the frame at any angle."""
    draft = Draft(style, extent_m, rng)
    town = draw_town(draft)
    unpaved = rng.random() < draft.number("unpaved")
    material = "soil" if unpaved else str(rng.choice(["asphalt", "old_asphalt"]))
    pieces = pave_streets(draft, town, material, verge=str(rng.choice(["grass", "concrete", "soil"])))
    add_street_cars(draft, pieces, draft.number("street_cars"))
    blocks = split_amenities(draft, town)
    lots = _lots(draft, blocks)
    bent = town.bend.move(lots)
    bent = bent[draft.near_site(bent)]
    _build_houses(draft, bent)
    return draft.to_plan()


def _lots(draft: Draft, blocks: Rects) -> Rects:
    """Return lots on both long sides of each block: length along the street, width to the middle of the block, v axis
    to the street."""
    sides = block_sides(blocks)
    side, u, frontage = cut_lots(draft, sides[:, 2], draft.number("lot_m"))
    return within(sides[side], u, 0.0, frontage, sides[side, 3])


def _build_houses(draft: Draft, lots: Rects) -> None:
    rng = draft.rng
    n = len(lots)
    empty = rng.random(n) < draft.number("empty")
    length = np.minimum(draft.numbers("length_m", n), lots[:, 2] - 2.4)
    depth = np.minimum(draft.numbers("depth_m", n), lots[:, 3] - 6.0)
    setback = draft.number("setback_m") + rng.normal(0, 0.8, n)
    setback = np.clip(setback, 1.0, np.maximum(lots[:, 3] - depth - 4.0, 1.0))
    v = lots[:, 3] / 2 - setback - depth / 2
    u = rng.uniform(-0.5, 0.5, n) * np.maximum(lots[:, 2] - length - 2.4, 0)
    turn = rng.normal(0, 0.03, n) + np.where(rng.random(n) < draft.number("gable_to_street"), np.pi / 2, 0.0)
    across = np.abs(np.sin(turn)) > 0.5
    main = within(lots, u, v, np.where(across, depth, length), np.where(across, length, depth), turn)
    good = ~empty & (np.minimum(length, depth) > 5.0)
    parts, owner = _with_wings(draft, main[good], lots[good], u[good], v[good], length[good], depth[good])
    stays = draft.take_free(parts, owner)
    kept = stays[owner]
    number = np.cumsum(stays) - 1
    looks = draft.palette.draw(int(stays.sum()), rng)
    storeys = np.round(draft.numbers("storeys", int(stays.sum())))
    eave = 2.6 + 2.8 * (storeys - 1) + rng.uniform(0, 0.6, len(storeys))
    owner = number[owner[kept]]
    first = np.concatenate([[True], np.diff(owner) > 0]) if len(owner) else np.zeros(0, bool)
    draft.add_buildings(parts[kept], owner, eave[owner] - np.where(first, 0.0, 0.25), looks)
    free = np.ones(n, bool)
    free[np.flatnonzero(good)[stays]] = False
    built = ~free
    _pave_drives(draft, lots[built], u[built], v[built], length[built], depth[built])
    add_garden_things(draft, lots[built], v[built] - depth[built] / 2)
    if rng.random() < draft.number("fences"):
        walls = rng.random() < draft.number("walls")
        add_fences(draft, lots, rng.uniform(1.6, 2.8) if walls else None)


def _with_wings(
    draft: Draft,
    main: Rects,
    lots: Rects,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    length: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> tuple[Rects, NDArray[np.intp]]:
    """Main parts and wings, sorted by owner: L and T shapes, to the street or to the garden."""
    rng = draft.rng
    n = len(main)
    share = draft.number("wings")
    winged = np.concatenate([np.flatnonzero(rng.random(n) < chance) for chance in (share, 0.5 * share)])
    k = len(winged)
    reach = rng.uniform(2.0, 5.0, k)
    span = np.minimum(rng.uniform(4.5, 7.5, k), length[winged] * 0.6)
    side = np.where(rng.random(k) < 0.55, 1.0, -1.0)
    along = u[winged] + rng.choice([-1.0, 1.0], k) * (length[winged] - span) / 2 * rng.choice([1.0, 0.6], k)
    # the wing runs through the main part, so that the ridges meet
    depth_k = depth[winged] / 2 + reach
    wings = within(lots[winged], along, v[winged] + side * depth_k / 2, depth_k, span, np.pi / 2)
    parts = np.concatenate([main, wings])
    owner = np.concatenate([np.arange(n), winged])
    order = np.argsort(owner, kind="stable")
    return parts[order], owner[order]


def _pave_drives(
    draft: Draft,
    lots: Rects,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    length: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> None:
    rng = draft.rng
    n = len(lots)
    top = v + depth / 2
    size = lots[:, 3] / 2 - top + 0.5
    along = u + rng.choice([-1.0, 1.0], n) * (length / 2 - 1.8)
    drives = within(lots, along, top + size / 2, size, rng.uniform(2.6, 5.6, n), np.pi / 2)
    has = (rng.random(n) < draft.number("drives")) & (size > 2)
    draft.add_area(
        drives[has], str(rng.choice(["concrete", "gravel", "concrete", "soil"])), tone=rng.uniform(0.85, 1.1)
    )
    parked = has & (rng.random(n) < 0.4) & (size > 5)
    draft.add_cars(within(lots[parked], along[parked], top[parked] + size[parked] / 2, 4.4, 1.8, np.pi / 2))
    yards = within(lots, u, v - depth / 2 - 1.5, length * rng.uniform(0.3, 0.9, n), rng.uniform(2, 5, n))
    paved = rng.random(n) < 0.4
    draft.add_area(yards[paved], "concrete", tone=rng.uniform(0.8, 1.1))
