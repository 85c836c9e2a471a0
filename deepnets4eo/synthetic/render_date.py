"""Paints the city at one date: before the event as planned, after it with damage, debris and harmless changes.

Takes a place (plan, ground, textures) and, for the post date, what happened; gives a `Surface`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.synthetic.building import Building
from deepnets4eo.synthetic.crowns import paint_trees
from deepnets4eo.synthetic.damage import HALO_M, paint_damage
from deepnets4eo.synthetic.debris import paint_mud_and_ash, scatter_all_debris
from deepnets4eo.synthetic.event_outcome import EventOutcome, apply_harmless_change
from deepnets4eo.synthetic.ground import break_ground, colour_ground, paint_ground
from deepnets4eo.synthetic.objects import stamp_boats, stamp_cars, stamp_clutter, stamp_fences
from deepnets4eo.synthetic.plan import Plan, Row
from deepnets4eo.synthetic.roofs import close_patch, open_patch, paint_panels, paint_roof
from deepnets4eo.synthetic.style import Season, Style
from deepnets4eo.synthetic.surface import Surface
from deepnets4eo.synthetic.textures import Textures


@dataclass(frozen=True)
class CityBase:
    """What both dates share."""

    seed: int
    gsd_m: float
    style: Style
    plan: Plan
    ground: np.ndarray
    textures: Textures
    material: np.ndarray  # (H, W) uint8, ground before ponds and paving
    tone: np.ndarray  # (H, W) int8, lawn tone by lot in hundredths


def paint_epoch(place: CityBase, season: Season, happening: EventOutcome | None) -> Surface:
    """The surface at one date; without a happening, the place as planned."""
    plan, textures = place.plan, place.textures
    rng = np.random.default_rng([place.seed, 11 if happening is None else 12])
    surface = Surface.bare(place.ground, place.gsd_m)
    surface.material[:] = place.material
    paint_ground(surface, plan, textures, happening.ponds if happening else [])
    if happening:
        break_ground(surface, happening.works)
    colour_ground(surface, textures, place.tone, season, place.style.dryness)
    stamp_fences(surface, plan, np.random.default_rng([place.seed, 13]))
    stamp_clutter(surface, plan.clutter, np.random.default_rng([place.seed, 14]))
    if happening:
        paint_mud_and_ash(surface, happening, textures)
    _paint_buildings(surface, place, happening)
    if happening:
        scatter_all_debris(surface, plan, plan.buildings, happening, rng)
    stamp_cars(surface, _parked(plan, happening, rng), rng)
    stamp_boats(surface, [row for row in plan.boats if rng.random() < 0.7], rng)
    trees = plan.trees
    stripped = np.zeros(len(trees), bool)
    if happening:
        trees = [tree for tree, fallen in zip(trees, happening.fallen, strict=True) if not fallen]
        stripped = happening.stripped[~happening.fallen]
    paint_trees(surface, trees, stripped, textures, season)
    return surface


def _paint_buildings(surface: Surface, place: CityBase, happening: EventOutcome | None) -> None:
    """All buildings in order; those that only the post date has come after, with numbers of their own."""
    for index, planned in enumerate(place.plan.buildings):
        change = happening.changes[index] if happening else ""
        grade = int(happening.grades[index]) if happening else 0
        building: Building = apply_harmless_change(planned, change)
        patch = open_patch(surface, building, place.textures, HALO_M if grade > 1 else 0.5)
        if patch is None:
            continue
        paint_roof(patch, building)
        if change == "panels":
            paint_panels(patch, building, np.random.default_rng([building.key, 3]))
        if happening and grade:
            paint_damage(patch, building, grade, happening.modes[index])
        close_patch(surface, patch, index + 1)
    for offset, building in enumerate(happening.added if happening else []):
        patch = open_patch(surface, building, place.textures, 0.5)
        if patch is not None and not surface.building[patch.rows, patch.cols][patch.inside > 0].any():
            paint_roof(patch, building)
            close_patch(surface, patch, len(place.plan.buildings) + offset + 1)


def _parked(plan: Plan, happening: EventOutcome | None, rng: np.random.Generator) -> list[Row]:
    """Which slots hold a car today; in the path some cars lie where the wind left them."""
    taken = [row for row in plan.slots if rng.random() < 0.55]
    if happening is None or not happening.event.nature.thrown or not taken:
        return taken
    force = happening.intensity.at(np.array([row[0] for row in taken]), np.array([row[1] for row in taken]))
    out = []
    for row, strength in zip(taken, force, strict=True):
        if rng.random() < strength * happening.event.nature.thrown:
            x, y, length, width, _ = row
            row = (x + rng.normal(0, 5), y + rng.normal(0, 5), length, width, rng.uniform(0, np.pi))
        out.append(row)
    return out
