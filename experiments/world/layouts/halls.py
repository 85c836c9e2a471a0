"""Industry and trade: large halls, stores on parking, sheds in rows, tanks, greenhouses, yards with lorries and containers.

And the motorways that such sites lie at: two carriageways of several lanes on a line through the site, with ramps, bridges over them
and ponds. `draw_motorway` takes the ground before anything is built; `pave_motorway` paints it after all else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from world.layouts.clearance import Rects, rect_rows, widen, within
from world.layouts.draft import MARGIN_M, Draft, draw_town, pave_streets, repeat_runs
from world.layouts.furnishings import (
    add_containers,
    add_greenhouses,
    add_lorries,
    add_panels,
    add_parking,
    add_roof_things,
    add_skylights,
    add_street_cars,
    add_traffic,
    split_amenities,
)
from world.layouts.tables import car_colours, vary
from world.plan import CONE, DOME, ELLIPSE, FLAT, MONO, PLAIN, RECTANGLE, VAULT, Plan
from world.style import WorldStyle

_PIECE_M = 13.0  # of a line; in the lanes there is at most one car to a piece, and one dash
_LANE_M = 3.6
_GREY = ((178, 172, 160), (150, 146, 138), (122, 119, 114), (94, 93, 92))  # of bridges
_MAX_OBLIQUE = 1.2  # metres on a bridge to a metre across: roads cross at 57 degrees or more
_SURFACES = ("asphalt", "old_asphalt", "concrete")

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


@dataclass(frozen=True)
class Motorway:
    """A motorway in the frame of a draft: pieces (N, 5) along its middle, as wide as both carriageways and the strip
    between them, lanes of each direction, widths of shoulder and verge, pieces of each ramp, roads on bridges over
    it (K, 5), and ponds beside it."""

    line: Rects
    lanes: int
    shoulder_m: float
    verge_m: float
    ramps: tuple[Rects, ...]
    crossings: Rects
    basins: Rects

    @property
    def strip_m(self) -> float:
        """Width of the strip between the carriageways, metres."""
        return float(self.line[0, 3]) - 2 * (self.lanes * _LANE_M + 2 * self.shoulder_m)

    @property
    def inner_m(self) -> float:
        """From the middle of the line to the first lane, metres."""
        return self.strip_m / 2 + self.shoulder_m

    def corridor(self) -> Rects:
        """Ground of the motorway with verges, and of its ramps and ponds, (N, 5)."""
        return np.concatenate([widen(self.line, self.verge_m), *(widen(one, 3.0) for one in self.ramps), self.basins])


def draw_motorway(draft: Draft) -> Motorway:
    """Draw a motorway through a site and take its ground; nothing is painted yet. The style has the numbers lanes,
    ramps, bridges, basins and traffic."""
    rng = draft.rng
    radius = float(np.hypot(*draft.half_m)) + MARGIN_M
    heading, bend = rng.uniform(0, np.pi), rng.choice([0.0, rng.uniform(-1, 1) / 300])
    offset = rng.uniform(-0.45, 0.45) * min(draft.extent_m)
    lanes, shoulder = round(draft.number("lanes")), rng.uniform(1.0, 3.5)
    width = 2 * (lanes * _LANE_M + 2 * shoulder) + rng.choice([0.8, rng.uniform(1, 16)])
    middle = -offset * np.sin(heading), offset * np.cos(heading)
    there, back = (_arc(*middle, heading + turn, side * bend, radius) for turn, side in ((0.0, 1), (np.pi, -1)))
    line = np.concatenate([back[::-1] + np.array([0, 0, 0, 0, np.pi]), there])
    line[:, 3] = width
    verge = rng.uniform(3, 28)
    near = line[draft.near_site(line)]
    line = near if len(near) else line[len(back) - 1 : len(back) + 1]
    ramps = tuple(_draw_ramp(draft, line) for _ in range(round(draft.number("ramps"))))
    motorway = Motorway(
        line, lanes, shoulder, verge, ramps, _draw_crossings(draft, line), _draw_basins(draft, line, verge)
    )
    draft.take(motorway.corridor())
    draft.take(widen(motorway.crossings, 2.0))
    return motorway


def pave_motorway(draft: Draft, motorway: Motorway) -> None:
    """Paint a motorway of the same draft over all that was laid out before; boxes and structures on its ground are
    removed."""
    rng = draft.rng
    corridor = motorway.corridor()
    draft.clear(np.concatenate([corridor, widen(motorway.crossings, 1.0)]))
    draft.add_area(
        corridor, str(rng.choice(["grass", "dry_grass", "soil", "gravel"], p=[0.5, 0.3, 0.1, 0.1])), rough=0.3
    )
    draft.add_area(motorway.basins, "water", shape=ELLIPSE, rough=0.25, tone=rng.uniform(0.4, 1.1))
    material = str(rng.choice(_SURFACES, p=[0.4, 0.35, 0.25]))
    draft.add_area(motorway.crossings, str(rng.choice(_SURFACES)), tone=rng.uniform(0.8, 1.15))
    for ramp in motorway.ramps:
        draft.add_area(ramp, material, tone=rng.uniform(0.8, 1.15))
        if rng.random() < 0.3:
            _add_bridge(draft, ramp, rng.uniform(5, 11))
    _pave_lanes(draft, motorway, material)
    _pave_strip(draft, motorway)
    _add_traffic(draft, motorway)
    for road in motorway.crossings:
        _add_bridge(draft, _middle_part(road, float(motorway.line[0, 3]) + rng.uniform(4, 20)), rng.uniform(5, 8))


def _arc(x: float, y: float, heading: float, bend: float, length: float) -> Rects:
    """Pieces along an arc from a point on; `bend` : turn per metre, radians to the right of the frame's axes."""
    count = max(int(np.ceil(length / _PIECE_M)), 1)
    steps = heading + bend * _PIECE_M * (np.arange(count) + 0.5)
    ends = np.cumsum(np.stack([np.cos(steps), np.sin(steps)]), axis=1) * _PIECE_M
    middles = ends - 0.5 * _PIECE_M * np.stack([np.cos(steps), np.sin(steps)])
    return rect_rows(x + middles[0], y + middles[1], _PIECE_M + 1.0, 0.0, steps)


