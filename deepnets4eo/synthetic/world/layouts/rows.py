"""Terraces: long rows of houses under shared roofs, with narrow back gardens, sheds, carports and rear extensions.

At half of the sites every house between two party walls is a building of its own, at the others every row is one:
mapping teams do both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.layouts.amenities import split_amenities
from deepnets4eo.synthetic.world.layouts.blocks import block_sides, cut_lots, draw_town, pave_streets
from deepnets4eo.synthetic.world.layouts.clearance import Rects, within
from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.furnishings import add_fences, add_sheds, add_street_cars
from deepnets4eo.synthetic.world.layouts.palette import Looks, vary
from deepnets4eo.synthetic.world.plan import FLAT, MONO, PLAIN, SHEETS, STAINED, Plan
from deepnets4eo.synthetic.world.style import WorldStyle


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
