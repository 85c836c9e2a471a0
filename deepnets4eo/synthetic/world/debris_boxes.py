"""Things on the ground after the event: loose pieces, tents, cars it moved, fences and hedges it took.

The fine pieces between them are painted (`ground_effects`); these are the ones with a height and a shadow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.damage_modes import DEBRIS, PIECES
from deepnets4eo.synthetic.world.damage_state import Outcome
from deepnets4eo.synthetic.world.intensity import node_positions, sample_nodes
from deepnets4eo.synthetic.world.plan import AFTER, BEFORE, BOTH, BOX, CONSTRUCTIONS, Plan, join_rows

MOST_BOXES = 2500
PER_M2 = 0.035  # larger pieces at full density


def add_debris(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Return the plan with the larger pieces of debris and tents in the open as boxes after the event, and with cars
    moved."""
    plan = _move_cars(_clear_things(plan, outcome, rng), outcome, rng)
    return plan.with_rows(boxes=join_rows([_pieces(plan, outcome, rng), _tents(plan, outcome, rng)]))


def _pieces(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> NDArray[Any]:
    """Pieces on the ground, in clumps, coloured like the buildings they come from."""
    width, height = plan.extent_m
    x, y = node_positions(plan.extent_m)
    total = float(outcome.debris.mean()) * width * height * PER_M2
    count = min(int(rng.poisson(total)), MOST_BOXES)
    rows = np.zeros(count, BOX)
    if not count:
        return rows
    weight = outcome.debris.ravel().astype(np.float64)
    cell = rng.choice(weight.size, size=count, p=weight / weight.sum())
    i, j = np.divmod(cell, x.size)
    rows["x"] = x[0, j] + rng.normal(0, 2.2, count)
    rows["y"] = y[i, 0] + rng.normal(0, 2.2, count)
    rows["length"] = np.clip(rng.lognormal(0.1, 0.6, count), 0.3, 6.0)
    rows["width"] = np.clip(rows["length"] * rng.uniform(0.15, 0.8, count), 0.2, 2.5)
    rows["angle"] = rng.uniform(0, np.pi, count)
    rows["height_m"] = np.clip(rng.lognormal(-1.3, 0.6, count), 0.05, 1.5)
    rows["material"], rows["when"] = CODE["rubble"], AFTER
    rows["colour"] = _colours(plan, outcome, rng, count)
    return rows


def _colours(plan: Plan, outcome: Outcome, rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Colours of pieces: of the constructions that failed, dulled by the dust of the place."""
    sources = plan.buildings["construction"][DEBRIS[outcome.modes] > 0]
    sources = sources if len(sources) else np.array([CONSTRUCTIONS["wood"]])
    colours = PIECES[rng.choice(sources, count), rng.integers(3, size=count)]
    dull = rng.uniform(0.0, 0.5)
    colours = colours + dull * (np.array([150, 132, 116, 146], np.float32) - colours)
    return np.asarray(colours * rng.uniform(0.6, 1.15, (count, 1)), np.float32)


def _tents(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> NDArray[Any]:
    """Tents and shelters of people who left their houses, in rows on open ground."""
    count = int(rng.poisson(outcome.effects["tents"] * 12)) if (outcome.grades > 1).any() else 0
    rows = np.zeros(count, BOX)
    if not count:
        return rows
    centre, angle = rng.uniform(0.1, 0.9, 2) * plan.extent_m, rng.uniform(0, np.pi)
    spot = np.arange(count)
    u, v = (spot % 4) * 6.5, (spot // 4) * 8.0
    rows["x"] = centre[0] + u * np.cos(angle) - v * np.sin(angle)
    rows["y"] = centre[1] + u * np.sin(angle) + v * np.cos(angle)
    rows["length"], rows["width"], rows["height_m"] = 5.0, 3.6, 2.0
    rows["angle"], rows["material"], rows["when"] = angle, CODE["tarp"], AFTER
    rows["colour"] = np.where(rng.random((count, 1)) < 0.75, (206, 204, 198, 206), (92, 116, 160, 140))
    free = np.ones(count, bool)
    for building in plan.buildings:
        free &= np.hypot(rows["x"] - building["x"], rows["y"] - building["y"]) > building["radius_m"] + 3
    return rows[free]


def _clear_things(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Take away fences, hedges and other low things where wind, flow or fire was strong."""
    effects, boxes = outcome.effects, plan.boxes
    chance = max(effects["flow"], 0.8 * effects["blown"], 0.9 * effects["scorch"])
    low = (
        (boxes["when"] == BOTH) & (boxes["on_roof"] == 0) & (boxes["height_m"] < 3) & (boxes["material"] != CODE["car"])
    )
    force = sample_nodes(outcome.intensity, boxes["x"], boxes["y"])
    gone = low & (rng.random(len(boxes)) < chance * force)
    boxes = boxes.copy()
    boxes["when"][gone] = BEFORE
    return replace(plan, boxes=boxes)


def _move_cars(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Throw or float cars where the event was strong."""
    boxes = plan.boxes
    car = (boxes["material"] == CODE["car"]) & (boxes["when"] & AFTER > 0)
    force = sample_nodes(outcome.intensity, boxes["x"], boxes["y"])
    moved = car & (rng.random(len(boxes)) < outcome.effects["cars"] * force)
    if not moved.any():
        return plan
    after, before = boxes[moved].copy(), boxes.copy()
    after["x"] += rng.normal(0, 6, len(after))
    after["y"] += rng.normal(0, 6, len(after))
    after["angle"] += rng.uniform(0, np.pi, len(after))
    after["when"] = AFTER
    before["when"][moved] &= BEFORE
    return replace(plan, boxes=join_rows([before[before["when"] > 0], after]))