def _draw_ramp(draft: Draft, line: Rects) -> Rects:
    """A ramp that leaves a carriageway in a wide curve, or in a loop."""
    rng = draft.rng
    piece = line[int(rng.integers(len(line)))][None]
    side, back = rng.choice([-1, 1]), rng.random() < 0.5
    start = within(piece, 0.0, side * (piece[:, 3] / 2 - 2.5), 1.0, 1.0, np.pi * back)[0]
    outward = -side if back else side
    loop = rng.random() < 0.3
    radius = rng.uniform(32, 60) if loop else rng.uniform(90, 600)
    length = radius * rng.uniform(3.5, 4.9) if loop else rng.uniform(80, 260)
    ramp = _arc(start[0], start[1], start[4], outward / radius, length)
    ramp[:, 3] = rng.uniform(4.5, 9.5)
    return ramp


def _draw_crossings(draft: Draft, line: Rects) -> Rects:
    """Roads across the line, each on a bridge."""
    rng = draft.rng
    count = round(draft.number("bridges"))
    pieces = line[rng.integers(len(line), size=count)]
    width = rng.uniform(6, 26, count)
    return within(pieces, 0.0, 0.0, pieces[:, 3] + rng.uniform(150, 700, count), width, rng.uniform(1.0, 2.1, count))


def _draw_basins(draft: Draft, line: Rects, verge_m: float) -> Rects:
    """Ponds beside the verges."""
    rng = draft.rng
    count = round(draft.number("basins"))
    pieces = line[rng.integers(len(line), size=count)]
    long, wide = rng.uniform(18, 80, count), rng.uniform(12, 45, count)
    away = rng.choice([-1, 1], count) * (pieces[:, 3] / 2 + verge_m + wide / 2 + rng.uniform(0, 12, count))
    return within(pieces, 0.0, away, long, wide, rng.normal(0, 0.2, count))


