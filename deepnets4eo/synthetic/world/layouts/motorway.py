"""Motorways: two carriageways of several lanes on a line through the site, with ramps, bridges over them and ponds.

`draw_motorway` takes the ground before anything is built; `pave_motorway` paints it after all else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.synthetic.world.layouts.blocks import repeat_runs
from deepnets4eo.synthetic.world.layouts.clearance import Rects, rect_rows, widen, within
from deepnets4eo.synthetic.world.layouts.draft import MARGIN_M, Draft
from deepnets4eo.synthetic.world.layouts.furnishings import add_lorries
from deepnets4eo.synthetic.world.layouts.palette import car_colours, vary
from deepnets4eo.synthetic.world.plan import ELLIPSE

_PIECE_M = 13.0  # of a line; in the lanes there is at most one car to a piece, and one dash
_LANE_M = 3.6
_GREY = ((178, 172, 160), (150, 146, 138), (122, 119, 114), (94, 93, 92))  # of bridges
_MOST_OBLIQUE = 1.2  # metres on a bridge to a metre across: roads cross at 57 degrees or more
_SURFACES = ("asphalt", "old_asphalt", "concrete")


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
    part[:, 2] = np.minimum(part[:, 2], width_m * _MOST_OBLIQUE)
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
