"""Paints damage: of each building, from missing covering to rubble, then the debris, mud and fallen trees around.

A function for a building changes its `Patch`, whose roof is already painted; heights follow the damage."""

from __future__ import annotations

import numpy as np

from deepnets4eo.synthetic.event import EventOutcome
from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.plan import Building, CityPlan
from deepnets4eo.synthetic.roofs import Patch, debris_pieces, scatter_debris
from deepnets4eo.synthetic.surface import CitySurface, Rectangles, Textures

PER_M2 = {"minor": 0.01, "major": 0.22, "rubble": 1.1, "rooms": 0.45, "swept": 0.2, "burnt": 0.15, "ash": 0.25}
# Colours that lawns turn to: churned earth, char; and the fine stuff on them: splinters, ash.
CHURN = {"mud": ((100, 88, 72, 118), (140, 118, 104, 140)), "scorch": ((66, 60, 54, 76), (112, 104, 94, 112))}
GRID_M = 4.0

DECKING = (166.0, 136.0, 112.0, 168.0)  # bare roof boards
UNDERLAY = (62.0, 58.0, 56.0, 66.0)
TARPS = (
    (44.0, 84.0, 176.0, 150.0),
    (52.0, 98.0, 196.0, 160.0),
    (30.0, 62.0, 140.0, 130.0),
    (200.0, 200.0, 196.0, 198.0),
)
HALO_M = 7.0


def paint_damage(patch: Patch, building: Building, grade: int, mode: str) -> None:
    """Apply a damage grade 1–3; `mode` of grade 3 is rubble, rooms, swept, burnt or ash."""
    rng = np.random.default_rng([building.key, 2])
    if grade == 1:
        _minor(patch, building, rng)
    elif grade == 2:
        _major(patch, building, rng)
    elif mode == "burnt":
        _charred_ruin(patch, rng)
    elif mode == "ash":
        _ash(patch, building, rng)
    elif mode == "swept":
        _bare_slab(patch, rng)
    else:
        _rubble(patch, building, rng, rooms=mode == "rooms")


def _board_noise(patch: Patch, rng: np.random.Generator, step_m: float) -> np.ndarray:
    """Noise of one building in blocks of the size of boards."""
    cells_a = np.floor(patch.a / step_m).astype(np.int64)
    cells_b = np.floor(patch.b / (step_m * 0.6)).astype(np.int64)
    table = rng.normal(size=1024).astype(np.float32)
    return 0.6 * table[(cells_a * 374761 + cells_b * 668265) & 1023] + 0.9 * patch.middle + 0.3 * patch.fine


def _show_decking(patch: Patch, rng: np.random.Generator, where: np.ndarray) -> None:
    """Show decking or underlay where the covering is gone."""
    colour = DECKING if rng.random() < 0.6 else UNDERLAY
    patch.colour[:, where] = np.array(colour, np.float32)[:, None] * (1 + 0.12 * patch.fine[where])


def _tarps(patch: Patch, building: Building, rng: np.random.Generator, count: int) -> None:
    """Rectangular tarps over part of a roof plane, somewhat askew and wrinkled."""
    part = building.parts[int(rng.integers(len(building.parts)))]
    for _ in range(count):
        a, b = part.a + rng.uniform(-0.35, 0.35) * part.length, part.b + rng.uniform(-0.3, 0.3) * part.width
        turn = rng.normal(0, 0.06)
        along = (patch.a - a) * np.cos(turn) + (patch.b - b) * np.sin(turn)
        across = (patch.b - b) * np.cos(turn) - (patch.a - a) * np.sin(turn)
        size = rng.uniform(0.1, 0.35) * part.length, rng.uniform(0.15, 0.35) * part.width
        spot = (np.abs(along) < size[0]) & (np.abs(across) < size[1]) & (patch.inside > 0.05)
        colour = np.array(TARPS[int(rng.choice(4, p=(0.4, 0.3, 0.15, 0.15)))]) * rng.uniform(0.85, 1.1)
        patch.fill(spot, colour, "tarp")
        patch.colour[:, spot] *= 1 + 0.06 * patch.middle[spot] + 0.04 * patch.fine[spot]


def _minor(patch: Patch, building: Building, rng: np.random.Generator, tarped: float = 0.45) -> None:
    """Covering missing on 3–15 % of the roof; tarps on the `tarped` share of roofs; heights unchanged."""
    roof = patch.inside > 0
    noise = _board_noise(patch, rng, rng.uniform(0.8, 2.0))
    gone = roof & (noise > np.quantile(noise[roof], 1 - rng.uniform(0.03, 0.15)) if roof.any() else roof)
    _show_decking(patch, rng, gone)
    if rng.random() < tarped:
        _tarps(patch, building, rng, int(rng.integers(1, 4)))


