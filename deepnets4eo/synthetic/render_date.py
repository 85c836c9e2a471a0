"""Paints the city at one date: before the event as planned, after it with damage, debris and harmless changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.synthetic.damage import HALO_M, paint_damage, paint_mud_and_ash, scatter_all_debris
from deepnets4eo.synthetic.event import EventOutcome, apply_harmless_change
from deepnets4eo.synthetic.ground import break_ground, colour_ground, paint_ground
from deepnets4eo.synthetic.plan import Building, CityPlan, Row
from deepnets4eo.synthetic.roofs import (
    close_patch,
    open_patch,
    paint_panels,
    paint_roof,
    stamp_boats,
    stamp_cars,
    stamp_clutter,
    stamp_fences,
)
from deepnets4eo.synthetic.style import Season, Style
from deepnets4eo.synthetic.surface import CitySurface, Textures

SUMMER = np.array([60, 82, 48, 176], np.float32)
TINTED = np.array([132, 98, 52, 160], np.float32)
BARE = np.array([102, 92, 82, 122], np.float32)
CONIFER = np.array([44, 60, 44, 142], np.float32)
Tree = tuple[float, float, float, float, int]


@dataclass(frozen=True)
class CityBase:
    """All that is the same at both dates."""

    seed: int
    gsd_m: float
    style: Style
    plan: CityPlan
    ground: np.ndarray
    textures: Textures
    material: np.ndarray  # (H, W) uint8, ground before ponds and paving
    tone: np.ndarray  # (H, W) int8, lawn tone by lot in hundredths


def paint_surface(base: CityBase, season: Season, outcome: EventOutcome | None) -> CitySurface:
    """Paint the surface at one date; without an outcome, the city as planned."""
    plan, textures = base.plan, base.textures
    rng = np.random.default_rng([base.seed, 11 if outcome is None else 12])
    surface = CitySurface.bare(base.ground, base.gsd_m)
    surface.material[:] = base.material
    paint_ground(surface, plan, textures, outcome.ponds if outcome else [])
    if outcome:
        break_ground(surface, outcome.works)
    colour_ground(surface, textures, base.tone, season, base.style.dryness)
    stamp_fences(surface, plan, np.random.default_rng([base.seed, 13]))
    stamp_clutter(surface, plan.clutter, np.random.default_rng([base.seed, 14]))
    if outcome:
        paint_mud_and_ash(surface, outcome, textures)
    _paint_buildings(surface, base, outcome)
    if outcome:
        scatter_all_debris(surface, plan, plan.buildings, outcome, rng)
    stamp_cars(surface, _car_positions(plan, outcome, rng), rng)
    stamp_boats(surface, [row for row in plan.boats if rng.random() < 0.7], rng)
    trees = plan.trees
    stripped = np.zeros(len(trees), bool)
    if outcome:
        trees = [tree for tree, fallen in zip(trees, outcome.fallen, strict=True) if not fallen]
        stripped = outcome.stripped[~outcome.fallen]
    paint_trees(surface, trees, stripped, textures, season)
    return surface


def _paint_buildings(surface: CitySurface, base: CityBase, outcome: EventOutcome | None) -> None:
    """Paint all buildings in order, then the buildings that exist only at the post date, with further numbers."""
    for index, planned in enumerate(base.plan.buildings):
        change = outcome.changes[index] if outcome else ""
        grade = int(outcome.grades[index]) if outcome else 0
        building: Building = apply_harmless_change(planned, change)
        patch = open_patch(surface, building, base.textures, HALO_M if grade > 1 else 0.5)
        if patch is None:
            continue
        paint_roof(patch, building)
        if change == "panels":
            paint_panels(patch, building, np.random.default_rng([building.key, 3]))
        if outcome and grade:
            paint_damage(patch, building, grade, outcome.modes[index])
        close_patch(surface, patch, index + 1)
    for offset, building in enumerate(outcome.added if outcome else []):
        patch = open_patch(surface, building, base.textures, 0.5)
        if patch is not None and not surface.building[patch.rows, patch.cols][patch.inside > 0].any():
            paint_roof(patch, building)
            close_patch(surface, patch, len(base.plan.buildings) + offset + 1)


def _car_positions(plan: CityPlan, outcome: EventOutcome | None, rng: np.random.Generator) -> list[Row]:
    """Slots with a car at this date; in the path of the event some cars are displaced."""
    taken = [row for row in plan.slots if rng.random() < 0.55]
    if outcome is None or not outcome.event.event_type.thrown or not taken:
        return taken
    force = outcome.intensity.at(np.array([row[0] for row in taken]), np.array([row[1] for row in taken]))
    out = []
    for row, strength in zip(taken, force, strict=True):
        if rng.random() < strength * outcome.event.event_type.thrown:
            x, y, length, width, _ = row
            row = (x + rng.normal(0, 5), y + rng.normal(0, 5), length, width, rng.uniform(0, np.pi))
        out.append(row)
    return out


def paint_trees(
    surface: CitySurface, trees: list[Tree], stripped: np.ndarray, textures: Textures, season: Season
) -> None:
    """Draw all crowns; those that `stripped` (N,) marks have no leaves."""
    for index, tree in enumerate(trees):
        rng = np.random.default_rng([int(tree[0] * 100) & 0xFFFFFF, int(tree[1] * 100) & 0xFFFFFF])
        leaf = 0.0 if stripped[index] else 1.0 if tree[4] else season.leaf
        _paint_tree(surface, tree, leaf, rng, textures, season)


def _paint_tree(
    surface: CitySurface, tree: Tree, leaf: float, rng: np.random.Generator, textures: Textures, season: Season
) -> None:
    """One crown in its window."""
    x0, y0, radius, height, kind = tree
    gsd = surface.gsd_m
    reach = radius * 1.25
    top, left = max(int((y0 - reach) / gsd), 0), max(int((x0 - reach) / gsd), 0)
    bottom, right = (
        min(int((y0 + reach) / gsd) + 1, surface.shape[0]),
        min(int((x0 + reach) / gsd) + 1, surface.shape[1]),
    )
    if bottom - top < 1 or right - left < 1:
        return
    y = ((np.arange(top, bottom) + 0.5) * gsd - y0)[:, None].astype(np.float32)
    x = ((np.arange(left, right) + 0.5) * gsd - x0)[None].astype(np.float32)
    offset = rng.integers(0, 4000, 2)
    size = (bottom - top, right - left)
    middle = textures.window("middle", top + offset[0], size[0], size[1], left + offset[1])
    fine = textures.window("fine", top + offset[1], size[0], size[1], left + offset[0])
    distance = np.hypot(x, y) / np.float32(radius)
    ragged = rng.uniform(0.12, 0.3)
    lobes = 1 + 0.12 * np.cos(float(rng.integers(2, 5)) * np.arctan2(y, x) + rng.uniform(0, 6))
    rim = distance * lobes + np.float32(ragged) * middle + 0.08 * fine
    dome = np.sqrt(np.clip(1 - rim * rim, 0, 1))
    crown = height * (0.45 + 0.55 * dome) * (1 + 0.07 * middle) + 0.25 * fine
    if kind == 1:
        crown = height * np.clip(1.05 - 0.8 * rim, 0, 1) + 0.2 * fine
    full = rim < 1
    cover: np.ndarray = np.full(size, 255, np.float32)
    if leaf < 0.95:
        wood = _branchwork(x, y, radius, rng) + 0.35 * fine + 0.3 * middle + np.float32(2.2 * leaf)
        full &= wood > -0.2
        cover = np.clip(70 + 120 * wood, 30, 200 + 55 * np.float32(leaf)).astype(np.float32)
    colour = _crown_colour(leaf, kind, rng, season)
    drawn = full & (crown > surface.canopy[top:bottom, left:right])
    shade = np.clip(1 + 0.12 * fine + 0.10 * middle - 0.14 * (1 - dome), 0.4, 1.6)
    np.copyto(surface.canopy[top:bottom, left:right], np.maximum(crown, 0.3), where=drawn)
    np.copyto(surface.cover[top:bottom, left:right], cover.astype(np.uint8), where=drawn)
    for band in range(4):
        painted = np.clip(colour[band] * shade, 0, 255).astype(np.uint8)
        np.copyto(surface.leaf[band, top:bottom, left:right], painted, where=drawn)


def _branchwork(x: np.ndarray, y: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Return radial limbs that fork outwards, as a field above 0 for pixels of wood."""
    angle = np.arctan2(y, x)
    distance = np.hypot(x, y) / np.float32(radius)
    limbs = float(rng.integers(4, 8))
    wave = np.cos(limbs * angle + rng.uniform(0, 6) + 2 * np.sin(3 * distance + rng.uniform(0, 6)))
    forks = np.cos(2.7 * limbs * angle + rng.uniform(0, 6) + 3 * np.sin(5 * distance + rng.uniform(0, 6)))
    return np.where(distance < 0.4, wave, np.maximum(wave, forks)) - 0.25 * distance


def _crown_colour(leaf: float, kind: int, rng: np.random.Generator, season: Season) -> np.ndarray:
    """Display colour of one crown: species, leaves and autumn tint."""
    if kind == 1:
        base = CONIFER
    else:
        base = SUMMER + (TINTED - SUMMER) * np.float32(np.clip(season.tint * rng.uniform(0.2, 1.4), 0, 1))
        base = BARE + (base - BARE) * np.float32(min(leaf * 1.3, 1.0))
    return base * np.float32(rng.uniform(0.82, 1.2)) + rng.normal(0, 4, 4).astype(np.float32)
