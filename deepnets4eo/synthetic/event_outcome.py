"""Outcome of the event for every object: damage grade and look, harmless changes, fallen trees.

Takes the plan and an event without open fields; all random numbers come from one generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepnets4eo.synthetic.building import Building, BuildingPart
from deepnets4eo.synthetic.event import Event, Intensity, grade_buildings
from deepnets4eo.synthetic.plan import Plan, Row
from deepnets4eo.synthetic.style import roof_colour

FRAILTY = {"house": 1.0, "shed": 1.2, "block": 0.8, "hall": 0.95, "tank": 0.7}
CHANGES = ("reroofed", "extended", "panels")


@dataclass
class EventOutcome:
    """The outcome of the event: grades (N,) uint8 and looks of the planned buildings, harmless changes, buildings and
    pools that only the post date has, earthworks as (x, y, length, width, angle), and (T,) bool by tree for fallen
    and stripped ones."""

    event: Event
    intensity: Intensity
    grades: np.ndarray
    modes: list[str]
    changes: list[str]
    added: list[Building]
    ponds: list[tuple[float, float, float, float, float, str]]
    works: list[Row]
    fallen: np.ndarray
    stripped: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, event: Event, plan: Plan) -> EventOutcome:
        """Draw the outcome for a plan."""
        intensity = Intensity.draw(rng, event.kind, plan.extent_m)
        positions = np.array([(b.x, b.y) for b in plan.buildings]).reshape(-1, 2)
        frail = np.array([FRAILTY[b.use] for b in plan.buildings]) * rng.lognormal(0, 0.12, len(positions))
        grades = grade_buildings(rng, event, intensity, positions, frail)
        modes = [_mode(rng, event) if grade == 3 else "" for grade in grades]
        lookalike = (grades == 0) & (rng.random(len(grades)) < event.lookalike_share)
        changes = [str(rng.choice(CHANGES)) if flag else "" for flag in lookalike]
        trees = np.array([(x, y) for x, y, *_ in plan.trees]).reshape(-1, 2)
        force = intensity.at(trees[:, 0], trees[:, 1]) if len(trees) else np.zeros(0)
        event_type = event.event_type
        fallen = rng.random(len(trees)) < np.clip((force - 0.3) * 1.5, 0, 1) * event_type.felled
        stripped = ~fallen & (rng.random(len(trees)) < np.clip((force - 0.2) * 1.6, 0, 1) * event_type.stripped)
        added, ponds = _new_sheds_and_pools(rng, event, plan)
        works = _earthworks(rng, event, plan)
        return cls(event, intensity, grades, modes, changes, added, ponds, works, fallen, stripped)


def _mode(rng: np.random.Generator, event: Event) -> str:
    """Look of one destroyed building."""
    if event.kind == "fire":
        return "ash" if rng.random() < 0.8 else "burnt"
    if rng.random() < event.burnt_share:
        return "burnt"
    if rng.random() < event.swept_share:
        return "swept"
    return "rooms" if event.kind != "quake" and rng.random() < 0.4 else "rubble"


def apply_harmless_change(building: Building, change: str) -> Building:
    """The building after a harmless change: another roof, an extension, solar panels (`panels` through its key)."""
    rng = np.random.default_rng([building.key, 9])
    if change == "reroofed":
        covering = "membrane" if building.roof == "flat" else "shingle"
        return replace(building, colour=roof_colour(rng, covering), covering=covering)
    if change == "extended":
        main = building.parts[0]
        side = float(rng.choice((-1.0, 1.0)))
        wing = BuildingPart(
            main.a + side * main.length * 0.2, main.b - side * main.width * 0.5, main.length * 0.35, main.width * 0.7
        )
        return replace(building, parts=(*building.parts, wing)) if building.roof != "dome" else building
    return building


def _new_sheds_and_pools(
    rng: np.random.Generator, event: Event, plan: Plan
) -> tuple[list[Building], list[tuple[float, float, float, float, float, str]]]:
    """New sheds and pools in gardens, for the lookalike share of houses."""
    added: list[Building] = []
    ponds: list[tuple[float, float, float, float, float, str]] = []
    for building in plan.buildings:
        if building.use != "house" or rng.random() > event.lookalike_share:
            continue
        away = building.radius_m + rng.uniform(4, 7)
        x, y = building.x + away * np.cos(building.angle), building.y + away * np.sin(building.angle)
        if rng.random() < 0.5:
            ponds.append((x, y, rng.uniform(2, 5), rng.uniform(1.8, 3), building.angle, "pool"))
            continue
        part = (BuildingPart(0.0, 0.0, float(rng.uniform(3, 7)), float(rng.uniform(2.5, 4.5))),)
        shed = replace(building, x=float(x), y=float(y), parts=part, roof="gable", eave_m=2.3, use="shed")
        added.append(replace(shed, colour=roof_colour(rng, "metal"), covering="metal"))
    return added, ponds


def _earthworks(rng: np.random.Generator, event: Event, plan: Plan) -> list[Row]:
    """Ground broken for building since the first date, anywhere off the houses: change that is no damage."""
    width, height = plan.extent_m
    count = int(rng.poisson(event.lookalike_share * width * height / 1.5e4))
    positions = np.array([(building.x, building.y) for building in plan.buildings]).reshape(-1, 2)
    rows: list[Row] = []
    for _ in range(count):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(12, 34)
        if not len(positions) or np.hypot(*(positions - (x, y)).T).min() > size / 2 + 12:
            rows.append((x, y, size, size * rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)))
    return rows