def _pave_lanes(draft: Draft, motorway: Motorway, material: str) -> None:
    """Carriageways with shoulders, lanes of different wear, dashes between lanes, lines at the edges."""
    rng = draft.rng
    line = motorway.line
    tone = rng.uniform(0.8, 1.15)
    worn, fresh = rng.uniform(0, 0.08), rng.uniform(0.85, 1.15)
    white, line_m = rng.uniform(0.45, 1.0), rng.uniform(0.1, 0.25)  # paint wears off
    draft.add_area(line, material, tone=tone * fresh)
    for side in (-1, 1):
        for lane in range(motorway.lanes):
            across = side * (motorway.inner_m + (lane + 0.5) * _LANE_M)
            strip = within(line, 0.0, across, line[:, 2], _LANE_M)
            draft.add_area(strip, material, tone=tone * rng.normal(1.0, worn))
        for lane in range(motorway.lanes + 1):
            edge = lane in (0, motorway.lanes)
            across = side * (motorway.inner_m + lane * _LANE_M)
            length = line[:, 2] if edge else rng.uniform(3.0, 6.0)
            draft.add_area(within(line, 0.0, across, length, line_m), "paint", tone=white)


def _pave_strip(draft: Draft, motorway: Motorway) -> None:
    """What lies between the carriageways, and walls against noise beside them."""
    rng = draft.rng
    line = motorway.line
    if motorway.strip_m > 3:
        cover = str(rng.choice(["grass", "dry_grass", "soil", "concrete"]))
        draft.add_area(within(line, 0.0, 0.0, line[:, 2], motorway.strip_m), cover, rough=0.2)
    if rng.random() < 0.7:
        barrier = within(line, 0.0, 0.0, line[:, 2], 0.6)
        _add_wall(draft, barrier, 0.9, _GREY[0])
    if rng.random() < 0.2:
        side = rng.choice([-1, 1])
        wall = within(line, 0.0, side * (line[:, 3] / 2 + 2.0), line[:, 2], 0.5)
        draft.add_boxes(
            wall, rng.uniform(3.2, 5.0), vary(_GREY[int(rng.integers(4))], len(wall), rng, 0.03), "concrete"
        )


def _add_wall(draft: Draft, pieces: Rects, height_m: float, grey: tuple[int, int, int], on_roof: int = 0) -> None:
    colour = vary(grey, len(pieces), draft.rng, 0.03)
    draft.add_boxes(pieces, height_m, colour, "concrete", on_roof=on_roof)


def _add_traffic(draft: Draft, motorway: Motorway) -> None:
    """Cars and, on the outer lanes, lorries."""
    rng = draft.rng
    lanes = 2 * motorway.lanes
    piece, lane = repeat_runs(np.full(len(motorway.line), lanes))
    kept = rng.random(len(piece)) < draft.number("traffic")
    piece, lane = piece[kept], lane[kept]
    side, outward = np.where(lane < motorway.lanes, -1, 1), lane % motorway.lanes
    across = side * (motorway.inner_m + (outward + 0.5) * _LANE_M)
    cars = within(motorway.line[piece], rng.uniform(-4, 4, len(piece)), across, 4.4, 1.8)
    lorries = (outward >= motorway.lanes // 2) & (rng.random(len(piece)) < rng.uniform(0.05, 0.4))
    draft.add_cars(cars[~lorries])
    add_lorries(draft, cars[lorries], rng.uniform(8, 16), 3.6)


def _middle_part(road: Rects, width_m: float) -> Rects:
    """The middle of a road that crosses ground of some width, as a row of its own."""
    part = road[None].copy()
    part[:, 2] = np.minimum(part[:, 2], width_m * _MAX_OBLIQUE)
    return part


def _add_bridge(draft: Draft, pieces: Rects, height_m: float) -> None:
    """A deck on a chain of pieces, with parapets and a few cars."""
    rng = draft.rng
    colour = vary(_GREY[int(rng.integers(len(_GREY)))], 1, rng, 0.06)[0]
    draft.add_boxes(pieces, height_m, colour, "old_asphalt")
    for side in (-1, 1):
        parapet = within(pieces, 0.0, side * (pieces[:, 3] / 2 - 0.4), pieces[:, 2], 0.5)
        _add_wall(draft, parapet, 0.9, _GREY[0], on_roof=1)
    piece, slot = repeat_runs((pieces[:, 2] / _PIECE_M).astype(int))
    kept = rng.random(len(piece)) < rng.uniform(0, 0.5)
    piece, slot = piece[kept], slot[kept]
    along = (slot + 0.5) * _PIECE_M - pieces[piece, 2] / 2
    cars = within(pieces[piece], along, rng.choice([-1, 1], len(piece)) * pieces[piece, 3] / 4, 4.4, 1.8)
    draft.add_boxes(cars, 1.5, car_colours(len(cars), rng), "car", on_roof=1)
