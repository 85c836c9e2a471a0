"""Debris in the damaged area: around destroyed buildings, along the path, fallen trees, muddy or burnt ground.

As on real post-event images, intact houses are surrounded by debris and cleared streets cross it.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.synthetic.building import Building
from deepnets4eo.synthetic.event_outcome import EventOutcome
from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.objects import debris_pieces, scatter_debris
from deepnets4eo.synthetic.plan import Plan
from deepnets4eo.synthetic.surface import Rectangles, Surface
from deepnets4eo.synthetic.textures import Textures

PER_M2 = {"minor": 0.01, "major": 0.22, "rubble": 1.1, "rooms": 0.45, "swept": 0.2, "burnt": 0.15, "ash": 0.25}
# Colours that lawns turn to: churned earth, char; and the fine stuff on them: splinters, ash.
CHURN = {
    "mud": ((100, 88, 72, 118), (140, 118, 104, 140)),
    "scorch": ((66, 60, 54, 76), (112, 104, 94, 112)),
}
GRID_M = 4.0


def paint_mud_and_ash(surface: Surface, outcome: EventOutcome, textures: Textures) -> None:
    """Turn lawns in the damaged area to mud or char, covered with splinters or ash, by the type of the event."""
    event_type = outcome.event.event_type
    if not event_type.churn:
        return
    height, width = surface.shape
    gsd = surface.gsd_m
    nodes = (
        np.arange(int(height * gsd / GRID_M) + 2)[:, None] * GRID_M,
        np.arange(int(width * gsd / GRID_M) + 2) * GRID_M,
    )
    coarse = outcome.intensity.at(*reversed(np.broadcast_arrays(*nodes))).astype(np.float32)
    col = (np.arange(width) * gsd / GRID_M).astype(np.float32)
    left, fraction = col.astype(int), col - np.floor(col)
    lawn = np.zeros(256, bool)
    lawn[[CODE["grass"], CODE["dry_grass"], CODE["soil"], CODE["gravel"]]] = True
    mud, dust = np.array(CHURN[event_type.churn], np.float32)
    for row in range(0, height, 256):
        rows = slice(row, min(row + 256, height))
        y = np.arange(rows.start, rows.stop) * gsd / GRID_M
        upper, down = y.astype(int), (y - np.floor(y)).astype(np.float32)[:, None]
        line = coarse[upper] * (1 - down) + coarse[upper + 1] * down
        force = line[:, left] * (1 - fraction) + line[:, left + 1] * fraction
        count = rows.stop - rows.start
        broad = textures.window("broad", rows.start + 311, count, width)
        middle = textures.window("middle", rows.start + 97, count, width)
        fine = textures.window("fine", rows.start + 53, count, width)
        free = lawn[surface.material[rows]]
        muddy = np.clip((force + 0.16 * broad - 0.45) * 1.8, 0, 0.75) * free
        dusty = np.clip((force - 0.35) * 1.3, 0, 1) * (0.5 * middle + 0.5 * fine + 0.3 * broad > 0.45) * free * 0.7
        for band in range(4):
            value = surface.albedo[band, rows].astype(np.float32)
            value += muddy * (mud[band] * (1 + 0.08 * fine) - value)
            value += dusty * (dust[band] * (1 + 0.12 * fine) - value)
            surface.albedo[band, rows] = np.clip(value, 0, 255).astype(np.uint8)


def scatter_all_debris(
    surface: Surface, plan: Plan, buildings: list[Building], outcome: EventOutcome, rng: np.random.Generator
) -> None:
    """Scatter the debris of buildings and of the path, then fell the trees."""
    x, y = _path_debris(plan, outcome, rng)
    positions = [np.stack([x, y], axis=1)]
    for building, grade, mode in zip(buildings, outcome.grades, outcome.modes, strict=True):
        if grade:
            key = mode or ("minor" if grade == 1 else "major")
            positions.append(_building_debris(building, PER_M2[key], outcome, rng))
    spots = np.concatenate(positions)
    intact = np.zeros(len(buildings) + len(outcome.added) + 1, bool)
    intact[1:] = True
    intact[1 : len(buildings) + 1] = outcome.grades < 2
    pieces = _off_the_streets(surface, debris_pieces(rng, spots[:, 0], spots[:, 1]), rng)
    scatter_debris(surface, pieces, rng, intact)
    _fell_trees(surface, plan, outcome, rng, intact)


def _path_debris(plan: Plan, outcome: EventOutcome, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions of debris over the whole path, denser where the event was stronger."""
    width, height = plan.extent_m
    count = int(rng.poisson(width * height * outcome.event.event_type.debris_per_m2))
    x, y = rng.uniform(0, width, count), rng.uniform(0, height, count)
    patchy = 0.6 + 0.4 * np.sin(x / 11 + 3 * np.sin(y / 17)) * np.sin(y / 9 + 2 * np.sin(x / 23))
    keep = rng.random(count) < outcome.intensity.at(x, y) ** 2.5 * patchy
    return x[keep], y[keep]


