"""Industry and trade: large halls, stores on parking, sheds in rows, tanks, greenhouses, yards with lorries and containers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepnets4eo.synthetic.world.layouts.amenities import split_amenities
from deepnets4eo.synthetic.world.layouts.blocks import draw_town, pave_streets
from deepnets4eo.synthetic.world.layouts.clearance import Rects, rect_rows, within
from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.furnishings import (
    add_containers,
    add_greenhouses,
    add_panels,
    add_parking,
    add_roof_things,
    add_skylights,
    add_street_cars,
    add_traffic,
)
from deepnets4eo.synthetic.world.layouts.motorway import draw_motorway, pave_motorway
from deepnets4eo.synthetic.world.layouts.palette import vary
from deepnets4eo.synthetic.world.plan import CONE, DOME, ELLIPSE, FLAT, MONO, PLAIN, RECTANGLE, VAULT, Plan
from deepnets4eo.synthetic.world.style import WorldStyle

_VENTS = {"vent": 3.0, "conditioner": 2.0, "clutter": 0.4}


def lay_out_halls(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out an industrial estate, a shopping district, or what stands beside a motorway, with the numbers of
    `styles/industrial.yaml`, `retail.yaml` or `motorway.yaml`; a motorway is drawn where they have `lanes`."""
    draft = Draft(style, extent_m, rng)
    motorway = draw_motorway(draft) if "lanes" in style.numbers else None
    town = draw_town(draft)
    pieces = pave_streets(draft, town, str(rng.choice(["asphalt", "old_asphalt"])))
    add_street_cars(draft, pieces, draft.number("street_cars"))
    if "traffic" in draft.style.numbers:
        add_traffic(draft, pieces, draft.number("traffic"))
    blocks = town.bend.move(split_amenities(draft, town))
    shares = draft.style.numbers["works"]
    names = list(shares)
    weights = np.array([shares[name] for name in names], float)
    weights = rng.dirichlet(weights * rng.uniform(0.6, 3.0) + 1e-3)
    for block in blocks:
        inner = rect_rows(block[0], block[1], block[2] - 6, block[3] - 6, block[4])
        floor = str(rng.choice(["concrete", "gravel", "soil", "grass", "dry_grass"], p=[0.35, 0.2, 0.15, 0.2, 0.1]))
        draft.add_area(inner, floor, rough=0.15, tone=rng.uniform(0.8, 1.15))
        _WORKS[str(rng.choice(names, p=weights))](draft, inner)
    if motorway is not None:
        pave_motorway(draft, motorway)
    return draft.to_plan()


def _hall(draft: Draft, rects: Rects, eave: float) -> bool:
    """Add one hall, of one part or of parallel bays, with skylights and vents; whether there was room."""
    rng = draft.rng
    if rects[0, 2:4].min() < 8 or not draft.take_free(rects, np.zeros(1, int))[0]:
        return False
    looks = draft.palette.draw(1, rng)
    count = 1
    if looks.kind[0] != FLAT and rects[0, 3] > 24:  # wide pitched halls have several bays
        count = int(np.ceil(rects[0, 3] / rng.uniform(12, 26)))
    span = float(rects[0, 3]) / count
    v = (np.arange(count) + 0.5) * span - rects[0, 3] / 2
    bays = within(np.repeat(rects, count, axis=0), 0.0, v, rects[0, 2], span)
    bay_looks = looks.take(np.zeros(count, int))
    if count > 2 and rng.random() < 0.4:
        bay_looks.kind[:], bay_looks.rise[:] = MONO, rng.uniform(0.3, 0.6)
    parapet = float(rng.choice([0.0, 0.4, 0.9])) * (looks.kind[0] == FLAT)
    draft.add_buildings(bays, np.zeros(count, int), eave, bay_looks, parapet_m=parapet, storey_m=6.0)
    kind = rng.random()
    if kind < 0.55:
        rows = max(1, int(span / rng.uniform(8, 16))) if looks.kind[0] == FLAT else 2
        off = (np.arange(rows) + 0.5) * span / rows - span / 2
        add_skylights(draft, np.repeat(bays, rows, axis=0), np.tile(off, count))
    if kind > 0.45 and looks.kind[0] == FLAT:
        add_roof_things(draft, bays, _VENTS, draft.number("roof_things"))
    if rng.random() < 0.08:
        add_panels(draft, bays, rng.uniform(0.3, 0.9))
    return True


