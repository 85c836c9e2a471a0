"""Large buildings among lawns, courts, parking and garages: slabs, towers and wings of housing, schools, hospitals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from world.layouts.clearance import Rects, rect_rows, within
from world.layouts.draft import Draft, draw_town, pave_streets
from world.layouts.furnishings import (
    add_panels,
    add_parking,
    add_roof_things,
    add_street_cars,
    split_amenities,
)
from world.layouts.tables import Looks
from world.plan import FLAT, STAINED, Plan
from world.style import WorldStyle

_LIFT_STOREYS = 3  # lower buildings have no lift, whose head would stand on the roof
_THINGS = {"vent": 4.0, "conditioner": 2.0, "dish": 0.3, "tank": 0.5, "clutter": 0.5}
_Group = tuple[Rects, NDArray[np.intp]]


def lay_out_towers(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out blocks of large buildings with the numbers of `styles/high-rise.yaml` or `campus.yaml` over (width,
    height) metres, the frame at any angle."""
    draft = Draft(style, extent_m, rng)
    town = draw_town(draft)
    pieces = pave_streets(draft, town, str(rng.choice(["asphalt", "old_asphalt"])), verge="concrete")
    add_street_cars(draft, pieces, draft.number("street_cars"))
    blocks = town.bend.move(split_amenities(draft, town))
    shares = draft.style.numbers["groups"]
    names = list(shares)
    weights = np.array([shares[name] for name in names], float)
    weights = rng.dirichlet(weights * rng.uniform(0.5, 3.0) + 1e-3)
    for block in blocks:
        _build_block(draft, block[None], _GROUPS[str(rng.choice(names, p=weights))])
    return draft.to_plan()


def _build_block(draft: Draft, block: Rects, group: Callable[[Draft, Rects], _Group]) -> None:
    rng = draft.rng
    inner = rect_rows(block[:, 0], block[:, 1], block[:, 2] - 8, block[:, 3] - 8, block[:, 4])
    draft.add_area(
        inner, str(rng.choice(["grass", "dry_grass", "concrete", "soil"], p=[0.5, 0.15, 0.2, 0.15])), rough=0.1
    )
    parts, owner = group(draft, inner)
    stays = draft.take_free(parts, owner) if len(parts) else np.zeros(0, bool)
    if stays.any():
        kept = stays[owner]
        _add_towers(draft, parts[kept], (np.cumsum(stays) - 1)[owner[kept]])
    _add_between(draft, inner)


def _add_towers(draft: Draft, parts: Rects, owner: NDArray[np.intp]) -> None:
    rng = draft.rng
    n = int(owner.max()) + 1
    first = np.concatenate([[True], np.diff(owner) > 0])
    typical = draft.number("storeys")
    fewest = min(3, draft.style.numbers["storeys"][0])
    storeys = np.clip(np.round(typical * rng.normal(1.0, rng.choice([0.0, 0.25]), n)), fewest, 22)
    size = parts[first][:, 2:4].min(axis=1)
    eave = storeys * rng.uniform(2.7, 3.2) + 1.0
    eave = np.where(size < 9.0, np.minimum(eave, 12.0), eave)
    looks = draft.palette.draw(1, rng).take(np.zeros(n, int)) if rng.random() < 0.6 else draft.palette.draw(n, rng)
    part_looks = looks.take(owner)
    heads, base = _heads(draft, parts)
    tall = storeys[owner[base]] >= _LIFT_STOREYS
    heads, base = heads[tall], base[tall]
    every = np.concatenate([parts, heads])
    names = ("kind", "surface", "construction", "rise", "relief", "colour")
    extra = part_looks.take(base)
    extra.kind[:], extra.surface[:] = FLAT, STAINED
    extra.colour[:] *= rng.uniform(0.85, 1.15, (len(base), 1)).astype(np.float32)
    both = Looks(*(np.concatenate([getattr(part_looks, name), getattr(extra, name)]) for name in names))
    eaves = np.concatenate([eave[owner], eave[owner[base]] + rng.uniform(2.2, 4.0, len(base))])
    parapet = np.where(both.kind == FLAT, draft.number("parapet_m"), 0.0)
    parapet[len(parts) :] = 0.0
    draft.add_buildings(every, np.concatenate([owner, owner[base]]), eaves, both, parapet_m=parapet, storey_m=2.95)
    is_flat = part_looks.kind == FLAT
    flat = parts[is_flat]
    add_roof_things(draft, flat, _THINGS, draft.number("roof_things"))
    if "chimneys" in draft.style.numbers:
        add_roof_things(draft, parts[~is_flat], {"chimney": 1.0, "window": 2.0}, draft.number("chimneys"))
    if rng.random() < 0.12:
        add_panels(draft, flat, rng.uniform(0.4, 0.9))


