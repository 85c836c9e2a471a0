"""What stands between houses: blocks without any (parks, schools, parking, squares, empty plots), and the small things of a site.

A share of a town's blocks becomes an amenity; the layout builds on the others. Cars along streets and on parking, things on roofs
and in gardens take pieces of carriageways, roofs, lots or other rectangles and add boxes, areas, roofs and painted lines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from world.layouts.clearance import Rects, rect_rows, within
from world.layouts.draft import Draft, Town, repeat_runs
from world.layouts.tables import add_infrared, car_colours, vary
from world.plan import (
    CROP_ROWS,
    ELLIPSE,
    FLAT,
    GABLE,
    MONO,
    PAVING_JOINTS,
    PLAIN,
    RECTANGLE,
    SHEETS,
)


def split_amenities(draft: Draft, town: Town) -> Rects:
    """Turn some blocks into amenities and return the others (N, 5), not yet bent. The style has their share (`amenity`)
    and the shares of the kinds (`amenity_kinds`)."""
    rng = draft.rng
    blocks = town.blocks
    chosen_rows = rng.random(len(blocks)) < draft.number("amenities")
    shares = draft.style.numbers["amenity_kinds"]
    names = list(shares)
    weights = np.array([shares[name] for name in names], float)
    for block in town.bend.move(blocks[chosen_rows]):
        _DRAW[str(rng.choice(names, p=weights / weights.sum()))](draft, block[None])
    return blocks[~chosen_rows]


def _park(draft: Draft, block: Rects) -> None:
    rng = draft.rng
    draft.add_area(_inner(block, 1.0), str(rng.choice(["grass", "dry_grass"])), tone=rng.uniform(0.85, 1.15))
    length, width = float(block[0, 2]), float(block[0, 3])
    path = str(rng.choice(["gravel", "soil", "concrete"]))
    draft.add_area(within(block, 0, 0, np.hypot(length, width) * 0.95, 2.0, np.arctan2(width, length)), path)
    draft.add_area(within(block, 0, rng.uniform(-0.2, 0.2) * width, length, 1.8), path)
    if rng.random() < 0.4:
        draft.add_area(
            within(block, 0.2 * length, 0.1 * width, 0.25 * length, 0.3 * width), "water", shape=ELLIPSE, rough=0.3
        )


def _sports(draft: Draft, block: Rects) -> None:
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    field_l, field_w = min(length - 8, rng.uniform(60, 105)), min(width - 8, rng.uniform(36, 66))
    if min(field_l, field_w) < 15:
        _park(draft, block)
        return
    surface = str(rng.choice(["grass", "soil", "dry_grass"]))
    if rng.random() < 0.4 and field_w > 36:
        track = within(block, 0, 0, field_l + 4, field_w + 4)
        draft.add_area(track, "soil", shape=ELLIPSE, tone=1.0)
        draft.add_area(within(block, 0, 0, field_l - 10, field_w - 10), surface, shape=ELLIPSE)
        field_l, field_w = 0.66 * field_l, 0.6 * field_w
    draft.add_area(within(block, 0, 0, field_l, field_w), surface, tone=rng.uniform(0.95, 1.2))
    lines = [(0.0, side * field_w / 2, field_l, 0.15, 0.0) for side in (-0.94, 0.94)]
    lines += [(end * field_l / 2, 0, field_w * 0.94, 0.15, np.pi / 2) for end in (-0.96, 0, 0.96)]
    for u, v, long, wide, angle in lines:
        draft.add_area(within(block, u, v, long, wide, angle), "paint")
    draft.add_area(within(block, 0, 0, 12, 12), "paint", shape=ELLIPSE, tone=0.8)
    draft.add_area(within(block, 0, 0, 11.4, 11.4), surface, shape=ELLIPSE)


def _school(draft: Draft, block: Rects) -> None:
    """A building of two or three wings around a yard, with courts and a lawn."""
    rng = draft.rng
    length, width = float(block[0, 2]) - 8, float(block[0, 3]) - 8
    if min(length, width) < 28:
        _square(draft, block)
        return
    depth = rng.uniform(9, 15)
    long = min(length, rng.uniform(35, 75))
    short = min(width, rng.uniform(25, 55))
    v = -width / 2 + depth / 2
    parts = [within(block, 0, v, long, depth)]
    for side in (-1, 1)[: int(rng.integers(1, 3))]:
        parts.append(within(block, side * (long - depth) / 2, v - depth / 2 + short / 2, short, depth, np.pi / 2))
    looks = draft.palette.draw(1, rng)
    looks.kind[:] = FLAT if rng.random() < 0.5 else looks.kind
    rects = np.concatenate(parts)
    owner = np.zeros(len(rects), int)
    draft.add_area(_inner(block, 2.0), str(rng.choice(["concrete", "soil", "grass"])))
    if draft.take_free(rects, owner)[0]:
        draft.add_buildings(rects, owner, rng.uniform(3.5, 11), looks, parapet_m=0.5 * (looks.kind[0] == FLAT))
    court = within(block, 0, v + depth + 9, min(28.0, long - 2 * depth - 2), 15)
    if court[0, 2] > 12:
        _court(draft, court)


def _court(draft: Draft, rects: Rects) -> None:
    """Courts in green, blue or red, with white lines."""
    rng = draft.rng
    tones = {"concrete": 0.8, "old_asphalt": 0.9, "soil": 1.0, "tarp": 0.9}
    material = str(rng.choice(["concrete", "soil", "pool"]))
    draft.add_area(rects, material, tone=tones.get(material, 0.75))
    inner = rects.copy()
    inner[:, 2:4] -= 2.0
    for side in (-1, 0, 1):
        draft.add_area(within(inner, side * inner[:, 2] / 2, 0, inner[:, 3], 0.12, np.pi / 2), "paint")


def _parking(draft: Draft, block: Rects) -> None:
    add_parking(draft, _inner(block, 3.0), draft.rng.uniform(0.05, 0.95))


def _square(draft: Draft, block: Rects) -> None:
    """A paved square with stalls, a fountain, or neither."""
    rng = draft.rng
    material = str(rng.choice(["concrete", "gravel"]))
    draft.add_area(block, material, pattern=PAVING_JOINTS, period_m=rng.uniform(2, 8), strength=rng.uniform(0, 0.5))
    draft.take(_inner(block, 1.0))
    n = int(rng.integers(0, 40))
    stalls = within(
        np.repeat(block, n, axis=0), rng.uniform(-0.45, 0.45, n) * block[0, 2],
        (rng.integers(0, 5, n) / 4 - 0.5) * 0.8 * block[0, 3], rng.uniform(2, 4, n), rng.uniform(2, 3, n),
    )  # fmt: skip
    tones = np.array([[190, 60, 50], [60, 90, 170], [220, 216, 205], [70, 130, 90], [210, 170, 70]])
    colour = vary(np.array(tones)[rng.integers(0, len(tones), n)], n, rng)
    draft.add_boxes(stalls, 2.4, colour, "wood")
    if rng.random() < 0.5:
        draft.add_area(within(block, 0, 0, 9, 9), "pool", shape=ELLIPSE, tone=0.7)


def _construction(draft: Draft, block: Rects) -> None:
    """Bare earth, a pit or a slab, heaps, containers; no building yet."""
    rng = draft.rng
    draft.add_area(_inner(block, 1.5), "soil", rough=0.4, tone=rng.uniform(0.9, 1.2))
    length, width = float(block[0, 2]), float(block[0, 3])
    slab = within(block, 0.1 * length, 0, rng.uniform(0.3, 0.6) * length, rng.uniform(0.3, 0.6) * width)
    draft.add_area(slab, str(rng.choice(["concrete", "mud"])), tone=rng.uniform(0.8, 1.1))
    n = int(rng.integers(4, 30))
    rows = np.repeat(block, n, axis=0)
    where = rng.uniform(-0.45, 0.45, (2, n))
    sizes = rng.uniform(0.8, 6.0, (2, n))
    rects = within(rows, where[0] * length, where[1] * width, sizes[0], sizes[1], rng.uniform(0, 3.1, n))
    draft.add_boxes(rects, rng.uniform(0.5, 2.6, n), vary((150, 132, 108), n, rng, 0.25), "rubble")


def _empty(draft: Draft, block: Rects) -> None:
    rng = draft.rng
    draft.add_area(_inner(block, 0.5), str(rng.choice(["soil", "dry_grass", "grass", "gravel"])), rough=0.5)
    trodden = within(block, 0, 0, np.hypot(block[0, 2], block[0, 3]), 1.5, rng.uniform(0, 3.1))
    draft.add_area(trodden, "soil", rough=0.5, tone=1.1)


def _allotments(draft: Draft, block: Rects) -> None:
    """Vegetable plots with beds, and greenhouses that are no buildings."""
    rng = draft.rng
    n = int(block[0, 2] / 9)
    u = (np.arange(n) + 0.5) * block[0, 2] / max(n, 1) - block[0, 2] / 2
    rows = np.repeat(block, n, axis=0)
    material = str(rng.choice(["soil", "grass"]))
    plots = within(rows, u, 0, 7.5, block[0, 3] - 4)
    draft.add_area(
        plots, material, pattern=CROP_ROWS, period_m=rng.uniform(0.8, 2), strength=0.5, tone=rng.uniform(0.8, 1.2, n)
    )
    covered = rng.random(n) < 0.4
    length = rng.uniform(0.15, 0.6, n) * block[0, 3]
    houses = within(rows, u, rng.uniform(-0.15, 0.15, n) * block[0, 3], length, rng.uniform(2.2, 5.5), np.pi / 2)
    add_greenhouses(draft, houses[covered])


def _inner(block: Rects, rim_m: float) -> Rects:
    size = np.maximum(block[:, 2:4] - 2 * rim_m, 1.0)
    return rect_rows(block[:, 0], block[:, 1], size[:, 0], size[:, 1], block[:, 4])


_DRAW: dict[str, Callable[[Draft, Rects], None]] = {
    "park": _park,
    "sports": _sports,
    "school": _school,
    "parking": _parking,
    "square": _square,
    "construction": _construction,
    "empty": _empty,
    "allotments": _allotments,
}


_SHED_TONES = ((118, 96, 78), (150, 150, 148), (92, 92, 90), (176, 172, 164), (128, 74, 56), (92, 116, 100))

# length, width and height from–to in metres, and colours
_THINGS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], list[tuple[int, int, int]]]] = {
    "tank": ((0.9, 1.7), (0.9, 1.7), (1.0, 1.8), [(40, 40, 42), (216, 216, 212), (170, 172, 174), (84, 112, 150)]),
    "conditioner": ((0.8, 1.8), (0.5, 1.2), (0.6, 1.1), [(196, 196, 192), (150, 150, 148)]),
    "laundry": ((2.0, 6.0), (0.3, 0.9), (1.2, 1.8), [(214, 210, 206), (150, 66, 70), (76, 96, 150), (190, 160, 90)]),
    "dish": ((0.7, 1.2), (0.7, 1.2), (0.8, 1.2), [(208, 206, 200)]),
    "clutter": ((0.5, 3.0), (0.4, 1.6), (0.3, 1.0), [(120, 104, 86), (90, 84, 80), (160, 146, 124), (128, 80, 60)]),
    "heater": ((1.6, 2.2), (1.0, 1.6), (0.6, 1.0), [(38, 44, 58)]),
    "canopy": ((2.5, 5.0), (2.0, 4.0), (2.1, 2.5), [(150, 96, 72), (84, 112, 150), (172, 172, 168), (120, 140, 116)]),
    "chimney": ((0.8, 2.2), (0.6, 1.2), (0.8, 2.2), [(138, 100, 84), (176, 150, 126), (196, 190, 180)]),
    "window": ((0.9, 1.4), (0.8, 1.2), (0.1, 0.3), [(60, 66, 76), (120, 130, 142)]),
    "vent": ((0.5, 2.5), (0.5, 2.0), (0.4, 1.6), [(170, 170, 168), (128, 128, 128), (210, 210, 206)]),
}

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


def add_roof_things(draft: Draft, roofs: Rects, shares: dict[str, float], per_100_m2: float) -> None:
    """Add `per_100_m2` things to roofs (N, 5), parallel to their edges, by the shares of their kinds: tank,
    conditioner, laundry, dish, clutter, heater, canopy, chimney, window, vent."""
    rng = draft.rng
    counts = rng.poisson(np.minimum(roofs[:, 2] * roofs[:, 3] / 100 * per_100_m2, 60))
    roof, _ = repeat_runs(counts)
    names = list(shares)
    weights = np.array([shares[name] for name in names], float)
    kind = rng.choice(len(names), len(roof), p=weights / weights.sum())
    base = roofs[roof]
    n = len(roof)
    low, high = (np.array([[_THINGS[name][axis][end] for axis in range(3)] for name in names])[kind] for end in (0, 1))
    size = rng.uniform(low, high) if n else np.zeros((0, 3))
    size[:, :2] = np.minimum(size[:, :2], base[:, 2:4] * 0.45)
    where = rng.uniform(-0.5, 0.5, (n, 2)) * np.maximum(base[:, 2:4] - size[:, :2].max(axis=1, keepdims=True) - 0.8, 0)
    tones = np.array([_THINGS[name][3][rng.integers(len(_THINGS[name][3]))] for name in names], float)
    own = np.array(
        [_THINGS[names[k]][3][j % len(_THINGS[names[k]][3])] for k, j in zip(kind, rng.integers(0, 9, n), strict=True)]
    )
    # half of the things have the usual colour of the site
    colour = np.where(rng.random((n, 1)) < 0.5, tones[kind], own.reshape(n, 3)) * rng.uniform(0.85, 1.12, (n, 1))
    turn = np.where(rng.random(n) < 0.5, np.pi / 2, 0.0)
    rects = within(base, where[:, 0], where[:, 1], size[:, 0], size[:, 1], turn)
    draft.add_boxes(rects, size[:, 2], add_infrared(colour), on_roof=1)


def add_columns(draft: Draft, roofs: Rects) -> None:
    """Add the stubs of columns to roofs (N, 5) on which a storey may follow."""
    rng = draft.rng
    along, across = (np.maximum(2, np.round(roofs[:, axis] / 4.0)).astype(int) for axis in (2, 3))
    roof, k = repeat_runs(along * across)
    i, j = k // across[roof], k % across[roof]
    u = (i / (along[roof] - 1) - 0.5) * (roofs[roof, 2] - 0.8)
    v = (j / (across[roof] - 1) - 0.5) * (roofs[roof, 3] - 0.8)
    height = rng.uniform(0.6, 2.8, len(roofs))[roof]
    draft.add_boxes(within(roofs[roof], u, v, 0.4, 0.4), height, vary((150, 142, 130), len(roof), rng), on_roof=1)


def add_skylights(draft: Draft, roofs: Rects, axis_v: NDArray[np.float64]) -> None:
    """Add one row of skylights to each hall roof (N, 5), along its length at `axis_v` metres across it; translucent,
    paler or darker than the roof."""
    rng = draft.rng
    pitch = rng.uniform(5.0, 14.0)
    length = rng.uniform(0.25, 0.95) * pitch
    counts = np.maximum(((roofs[:, 2] - 4) / pitch).astype(int), 0)
    roof, k = repeat_runs(counts)
    u = (k + 0.5) * pitch - counts[roof] * pitch / 2
    tone = (206, 212, 208) if rng.random() < 0.65 else (84, 92, 100)
    colour = vary(tone, len(roof), rng, 0.06)
    draft.add_boxes(within(roofs[roof], u, axis_v[roof], length, rng.uniform(1.0, 2.4)), 0.25, colour, on_roof=1)


def add_panels(draft: Draft, roofs: Rects, share: float) -> None:
    """Add rows of solar panels to flat roofs (N, 5); each row takes `share` (0–1) of the length of the roof."""
    pitch = draft.rng.uniform(2.2, 3.5)
    counts = np.maximum(((roofs[:, 3] - 2.5) / pitch).astype(int), 0)
    roof, k = repeat_runs(counts)
    v = (k + 0.5) * pitch - counts[roof] * pitch / 2
    rows = within(roofs[roof], 0.0, v, np.maximum((roofs[roof, 2] - 2.0) * share, 1.0), 1.6)
    draft.add_boxes(rows, 0.5, vary((40, 48, 70), len(rows), draft.rng, 0.06), on_roof=1)


def add_garden_things(draft: Draft, lots: Rects, back: NDArray[np.float64]) -> None:
    """Add garages, sheds, pools and beds behind houses by the shares of the style. Lots (N, 5) have their v axis to the
    street; `back` (N,) is the v in metres of the wall to the garden."""
    rng = draft.rng
    n = len(lots)
    room = back + lots[:, 3] / 2  # from the wall to the rear fence
    side = rng.choice([-1.0, 1.0], n)
    length, width = rng.uniform(5.2, 8.0, n), rng.uniform(3.2, 6.5, n)
    garages = within(lots, side * (lots[:, 2] / 2 - width / 2 - 0.6), back - 1.2 - length / 2, length, width, np.pi / 2)
    _add_garages(draft, garages[(rng.random(n) < draft.number("garages")) & (room > length + 1.5)])
    rear = -lots[:, 3] / 2
    sizes = rng.uniform(1.8, 3.4, (2, n))
    sheds = within(lots, -side * (lots[:, 2] / 2 - sizes[0] / 2 - 0.5), rear + sizes[1] / 2 + 0.5, *sizes)
    add_sheds(draft, sheds[(rng.random(n) < draft.number("sheds")) & (room > 6)])
    pools = within(lots, rng.uniform(-0.2, 0.2, n) * lots[:, 2], back - rng.uniform(0.45, 0.65, n) * room, 8.0, 4.0)
    add_pools(draft, pools[(rng.random(n) < draft.number("pools")) & (room > 9)])
    beds = within(
        lots, rng.uniform(-0.3, 0.3, n) * lots[:, 2], back - 0.75 * room, rng.uniform(2, 7, n), rng.uniform(1.5, 5, n)
    )
    dug = (rng.random(n) < 0.25) & (room > 7)
    draft.add_area(beds[dug], str(rng.choice(["soil", "gravel", "dry_grass"])), rough=0.5, tone=rng.uniform(0.8, 1.1))


def _add_garages(draft: Draft, rects: Rects) -> None:
    stays = draft.take_free(rects, np.arange(len(rects)))
    looks = draft.palette.draw(int(stays.sum()), draft.rng)
    looks.kind[draft.rng.random(len(looks.kind)) < 0.3] = FLAT
    draft.add_buildings(rects[stays], np.arange(int(stays.sum())), draft.rng.uniform(2.3, 2.9), looks)


def add_sheds(draft: Draft, rects: Rects) -> None:
    """Add small sheds of wood or sheet at rectangles (N, 5), which no responder maps."""
    rng = draft.rng
    rects = rects[draft.take_free(rects, np.arange(len(rects)))]
    n = len(rects)
    colour = vary(np.array(_SHED_TONES)[rng.integers(0, len(_SHED_TONES), n)], n, rng)
    kind = rng.choice([GABLE, MONO, FLAT], n)
    draft.add_structures(rects, rng.uniform(1.9, 2.4, n), rise=0.35, kind=kind, surface=SHEETS, colour=colour)


def add_pools(draft: Draft, rects: Rects) -> None:
    """Add pools with paved rims at rectangles (N, 5); their sizes are drawn."""
    rng = draft.rng
    n = len(rects)
    pools = rects.copy()
    pools[:, 2], pools[:, 3] = rng.uniform(4.5, 11.0, n), rng.uniform(3.0, 5.5, n)
    shape = np.where(rng.random(n) < 0.3, ELLIPSE, RECTANGLE)
    rims = pools.copy()
    rims[:, 2:4] += rng.uniform(1.5, 5.0, (n, 1))
    free = draft.take_free(pools, np.arange(n))
    draft.add_area(rims[free], "concrete", shape=RECTANGLE, tone=rng.uniform(0.9, 1.1, int(free.sum())))
    draft.add_area(pools[free], "pool", shape=shape[free], tone=rng.uniform(0.75, 1.15, int(free.sum())))


def add_greenhouses(draft: Draft, rects: Rects) -> None:
    """Add greenhouses of glass or film at rectangles (N, 5), which are no buildings."""
    rng = draft.rng
    rects = rects[draft.take_free(rects, np.arange(len(rects)))]
    n = len(rects)
    colour = vary((206, 214, 212), n, rng, 0.08) if rng.random() < 0.6 else vary((150, 168, 160), n, rng, 0.08)
    draft.add_structures(rects, rng.uniform(2.0, 3.5), rise=0.4, kind=GABLE, surface=PLAIN, colour=colour)


def add_fences(draft: Draft, lots: Rects, height_m: float | None = None) -> None:
    """Add fences, hedges or walls on one long and the rear border of most lots (N, 5), whose v axis points to the
    street. `height_m` makes walls; without it fences or hedges of drawn height."""
    rng = draft.rng
    n = len(lots)
    side = within(lots, lots[:, 2] / 2, -0.1 * lots[:, 3], 0.8 * lots[:, 3], 0.25, np.pi / 2)
    rear = within(lots, 0.0, -lots[:, 3] / 2, lots[:, 2], 0.25)
    borders = np.concatenate([side[rng.random(n) < 0.85], rear[rng.random(n) < 0.85]])
    if height_m is None and rng.random() < 0.4:
        borders[:, 3] = rng.uniform(0.6, 1.4)
        colour, height, material = vary((62, 80, 52), len(borders), rng), rng.uniform(1.0, 2.2), "shrub"
        colour[:, 3] = 150
    else:
        tone = (120, 104, 88) if height_m is None else (176, 162, 140)
        colour, height, material = vary(tone, len(borders), rng), height_m or rng.uniform(1.0, 1.9), "wood"
    draft.add_boxes(borders, height, colour, material)