def _warehouse(draft: Draft, block: Rects) -> None:
    """One or a few large halls, docks with lorries, an office, parking."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    yard = rng.uniform(16, 32)
    count = int(rng.integers(1, 4))
    gap = rng.uniform(0.0, 14) * (count > 1)
    deep = max(width - yard - 4, 10.0)
    long = (length - gap * (count - 1)) / count
    for k in range(count):
        u = (k + 0.5) * (long + gap) - (length + gap) / 2
        size = (long * rng.uniform(0.75, 1.0), deep * rng.uniform(0.6, 1.0))
        turn = np.pi / 2 if rng.random() < 0.3 else 0.0
        sides = size if turn == 0 else size[::-1]
        _hall(draft, within(block, u, -width / 2 + size[1] / 2, *sides, turn), rng.uniform(5, 15))
    docks = within(block, 0.0, width / 2 - yard / 2, 0.9 * length, yard - 4)
    if rng.random() < 0.5:
        add_parking(draft, within(docks, 0.0, 0.0, docks[:, 2], np.minimum(docks[:, 3], 27.0)), rng.uniform(0.1, 0.9))
    else:
        draft.add_area(docks, str(rng.choice(["concrete", "gravel"])), tone=rng.uniform(0.75, 1.05))
        add_containers(draft, docks, rng.uniform(0.05, 0.5))


def _store(draft: Draft, block: Rects) -> None:
    """A large store or a row of shops behind its parking, and a small pavilion at the street."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    deep = rng.uniform(0.3, 0.55) * width if rng.random() < 0.6 else min(rng.uniform(14, 24), 0.5 * width)
    long = length * rng.uniform(0.55, 0.98)
    eave = rng.uniform(4.5, 10)
    _hall(draft, within(block, 0.0, -(width - deep) / 2, long, deep), eave)
    wing = min(deep, 24.0)
    corner = rng.random() < 0.35 and _hall(  # shops around a corner
        draft, within(block, (length - deep) / 2, deep / 2, width - deep, wing, np.pi / 2), eave
    )
    size = rng.uniform(12, 26, 2)
    pavilion = _hall(
        draft, within(block, rng.uniform(-0.35, 0.35) * length, (width - size[1]) / 2, *size), rng.uniform(3.5, 6)
    )
    right = (length - deep - wing) / 2 - 2 if corner else length / 2
    top, bottom = width / 2 - (size[1] + 2 if pavilion else 3), deep - width / 2 + 3
    lot = within(block, right / 2 - length / 4, (top + bottom) / 2, right + length / 2, top - bottom)
    add_parking(draft, lot, rng.uniform(0.05, 0.9), material=str(rng.choice(["asphalt", "old_asphalt"])))


def _pond(draft: Draft, block: Rects) -> None:
    """A basin that keeps the rain of the roofs and the parking, with a grassy bank."""
    rng = draft.rng
    draft.add_area(block, str(rng.choice(["grass", "dry_grass"])), rough=0.2)
    shape = int(rng.choice([RECTANGLE, ELLIPSE]))
    size = rng.uniform(0.4, 0.85, 2) * block[0, 2:4]
    basin = within(block, 0.0, 0.0, *size)
    draft.add_area(basin, "water", shape=shape, rough=0.25, tone=rng.uniform(0.5, 1.1))


