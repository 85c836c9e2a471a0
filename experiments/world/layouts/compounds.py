"""Flat-roofed concrete blocks in walled plots on pale ground, with narrow lanes, as in the Middle East and South Asia.

Every plot has its own building, also where walls touch; stair heads and upper floors belong to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from world.layouts.clearance import Rects, within
from world.layouts.draft import (
    Draft,
    Town,
    block_sides,
    cut_lots,
    draw_town,
    pave_streets,
    repeat_runs,
)
from world.layouts.furnishings import (
    add_columns,
    add_roof_things,
    add_street_cars,
    split_amenities,
)
from world.layouts.tables import Looks, vary
from world.plan import CONCRETE, DOME, FLAT, PLAIN, STAINED, Plan
from world.style import WorldStyle

_THINGS = {"tank": 3.0, "conditioner": 1.0, "laundry": 1.5, "dish": 1.0, "clutter": 3.0, "heater": 0.5, "canopy": 0.6}


def lay_out_compounds(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out concrete blocks with the numbers of `styles/concrete-blocks.yaml` over (width, height) metres, the frame
    at any angle."""
    draft = Draft(style, extent_m, rng)
    town = draw_town(draft)
    _pave(draft, town)
    blocks = split_amenities(draft, town)
    sides = block_sides(blocks)
    side, u, frontage = cut_lots(draft, sides[:, 2], draft.number("lot_m"), 0.22)
    lots = town.bend.move(within(sides[side], u, 0.0, frontage, sides[side, 3]))
    lots = lots[draft.near_site(lots)]
    free = rng.random(len(lots)) < draft.number("empty")
    _empty_plots(draft, lots[free])
    _build(draft, lots[~free])
    return draft.to_plan()


def _pave(draft: Draft, town: Town) -> None:
    rng = draft.rng
    kind = rng.random()
    if kind < 0.45:
        pieces = pave_streets(draft, town, str(rng.choice(["asphalt", "old_asphalt"])))
    elif kind < 0.75:  # only the wide streets have asphalt
        wide = town.streets[:, 3] > 6.0
        pave_streets(draft, Town(town.blocks, town.streets[~wide], town.bend), "soil")
        pieces = pave_streets(draft, Town(town.blocks, town.streets[wide], town.bend), "old_asphalt")
    else:
        pieces = pave_streets(draft, town, "soil")
    add_street_cars(draft, pieces, draft.number("street_cars"))


def _build(draft: Draft, lots: Rects) -> None:
    rng = draft.rng
    n = len(lots)
    cover = draft.style.numbers["cover"]
    low, high = np.sort(rng.uniform(cover[0], cover[1], 2))
    share = np.clip(rng.uniform(low, high + 0.05, (2, n)), 0.3, 1.0)
    size = np.maximum(share * lots[:, 2:4].T - 0.1, 3.2)
    room = lots[:, 2:4].T - size
    # most stand at the street, against one of the neighbours
    u = rng.choice([-0.5, 0.5, 0.0], n, p=[0.4, 0.4, 0.2]) * room[0]
    v = np.where(rng.random(n) < 0.7, 0.5, rng.uniform(-0.5, 0.5, n)) * room[1]
    main = within(lots, u, v, size[0], size[1], rng.normal(0, 0.015, n))
    main, kept = _fit(draft, main, lots)
    if not len(main):
        return
    looks = draft.palette.draw(len(main), rng)
    storeys = np.round(draft.numbers("storeys", len(main)))
    eave = storeys * rng.uniform(2.9, 3.4) + rng.uniform(0, 0.6, len(main))
    parapet = np.where(looks.kind == FLAT, np.where(rng.random(len(main)) < 0.85, draft.number("parapet_m"), 0.15), 0.0)
    flat = np.flatnonzero(looks.kind == FLAT)
    parts, owner, eaves, wall, which = _upper_parts(draft, main, eave, parapet, flat)
    part_looks = looks.take(owner)
    part_looks.kind[which > 0] = FLAT
    part_looks.surface[which > 0] = np.where(rng.random(int((which > 0).sum())) < 0.5, PLAIN, STAINED)
    part_looks.colour[which > 0] *= rng.uniform(0.85, 1.12, (int((which > 0).sum()), 1)).astype(np.float32)
    draft.add_buildings(parts, owner, eaves, part_looks, parapet_m=wall)
    _clutter(draft, main[flat])
    _yards(draft, kept, lots)
    _domes(draft, main, eave)


def _fit(draft: Draft, main: Rects, lots: Rects) -> tuple[Rects, Rects]:
    """Buildings that are free and their lots; where streets or neighbours are in the way, smaller ones."""
    sizes, kept = [], []
    for shrink in (1.0, 0.85, 0.7):
        main = main.copy()
        main[:, 2:4] *= shrink
        stays = draft.take_free(main, np.arange(len(main))) & (main[:, 2:4].min(axis=1) > 3.0)
        sizes.append(main[stays])
        kept.append(lots[stays])
        main, lots = main[~stays], lots[~stays]
    return np.concatenate(sizes), np.concatenate(kept)


