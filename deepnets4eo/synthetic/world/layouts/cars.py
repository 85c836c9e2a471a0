"""Cars along streets and on parking areas.

Takes pieces of carriageways or rectangles; adds boxes of cars, areas and painted lines to the draft.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.layouts.blocks import repeat_runs
from deepnets4eo.synthetic.world.layouts.clearance import Rects, within
from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.palette import car_colours, vary
from deepnets4eo.synthetic.world.plan import FLAT, MONO, SHEETS

_BAY_M, _BAY_DEPTH_M, _AISLE_M = 2.5, 5.0, 6.5
_LANE_M, _TWO_LANES_M, _DIVIDED_M = 3.5, 7.0, 24.0
_DISTANCE_M = 13.0  # between cars that drive


def add_street_cars(draft: Draft, pieces: Rects, share: float) -> None:
    """Add cars at both kerbs of carriageways (N, 5), which take `share` (0–1) of the room, and a few that drive."""
    rng = draft.rng
    slots = (pieces[:, 2] / 6.2).astype(int)
    piece, step = repeat_runs(np.tile(slots, 2))
    right = piece >= len(pieces)
    piece = piece % len(pieces)
    driving = rng.random(len(piece)) < 0.015
    kept = (rng.random(len(piece)) < share) & (pieces[piece, 3] > 4.5) | driving
    piece, step, right, driving = piece[kept], step[kept], right[kept], driving[kept]
    side = np.where(right, 1.0, -1.0)
    across = side * np.where(driving, pieces[piece, 3] / 4, pieces[piece, 3] / 2 - 1.1)
    u = (step + 0.5) * 6.2 - pieces[piece, 2] / 2 + rng.uniform(-0.7, 0.7, len(piece))
    draft.add_cars(within(pieces[piece], u, across, 4.4, 1.8, rng.normal(0, 0.03, len(piece))))


def add_traffic(draft: Draft, pieces: Rects, share: float) -> None:
    """Add lanes with cars and lorries (a `share` 0–1 of the room) to wide carriageways (N, 5), painted lines, and a
    strip in the middle of the widest."""
    rng = draft.rng
    wide = pieces[pieces[:, 3] >= _TWO_LANES_M * 2]
    lanes = (wide[:, 3] / _LANE_M).astype(int)
    piece, lane = repeat_runs(lanes)
    across = (lane + 0.5) * _LANE_M - lanes[piece] * _LANE_M / 2
    if rng.random() < 0.7:
        lines = within(wide[piece], 0.0, across + _LANE_M / 2, wide[piece, 2], 0.18)
        draft.add_area(lines[lane < lanes[piece] - 1], "paint", tone=rng.uniform(0.6, 1.0))
    divided = wide[wide[:, 3] > _DIVIDED_M]
    middle = within(divided, 0.0, 0.0, divided[:, 2], rng.uniform(1.0, 6.0))
    draft.add_area(middle, str(rng.choice(["grass", "dry_grass", "concrete"])))
    slots = np.maximum((wide[piece, 2] / _DISTANCE_M).astype(int), 1)
    row, step = repeat_runs(slots)
    kept = rng.random(len(row)) < share
    row, step = row[kept], step[kept]
    u = (step + rng.uniform(0.3, 0.7, len(row))) / slots[row] - 0.5
    cars = within(wide[piece[row]], u * wide[piece[row], 2], across[row], 4.4, 1.8)
    lorries = rng.random(len(row)) < 0.1
    draft.add_cars(cars[~lorries])
    add_lorries(draft, cars[lorries], 12.0, 3.4)


def add_lorries(draft: Draft, rects: Rects, length_m: float, height_m: float) -> None:
    """Add lorries of one size where the rectangles (N, 5) lie, whose own sizes do not count."""
    sized = rects.copy()
    sized[:, 2:4] = length_m, 2.5
    draft.add_boxes(sized, height_m, car_colours(len(rects), draft.rng), "car")


def add_parking(draft: Draft, rects: Rects, fill: float, *, material: str = "asphalt") -> None:
    """Add parking areas (N, 5) with rows of bays along the length, lines and cars in a share `fill` of the bays, and
    take their ground."""
    rng = draft.rng
    rects = rects[(rects[:, 2] > 6) & (rects[:, 3] > 5)]
    draft.add_area(rects, material, tone=rng.uniform(0.85, 1.15))
    draft.take(rects)
    module = 2 * _BAY_DEPTH_M + _AISLE_M
    rows = np.maximum(1, ((rects[:, 3] + _AISLE_M) / module * 2).astype(int))
    area, row = repeat_runs(rows)
    # pairs of rows stand back to back, an aisle between pairs
    v = (row // 2) * module + np.where(row % 2 == 0, _BAY_DEPTH_M / 2, _BAY_DEPTH_M * 1.5 + _AISLE_M)
    v = v - rects[area, 3] / 2
    kept = v + _BAY_DEPTH_M / 2 <= rects[area, 3] / 2 + 0.3
    area, v = area[kept], v[kept]
    bays = (rects[area, 2] / _BAY_M).astype(int)
    line, step = repeat_runs(bays)
    u = (step + 0.5) * _BAY_M - bays[line] * _BAY_M / 2
    if rng.random() < 0.6:
        lines = within(rects[area[line]], u + _BAY_M / 2, v[line], _BAY_DEPTH_M - 0.4, 0.14, np.pi / 2)
        draft.add_area(lines, "paint", tone=rng.uniform(0.7, 1.0))
    if rng.random() < 0.25:
        _add_canopies(draft, rects[area], v, bays * _BAY_M)
    full = rng.random(len(line)) < fill
    turn = np.pi / 2 + rng.normal(0, 0.03, int(full.sum()))
    draft.add_cars(within(rects[area[line[full]]], u[full], v[line[full]], 4.4, 1.8, turn))


def _add_canopies(draft: Draft, rects: Rects, v: NDArray[np.float64], length: NDArray[np.float64]) -> None:
    """Long carports over some rows of bays, which are no buildings."""
    rng = draft.rng
    rows = np.flatnonzero(rng.random(len(v)) < rng.uniform(0.3, 1.0))
    share = rng.uniform(0.4, 1.0, len(rows))
    u = rng.choice([-0.5, 0.5], len(rows)) * (1 - share) * length[rows]
    roofs = within(rects[rows], u, v[rows], share * length[rows], _BAY_DEPTH_M)
    tone = [(226, 228, 226), (186, 190, 190), (150, 176, 186), (164, 140, 118), (44, 52, 72)][int(rng.integers(5))]
    colour = vary(tone, len(rows), rng, 0.04)
    draft.add_structures(roofs, 2.6, kind=rng.choice([FLAT, MONO]), rise=0.08, surface=SHEETS, colour=colour)


def add_containers(draft: Draft, rects: Rects, fill: float) -> None:
    """Add rows of containers and lorries to yards (N, 5); they take a share `fill` of the room."""
    rng = draft.rng
    across = (rects[:, 3] / 3.2).astype(int)
    yard, row = repeat_runs(across)
    along = (rects[yard, 2] / 13.5).astype(int)
    line, step = repeat_runs(along)
    full = rng.random(len(line)) < fill
    line, step = line[full], step[full]
    yard, row = yard[line], row[line]
    u = (step + 0.5) * 13.5 - rects[yard, 2] / 2
    v = (row + 0.5) * 3.2 - rects[yard, 3] / 2
    n = len(yard)
    length = np.where(rng.random(n) < 0.6, 12.2, 6.1)
    tones = np.array([[176, 84, 60], [70, 96, 140], [196, 196, 190], [86, 120, 96], [206, 160, 70], [128, 62, 52]])
    colour = vary(np.array(tones)[rng.integers(0, len(tones), n)], n, rng)
    stacked = rng.choice([2.6, 5.2, 3.8], n, p=[0.6, 0.15, 0.25])
    draft.add_boxes(within(rects[yard], u, v, length, 2.45, rng.normal(0, 0.02, n)), stacked, colour)