def _sheds(draft: Draft, block: Rects) -> None:
    """Rows of equal sheds: workshops, stores, barns."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    long, deep, gap = rng.uniform(18, 70), rng.uniform(8, 18), rng.uniform(5, 16)
    along, across = max(1, int(length / (long + gap))), max(1, int(width / (deep + gap)))
    i, j = (one.ravel() for one in np.meshgrid(np.arange(along), np.arange(across)))
    u = (i - (along - 1) / 2) * (long + gap)
    v = (j - (across - 1) / 2) * (deep + gap)
    rects = within(np.repeat(block, len(i), axis=0), u, v, long * rng.uniform(0.8, 1.0, len(i)), deep)
    rects = rects[rng.random(len(rects)) < 0.92]
    stays = draft.take_free(rects, np.arange(len(rects)))
    rects = rects[stays]
    alike = rng.random() < 0.6
    looks = draft.palette.draw(1 if alike else len(rects), rng)
    looks = looks.take(np.zeros(len(rects), int)) if alike else looks
    if alike and rng.random() < 0.15:
        looks.kind[:], looks.rise[:] = VAULT, rng.uniform(0.5, 0.9)
    draft.add_buildings(rects, np.arange(len(rects)), rng.uniform(3.2, 7), looks, storey_m=4.0)
    if rng.random() < 0.4:
        add_skylights(draft, np.repeat(rects, 2, axis=0), np.tile([-deep / 4, deep / 4], len(rects)))


def _tanks(draft: Draft, block: Rects) -> None:
    """Storage tanks in a grid within walls, a pump house; tanks are no buildings."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    size = rng.uniform(7, 34)
    pitch = size * rng.uniform(1.25, 1.8)
    counts = max(1, int(length * 0.8 / pitch)), max(1, int(width / pitch))
    i, j = (one.ravel() for one in np.meshgrid(np.arange(counts[0]), np.arange(counts[1])))
    n = len(i)
    u = (i - (counts[0] - 1) / 2) * pitch - 0.08 * length
    v = (j - (counts[1] - 1) / 2) * pitch
    wide = size * rng.uniform(0.6, 1.0, n)
    tanks = within(np.repeat(block, n, axis=0), u, v, wide, wide)
    tanks = tanks[draft.take_free(tanks, np.arange(n))]
    tone = [(222, 222, 218), (190, 190, 186), (150, 110, 84), (206, 200, 176)][int(rng.integers(4))]
    kind = int(rng.choice([CONE, CONE, DOME]))
    colour = vary(tone, len(tanks), rng, 0.05)
    draft.add_structures(
        tanks, rng.uniform(6, 16), kind=kind, rise=rng.uniform(0.05, 0.2), surface=PLAIN, colour=colour
    )
    if rng.random() < 0.5:
        walls = [within(block, 0.0, end * width / 2, length, 0.6) for end in (-1, 1)]
        draft.add_boxes(np.concatenate(walls), 1.2, vary((150, 140, 124), 2, rng))
    _hall(draft, within(block, 0.42 * length, 0.0, 0.5 * width, 0.12 * length, np.pi / 2), rng.uniform(4, 7))


def _yard(draft: Draft, block: Rects) -> None:
    """A yard of containers or of heaps, with a small hall."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    _hall(draft, within(block, -0.36 * length, 0.0, 0.7 * width, 0.2 * length, np.pi / 2), rng.uniform(4, 10))
    yard = within(block, 0.14 * length, 0.0, 0.66 * length, 0.9 * width)
    if rng.random() < 0.6:
        draft.add_area(yard, str(rng.choice(["concrete", "gravel", "soil"])), tone=rng.uniform(0.75, 1.05))
        add_containers(draft, yard, rng.uniform(0.1, 0.75))
        return
    draft.add_area(yard, "soil", rough=0.4, tone=rng.uniform(0.7, 1.2))
    n = int(rng.integers(4, 40))
    rows = np.repeat(yard, n, axis=0)
    where = rng.uniform(-0.45, 0.45, (2, n)) * yard[0, 2:4, None]
    tones = [(96, 90, 84), (150, 130, 104), (120, 76, 56), (176, 170, 158)]
    colour = vary(tones[int(rng.integers(4))], n, rng, 0.2)
    size = rng.uniform(1.5, 12, n)
    heaps = within(rows, where[0], where[1], size, size * rng.uniform(0.4, 1.0, n), rng.uniform(0, 3.1, n))
    draft.add_boxes(heaps, rng.uniform(0.5, 4, n), colour, "rubble")


def _nursery(draft: Draft, block: Rects) -> None:
    """Greenhouses side by side."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    span = rng.uniform(4, 12)
    gap = rng.choice([0.0, rng.uniform(1, 4)])
    count = max(1, int(0.9 * width / (span + gap)))
    v = (np.arange(count) - (count - 1) / 2) * (span + gap)
    long = np.minimum(rng.uniform(0.4, 0.9) * length * rng.uniform(0.85, 1.0, count), length)
    rects = within(np.repeat(block, count, axis=0), -0.03 * length, v, long, span)
    add_greenhouses(draft, rects[rng.random(count) < 0.93])


_WORKS: dict[str, Callable[[Draft, Rects], None]] = {
    "warehouse": _warehouse,
    "sheds": _sheds,
    "tanks": _tanks,
    "yard": _yard,
    "nursery": _nursery,
    "store": _store,
    "pond": _pond,
}