def _building_debris(building: Building, per_m2: float, outcome: EventOutcome, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) positions of one building's debris: most on the plan, the rest around it and down-wind."""
    area = sum(part.length * part.width for part in building.parts)
    count = int(rng.poisson(area * per_m2 * 1.5 * rng.uniform(0.6, 1.3)))
    weight = np.array([part.length * part.width for part in building.parts])
    chosen = rng.choice(len(building.parts), size=count, p=weight / weight.sum())
    table = np.array([(part.a, part.b, part.length, part.width) for part in building.parts])[chosen]
    local = table[:, :2] + rng.uniform(-0.5, 0.5, (count, 2)) * table[:, 2:]
    far = rng.random(count) < 0.4
    local[far] += rng.normal(0, 1.5 + 0.5 * outcome.event.event_type.drift_m, (int(far.sum()), 2))
    cos, sin = np.cos(building.angle), np.sin(building.angle)
    x = building.x + local[:, 0] * cos - local[:, 1] * sin
    y = building.y + local[:, 0] * sin + local[:, 1] * cos
    drift = np.where(far, rng.exponential(1.0, count) * outcome.event.event_type.drift_m, 0.0)
    x, y = x + drift * np.cos(outcome.intensity.heading), y + drift * np.sin(outcome.intensity.heading)
    return np.stack([x, y], axis=1)


def _off_the_streets(surface: Surface, pieces: Rectangles, rng: np.random.Generator) -> Rectangles:
    """Drop most pieces on carriageways, which are cleared first."""
    row = np.clip((pieces.y / surface.gsd_m).astype(int), 0, surface.shape[0] - 1)
    col = np.clip((pieces.x / surface.gsd_m).astype(int), 0, surface.shape[1] - 1)
    paved = np.isin(surface.material[row, col], (CODE["asphalt"], CODE["old_asphalt"], CODE["paint"]))
    return pieces.take(~paved | (rng.random(len(pieces)) < 0.2))


def _fell_trees(
    surface: Surface, plan: Plan, outcome: EventOutcome, rng: np.random.Generator, intact: np.ndarray
) -> None:
    """Trunks and broken branches where trees stood, most lying with the wind."""
    down = [tree for tree, fallen in zip(plan.trees, outcome.fallen, strict=True) if fallen and tree[4] != 2]
    if not down:
        return
    table = np.array([tree[:4] for tree in down])
    heading = outcome.intensity.heading + rng.normal(0, 0.5, len(table))
    length = table[:, 3] * rng.uniform(0.5, 0.9, len(table))
    x, y = table[:, 0] + np.cos(heading) * length / 2, table[:, 1] + np.sin(heading) * length / 2
    trunks = Rectangles(x, y, length, np.full(len(table), 0.5), heading)
    repeat = 14
    tip = np.repeat(length, repeat) * rng.uniform(0.3, 1.1, len(table) * repeat)
    spread = rng.normal(0, 1.0, (2, len(tip))) * np.repeat(table[:, 2], repeat) * 0.6
    turned = np.repeat(heading, repeat)
    twigs = Rectangles(
        np.repeat(table[:, 0], repeat) + np.cos(turned) * tip + spread[0],
        np.repeat(table[:, 1], repeat) + np.sin(turned) * tip + spread[1],
        rng.uniform(0.8, 3.5, len(tip)),
        rng.uniform(0.15, 0.7, len(tip)),
        turned + rng.normal(0, 0.8, len(tip)),
    )
    for pieces, low, high in (
        (twigs, (60, 58, 44, 90), (104, 98, 78, 130)),
        (trunks, (84, 72, 60, 104), (128, 112, 94, 140)),
    ):
        mix = rng.random((len(pieces), 1))
        colour = np.array(low) + (np.array(high) - np.array(low)) * mix
        flat, owner = surface.pixels(pieces)
        keep = ~intact[surface.building.reshape(-1)[flat]]
        flat, owner = flat[keep], owner[keep]
        for band in range(4):
            surface.albedo[band].reshape(-1)[flat] = colour[owner, band].astype(np.uint8)
        surface.height.reshape(-1)[flat] = np.maximum(surface.height.reshape(-1)[flat], 0.5)
        surface.material.reshape(-1)[flat] = CODE["wood"]