def _heads(draft: Draft, parts: Rects) -> tuple[Rects, NDArray[np.intp]]:
    """Lift and stair heads on the roofs, one each 20–25 m, and the part below each."""
    rng = draft.rng
    counts = np.maximum(np.round(parts[:, 2] / rng.uniform(18, 28)), 1).astype(int)
    base = np.repeat(np.arange(len(parts)), counts)
    step = np.arange(len(base)) - np.repeat(np.cumsum(counts) - counts, counts)
    u = ((step + 0.5) / counts[base] - 0.5) * parts[base, 2]
    size = np.minimum(rng.uniform(3.0, 6.5, (2, len(base))), 0.5 * parts[base, 2:4].T)
    return within(parts[base], u, rng.uniform(-0.1, 0.1, len(base)) * parts[base, 3], size[0], size[1]), base


def _slabs(draft: Draft, block: Rects) -> _Group:
    """Parallel slabs along or across the block."""
    rng = draft.rng
    across = rng.random() < 0.5
    run, depth = (block[0, 3], block[0, 2]) if across else (block[0, 2], block[0, 3])
    thick, gap = rng.uniform(9.5, 16), rng.uniform(16, 38)
    count = max(1, int((depth + gap) / (thick + gap)))
    v = (np.arange(count) - (count - 1) / 2) * (thick + gap)
    length = np.minimum(rng.uniform(30, 110, count), run)
    cuts = rng.random() < 0.4
    turn = np.pi / 2 if across else 0.0
    frame = np.repeat(within(block, 0.0, 0.0, 1.0, 1.0, turn), count, axis=0)
    u = rng.uniform(-0.5, 0.5, count) * (run - length)
    slabs = within(frame, u, v, length, thick)
    if not cuts:
        return slabs, np.arange(count)
    halves = [within(slabs, side * (length / 4 + 0.5), side * 1.5, length / 2 - 1, thick) for side in (-1, 1)]
    return np.concatenate(halves), np.arange(2 * count)


def _points(draft: Draft, block: Rects) -> _Group:
    """Towers on a loose grid; some are crosses of two parts."""
    rng = draft.rng
    size, gap = rng.uniform(14, 30), rng.uniform(18, 45)
    counts = [max(1, int((float(block[0, axis]) + gap) / (size + gap))) for axis in (2, 3)]
    i, j = (one.ravel() for one in np.meshgrid(np.arange(counts[0]), np.arange(counts[1])))
    u = (i - (counts[0] - 1) / 2) * (size + gap) + rng.uniform(-0.2, 0.2, len(i)) * gap
    v = (j - (counts[1] - 1) / 2) * (size + gap) + rng.uniform(-0.2, 0.2, len(i)) * gap
    frame = np.repeat(block, len(i), axis=0)
    turn = rng.choice([0.0, np.pi / 4, 0.3])
    aspect = rng.uniform(0.7, 1.0)
    if rng.random() < 0.5:
        return within(frame, u, v, size, size * aspect, turn), np.arange(len(i))
    arms = [within(frame, u, v, size, size * 0.5, turn + side) for side in (0.0, np.pi / 2)]
    parts = np.stack(arms, axis=1).reshape(-1, 5)
    return parts, np.repeat(np.arange(len(i)), 2)