def _major(patch: Patch, building: Building, rng: np.random.Generator) -> None:
    """Roof gone on 25–65 % of the plan: rafters, rooms and wreckage show, the height falls; the rest is torn."""
    roof = patch.inside > 0
    if not roof.any():
        return
    _minor(patch, building, rng, tarped=0.15)
    heading = rng.uniform(0, 2 * np.pi)
    front = patch.a * np.cos(heading) + patch.b * np.sin(heading)
    front = front + 1.6 * _board_noise(patch, rng, rng.uniform(1.0, 2.5))
    gone = roof & (front > np.quantile(front[roof], 1 - rng.uniform(0.25, 0.65)))
    left = rng.uniform(0.15, 0.6) * building.eave_m
    patch.height[gone] = np.maximum(left + 0.35 * patch.middle[gone] + 0.2 * patch.fine[gone], 0.1)
    patch.flatten(gone)
    colour = np.array(DECKING if rng.random() < 0.6 else (128.0, 116.0, 106.0, 130.0), np.float32)
    patch.fill(gone, colour * rng.uniform(0.75, 1.05), "rubble")
    patch.colour[:, gone] *= 1 + 0.14 * patch.fine[gone] + 0.10 * patch.middle[gone]
    pit = gone & (_board_noise(patch, rng, 1.5) > 0.5)
    patch.colour[:, pit] *= rng.uniform(0.35, 0.6)
    patch.height[pit] *= 0.5
    if rng.random() < 0.7:
        rafters = gone & (np.mod(patch.a, rng.uniform(0.6, 1.3)) < 0.25)
        patch.colour[:, rafters] = np.array(DECKING, np.float32)[:, None] * rng.uniform(0.8, 1.25)
        patch.height[rafters] = left + 0.6
    _walls(patch, rng, gone, building.eave_m * 0.8)
    _ground_around(patch, rng, 2.5, 0.35)


def _walls(patch: Patch, rng: np.random.Generator, where: np.ndarray, height_m: float) -> None:
    """Outer and inner walls left standing, seen from above as thin bright or dark lines."""
    pitch_a, pitch_b = rng.uniform(2.8, 4.8), rng.uniform(2.6, 4.2)
    line = (np.mod(patch.a + 50, pitch_a) < 0.3) | (np.mod(patch.b + 50, pitch_b) < 0.3) | (patch.inside < 0.35)
    standing = where & line & (patch.middle > rng.uniform(-0.8, 0.4))
    patch.height[standing] = height_m * rng.uniform(0.6, 1.0)
    patch.colour[:, standing] = rng.choice((90.0, 170.0, 205.0, 220.0)) * (1 + 0.08 * patch.fine[standing])


def _ground_around(patch: Patch, rng: np.random.Generator, reach_m: float, share: float) -> None:
    """Dust and splinters on the ground around the outline, fewer with the distance."""
    outside = (patch.inside <= 0) & patch.free
    fade = 1 + patch.inside / reach_m
    dusty = outside & (fade > 0) & (0.5 * patch.middle + 0.35 * patch.fine + 2.2 * fade * share > 0.75)
    mix = np.clip(0.45 + 0.2 * patch.fine, 0.1, 0.95)
    dust = np.array([138, 116, 100, 138], np.float32) * rng.uniform(0.8, 1.15)
    target = patch.colour + (dust[:, None, None] - patch.colour) * mix
    np.copyto(patch.colour, target, where=dusty[None])
    patch.drawn |= dusty


def _rubble(patch: Patch, building: Building, rng: np.random.Generator, *, rooms: bool) -> None:
    """Draw a heap of 0–1.5 m, or the floor plan with stumps of walls, and debris beyond the outline."""
    inside = patch.inside > 0
    pile = (0.15 if rooms else 0.5) * min(building.eave_m / 3, 1.6)
    rough = _board_noise(patch, rng, rng.uniform(0.5, 1.2))
    patch.height[inside] = np.clip(pile * (1 + 0.7 * rough[inside]), 0.0, 1.4)
    patch.flatten(inside)
    tint = np.array([142, 120, 106, 140], np.float32) + rng.normal(0, 9) + rng.normal(0, 5, 4).astype(np.float32)
    if rooms:
        tint = np.array([168, 136, 112, 166], np.float32) * rng.uniform(0.75, 1.05)
    patch.fill(inside, tint, "rubble")
    patch.colour[:, inside] *= np.clip(1 + 0.17 * rough[inside] + 0.10 * patch.fine[inside], 0.35, 1.6)
    dark = inside & (rough < -1.1)
    patch.colour[:, dark] *= rng.uniform(0.35, 0.6)
    if rooms:
        _walls(patch, rng, inside, min(building.eave_m, 2.0) * 0.7)
    _ground_around(patch, rng, HALO_M * rng.uniform(0.5, 1.0), rng.uniform(0.35, 0.8))


