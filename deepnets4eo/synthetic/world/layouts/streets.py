"""Suburbs: detached houses in gardens along bent streets, with drives, garages, sheds, fences and pools."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.layouts.amenities import split_amenities
from deepnets4eo.synthetic.world.layouts.blocks import block_sides, cut_lots, draw_town, pave_streets
from deepnets4eo.synthetic.world.layouts.clearance import Rects, within
from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.furnishings import add_fences, add_garden_things, add_street_cars
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.style import WorldStyle


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