def _perimeter(draft: Draft, block: Rects) -> _Group:
    """Four long wings around a court, open at corners or closed; each wing is a building."""
    rng = draft.rng
    thick = rng.uniform(10, 16)
    length, width = float(block[0, 2]), float(block[0, 3])
    gap = rng.choice([0.0, rng.uniform(4, 14)])
    short = max(width - 2 * (thick + gap), 4.0)
    parts = [
        within(block, 0.0, (width - thick) / 2, length, thick),
        within(block, 0.0, -(width - thick) / 2, length, thick),
        within(block, (length - thick) / 2, 0.0, short, thick, np.pi / 2),
        within(block, -(length - thick) / 2, 0.0, short, thick, np.pi / 2),
    ]
    chosen_parts = np.concatenate(parts)[: int(rng.integers(2, 5))]
    return chosen_parts, np.arange(len(chosen_parts)) if rng.random() < 0.6 or gap > 0 else np.zeros(
        len(chosen_parts), int
    )


def _wings(draft: Draft, block: Rects) -> _Group:
    """One building of long wings: a bar, an L, a U, an H or a comb."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    thick = rng.uniform(9.0, 20.0)
    long = length * rng.uniform(0.6, 1.0)
    short = max((width - thick) * rng.uniform(0.4, 0.9), thick)
    edge = rng.uniform(-0.5, 0.5) * max(width - thick - short, 0.0)
    off = (thick + short) / 2
    sides: tuple[list[float], ...] = (
        [],
        [1.0],
        [-1.0, 1.0],
        [-1.0, 0.0, 1.0],
        list(np.linspace(-1, 1, max(2, int(long / (3 * thick))))),
    )
    chosen = sides[int(rng.integers(len(sides)))]
    both_ways = rng.random() < 0.25  # an H, or a cross
    parts = [within(block, 0.0, edge - short / 2, long, thick)]
    for side in chosen:
        u = side * (long - thick) / 2
        parts.append(within(block, u, edge - short / 2 + off, short, thick * rng.uniform(0.8, 1.0), np.pi / 2))
        if both_ways:
            parts.append(within(block, u, edge - short / 2 - off, short, thick, np.pi / 2))
    rects = np.concatenate(parts)
    return rects, np.zeros(len(rects), int)


def _podium(draft: Draft, block: Rects) -> _Group:
    """A low hall with shops, a tower beside it."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    hall = rng.uniform(0.35, 0.55)
    parts = [
        within(block, -(1 - hall) / 2 * length, 0.0, hall * length, 0.85 * width),
        within(block, 0.28 * length, 0.1 * width, min(30.0, 0.3 * length), min(24.0, 0.4 * width)),
    ]
    return np.concatenate(parts), np.arange(2)


_GROUPS: dict[str, Callable[[Draft, Rects], _Group]] = {
    "slabs": _slabs,
    "points": _points,
    "perimeter": _perimeter,
    "podium": _podium,
    "wings": _wings,
}


def _add_between(draft: Draft, block: Rects) -> None:
    """Parking, rows of garages, paths and play grounds where there is room."""
    rng = draft.rng
    length, width = float(block[0, 2]), float(block[0, 3])
    for _ in range(int(rng.integers(1, 5))):
        spot = rng.uniform(-0.5, 0.5, 2)
        long = rng.uniform(18, 60)
        lot = within(block, spot[0] * max(length - long, 0), spot[1] * max(width - 16, 0), min(long, length), 15.5)
        if draft.take_free(lot, np.zeros(1, int))[0]:
            add_parking(draft, lot, rng.uniform(0.2, 0.95), material=str(rng.choice(["asphalt", "old_asphalt"])))
    garages = within(block, 0.0, rng.choice([-0.5, 0.5]) * (width - 7), rng.uniform(20, 60), 6.0)
    if rng.random() < draft.number("garages") and draft.take_free(garages, np.zeros(1, int))[0]:
        draft.add_buildings(garages, np.zeros(1, int), 2.6, draft.palette.draw(1, rng), parapet_m=0.0)
    play = rng.uniform(-0.4, 0.4, 2)
    draft.add_area(within(block, play[0] * length, play[1] * width, 14, 10), "soil", rough=0.3, tone=1.1)
    for _ in range(3):
        path = rng.uniform(-0.4, 0.4, 2)
        draft.add_area(
            within(block, path[0] * length, path[1] * width, 0.8 * width, 1.8, rng.uniform(0, 3.1)), "concrete"
        )
