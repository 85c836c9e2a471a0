"""Paints the city at one date: before the event as planned, after it with damage, debris and harmless changes.

Takes plan, ground and textures and, for the post date, the outcome of the event; returns a `Surface`.
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
    """All that is the same at both dates."""

    seed: int
    gsd_m: float
    style: Style
    plan: Plan
    ground: np.ndarray
    textures: Textures
    material: np.ndarray  # (H, W) uint8, ground before ponds and paving
    tone: np.ndarray  # (H, W) int8, lawn tone by lot in hundredths


def paint_surface(base: CityBase, season: Season, outcome: EventOutcome | None) -> Surface:
    """Return the surface at one date; without an outcome, the city as planned."""
    plan, textures = base.plan, base.textures
    rng = np.random.default_rng([base.seed, 11 if outcome is None else 12])
    surface = Surface.bare(base.ground, base.gsd_m)
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


def _paint_buildings(surface: Surface, base: CityBase, outcome: EventOutcome | None) -> None:
    """All buildings in order, then those that exist only at the post date, with further numbers."""
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


def _car_positions(plan: Plan, outcome: EventOutcome | None, rng: np.random.Generator) -> list[Row]:
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