def _bare_slab(patch: Patch, rng: np.random.Generator) -> None:
    """Draw the bare slab, with dirt on it."""
    inside = patch.inside > 0
    patch.height[inside] = 0.15
    patch.flatten(inside)
    grey = rng.uniform(110, 185)
    patch.fill(inside, (grey, grey * 0.95, grey * 0.88, grey), "concrete")
    patch.colour[:, inside] *= 1 + 0.12 * patch.middle[inside] + 0.08 * patch.fine[inside]
    tiles = inside & (_board_noise(patch, rng, 3.0) > 0.9)
    patch.colour[:, tiles] *= np.array([1.05, 0.88, 0.78, 1.0], np.float32)[:, None]
    _ground_around(patch, rng, HALO_M, rng.uniform(0.2, 0.7))


def _charred_ruin(patch: Patch, rng: np.random.Generator) -> None:
    """Ash and charred beams within low walls, soot around."""
    inside = patch.inside > 0
    patch.height[inside] = np.clip(0.4 + 0.3 * patch.middle[inside], 0.05, 1.2)
    patch.flatten(inside)
    patch.fill(inside, (52, 50, 50, 54), "burnt")
    patch.colour[:, inside] *= np.clip(1 + 0.3 * patch.middle[inside] + 0.22 * patch.fine[inside], 0.4, 2.2)
    ash = inside & (patch.middle + 0.5 * patch.fine > 1.2)
    patch.colour[:, ash] = rng.uniform(120, 170)
    _walls(patch, rng, inside, 1.2)
    soot = (patch.inside <= 0) & patch.free & (patch.inside > -4) & (patch.middle > 0.2)
    patch.colour[:, soot] *= 0.7
    patch.drawn |= soot


def _ash(patch: Patch, building: Building, rng: np.random.Generator) -> None:
    """White ash and brick after a hot fire: pale, finely mottled, low, hardly beyond the walls."""
    inside = patch.inside > 0
    rough = _board_noise(patch, rng, rng.uniform(0.5, 1.0))
    patch.height[inside] = np.clip(0.35 + 0.25 * rough[inside], 0.05, 1.2)
    patch.flatten(inside)
    pale = np.array([190, 174, 160, 178], np.float32) * rng.uniform(0.8, 1.1)
    patch.fill(inside, pale, "rubble")
    patch.colour[:, inside] *= np.clip(1 + 0.16 * rough[inside] + 0.14 * patch.fine[inside], 0.4, 1.5)
    char = inside & (rough < -0.8)
    patch.colour[:, char] *= rng.uniform(0.35, 0.6)
    _walls(patch, rng, inside, min(building.eave_m, 2.0) * 0.6)
    _ground_around(patch, rng, 3.0, rng.uniform(0.1, 0.4))


def paint_mud_and_ash(surface: CitySurface, outcome: EventOutcome, textures: Textures) -> None:
    """Turn lawns in the damaged area to mud or char, covered with splinters or ash."""
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
    surface: CitySurface, plan: CityPlan, buildings: list[Building], outcome: EventOutcome, rng: np.random.Generator
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


def _path_debris(plan: CityPlan, outcome: EventOutcome, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions of debris over the whole path, denser where the event was stronger."""
    width, height = plan.extent_m
    count = int(rng.poisson(width * height * outcome.event.event_type.debris_per_m2))
    x, y = rng.uniform(0, width, count), rng.uniform(0, height, count)
    patchy = 0.6 + 0.4 * np.sin(x / 11 + 3 * np.sin(y / 17)) * np.sin(y / 9 + 2 * np.sin(x / 23))
    keep = rng.random(count) < outcome.intensity.at(x, y) ** 2.5 * patchy
    return x[keep], y[keep]


def _building_debris(building: Building, per_m2: float, outcome: EventOutcome, rng: np.random.Generator) -> np.ndarray:
    """Return (N, 2) positions of one building's debris: most on the plan, the rest around it and down-wind."""
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


def _off_the_streets(surface: CitySurface, pieces: Rectangles, rng: np.random.Generator) -> Rectangles:
    """Drop most pieces on carriageways, which are cleared first."""
    row = np.clip((pieces.y / surface.gsd_m).astype(int), 0, surface.shape[0] - 1)
    col = np.clip((pieces.x / surface.gsd_m).astype(int), 0, surface.shape[1] - 1)
    paved = np.isin(surface.material[row, col], (CODE["asphalt"], CODE["old_asphalt"], CODE["paint"]))
    return pieces.take(~paved | (rng.random(len(pieces)) < 0.2))


def _fell_trees(
    surface: CitySurface, plan: CityPlan, outcome: EventOutcome, rng: np.random.Generator, intact: np.ndarray
) -> None:
    """Draw trunks and broken branches at the positions of fallen trees, mostly along the wind."""
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
