"""Blocks without houses: parks, sports fields, schools, parking, squares, construction sites, empty plots.

A share of a town's blocks becomes one of these; the layout builds on the others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepnets4eo.synthetic.world.layouts.blocks import Town
from deepnets4eo.synthetic.world.layouts.clearance import Rects, rect_rows, within
from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.furnishings import add_greenhouses, add_parking
from deepnets4eo.synthetic.world.layouts.palette import vary
from deepnets4eo.synthetic.world.plan import CROP_ROWS, ELLIPSE, FLAT, PAVING_JOINTS


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