def _upper_parts(
    draft: Draft, main: Rects, eave: NDArray[np.float64], parapet: NDArray[np.float64], flat: NDArray[np.intp]
) -> tuple[Rects, NDArray[np.intp], NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Main parts, partial upper floors (1) and stair heads (2): rectangles, owner, eaves, parapets, which."""
    rng = draft.rng
    raised = flat[rng.random(len(flat)) < draft.number("upper_floors")]
    share = rng.uniform(0.35, 0.75, len(raised))
    along = rng.random(len(raised)) < 0.5
    base = main[raised]
    length, width = base[:, 2] * np.where(along, share, 1.0), base[:, 3] * np.where(along, 1.0, share)
    end = rng.choice([-0.5, 0.5], len(raised))
    upper = within(base, end * (base[:, 2] - length), end * (base[:, 3] - width), length, width)
    stair = flat[(rng.random(len(flat)) < draft.number("stair_heads")) & (main[flat, 2:4].min(axis=1) > 6)]
    base = main[stair]
    size = rng.uniform(2.4, 3.8, (2, len(stair)))
    corner = rng.choice([-0.5, 0.5], (2, len(stair)))
    room = base[:, 2:4].T - size - 0.4
    heads = within(base, corner[0] * room[0], corner[1] * room[1], size[0], size[1])
    rise = np.where(np.isin(stair, raised), 3.0, 0.0) + rng.uniform(2.2, 2.8)
    parts = np.concatenate([main, upper, heads])
    owner = np.concatenate([np.arange(len(main)), raised, stair])
    eaves = np.concatenate([eave, eave[raised] + 3.0, eave[stair] + rise])
    walls = np.concatenate([parapet, parapet[raised], np.full(len(stair), 0.15)])
    return parts, owner, eaves, walls, np.repeat([0, 1, 2], [len(main), len(raised), len(stair)])


def _clutter(draft: Draft, roofs: Rects) -> None:
    rng = draft.rng
    weights = {name: share * rng.uniform(0.2, 1.8) for name, share in _THINGS.items()}
    add_roof_things(draft, roofs, weights, draft.number("roof_things"))
    add_columns(draft, roofs[rng.random(len(roofs)) < draft.number("columns")])


def _yards(draft: Draft, kept: Rects, lots: Rects) -> None:
    """Floors and walls of the plots, with trunks of things in the yards."""
    rng = draft.rng
    n = len(kept)
    paved = rng.random(n) < rng.uniform(0, 0.5)
    draft.add_area(kept[paved], "concrete", tone=rng.uniform(0.75, 1.05, int(paved.sum())))
    green = ~paved & (rng.random(n) < 0.12)
    draft.add_area(kept[green], str(rng.choice(["dry_grass", "grass"])), rough=0.4, tone=rng.uniform(0.7, 1.1))
    if rng.random() < draft.number("walls"):
        has = lots[rng.random(len(lots)) < rng.uniform(0.3, 1.0)]
        borders = [within(has, 0.0, end * has[:, 3] / 2, has[:, 2], 0.25) for end in (-1, 1)]
        borders += [within(has, end * has[:, 2] / 2, 0.0, has[:, 3], 0.25, np.pi / 2) for end in (-1, 1)]
        walls = np.concatenate(borders)
        draft.add_boxes(walls, rng.uniform(1.4, 2.8), vary((182, 170, 150), len(walls), rng, 0.08))


def _empty_plots(draft: Draft, lots: Rects) -> None:
    """Plots with soil, rubble of building, heaps of blocks, or foundations."""
    rng = draft.rng
    n = len(lots)
    rough = rng.random(n) < 0.6
    draft.add_area(lots[rough], str(rng.choice(["rubble", "soil", "gravel"])), rough=0.7, tone=rng.uniform(0.9, 1.2))
    started = ~rough & (rng.random(n) < 0.3)
    slab = within(lots[started], 0.0, 0.0, 0.75 * lots[started, 2], 0.75 * lots[started, 3])
    draft.add_area(slab, "concrete", tone=rng.uniform(0.8, 1.1, len(slab)))
    lot, _ = repeat_runs(rng.poisson(draft.number("heaps"), n))
    k = len(lot)
    where = rng.uniform(-0.45, 0.45, (2, k)) * lots[lot, 2:4].T
    heaps = within(
        lots[lot], where[0], where[1], rng.uniform(0.6, 3.5, k), rng.uniform(0.5, 2.5, k), rng.uniform(0, 3.1, k)
    )
    draft.add_boxes(heaps, rng.uniform(0.2, 1.2, k), vary((164, 150, 128), k, rng, 0.15), "rubble")


def _domes(draft: Draft, main: Rects, eave: NDArray[np.float64]) -> None:
    """A mosque on a large roof of some sites: a dome and a minaret on the building below."""
    rng = draft.rng
    large = int(np.argmax(main[:, 2] * main[:, 3]))
    if rng.random() > draft.number("mosque") or main[large, 2:4].min() < 9:
        return
    size = 0.55 * float(main[large, 2:4].min())
    dome = within(main[large : large + 1], 0.0, 0.0, size, size)
    colour = vary([(196, 190, 176), (92, 130, 116), (120, 140, 150)][int(rng.integers(3))], 1, rng)
    relief, one = np.full(1, 0.3), np.ones(1, np.uint8)
    looks = Looks(
        one * np.uint8(DOME), one * np.uint8(PLAIN), one * np.uint8(CONCRETE), np.full(1, 0.9), relief, colour
    )
    row = draft.count - len(main) + large
    names = ("kind", "surface", "rise", "relief", "colour")
    draft.add("roofs", dome, eave_m=eave[large] + 0.5, building=row, **{name: getattr(looks, name) for name in names})
    minaret = within(main[large : large + 1], main[large, 2] / 2 - 1.2, main[large, 3] / 2 - 1.2, 1.8, 1.8)
    draft.add_boxes(minaret, rng.uniform(12, 25), colour, on_roof=1)
