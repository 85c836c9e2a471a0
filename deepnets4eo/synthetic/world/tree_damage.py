"""Trees after the event: felled (trunks and twigs on the ground), stripped of leaves, or charred.

A felled tree ends before the event; a stripped or charred one has a second row after it, of the kind BARE or CHARRED.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.damage_state import Outcome
from deepnets4eo.synthetic.world.intensity import sample_nodes
from deepnets4eo.synthetic.world.plan import AFTER, BARE, BEFORE, BOX, CHARRED, SHRUB, Plan, join_rows

MOST_TRUNKS = 1500


def damage_trees(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Fell, strip and char trees by the intensity at them; returns the plan with the trees of both dates, and the wood
    on the ground as boxes after the event."""
    trees, effects = plan.trees, outcome.effects
    if not len(trees) or max(effects["felled"], effects["stripped"], effects["charred"]) == 0:
        return plan
    force = sample_nodes(outcome.intensity, trees["x"], trees["y"])
    there = trees["when"] & AFTER > 0
    height = np.clip(trees["height_m"] / 10.0, 0.4, 1.5)  # tall trees fall first
    felled = there & (rng.random(len(trees)) < effects["felled"] * force * height) & (trees["kind"] != SHRUB)
    charred = there & ~felled & (rng.random(len(trees)) < effects["charred"] * np.sqrt(force))
    stripped = there & ~felled & ~charred & (rng.random(len(trees)) < effects["stripped"] * force)
    changed = charred | stripped
    after = trees[changed].copy()
    after["kind"] = np.where(charred[changed], CHARRED, BARE)
    after["when"] = AFTER
    after["radius"] *= rng.uniform(0.75, 1.0, len(after))
    before = trees.copy()
    before["when"][felled | changed] &= BEFORE
    wood = _fallen_wood(trees[felled], outcome, rng)
    trees = join_rows([before[before["when"] > 0], after])
    return replace(plan, trees=trees).with_rows(boxes=wood)


def _fallen_wood(trees: NDArray[Any], outcome: Outcome, rng: np.random.Generator) -> NDArray[Any]:
    """A trunk and a few boughs for each felled tree, mostly lying the same way."""
    if outcome.water is not None and outcome.water.flow > 0.6:
        trees = trees[rng.random(len(trees)) < 0.3]  # the flow takes most
    trees = trees[:MOST_TRUNKS]
    count, repeat = len(trees), 5
    wind = float(np.median(outcome.heading)) if len(outcome.heading) else float(rng.uniform(-3, 3))
    heading = wind + rng.normal(0, 0.3 + 1.5 * (1 - outcome.effects["blown"]), count)
    rows = np.zeros(count * (1 + repeat), BOX)
    trunk, bough = rows[:count], rows[count:]
    length = trees["height_m"] * rng.uniform(0.6, 0.95, count)
    _lay(trunk, trees["x"], trees["y"], heading, length * 0.5)
    trunk["length"], trunk["width"] = length, np.clip(trees["radius"] * 0.16, 0.3, 0.9)
    of = np.repeat(np.arange(count), repeat)
    tip = length[of] * rng.uniform(0.35, 1.05, len(of))
    _lay(bough, trees["x"][of], trees["y"][of], heading[of], tip)
    side = trees["radius"][of] * 0.45
    bough["x"] += rng.normal(0, 1, len(of)) * side
    bough["y"] += rng.normal(0, 1, len(of)) * side
    bough["angle"] += rng.normal(0, 0.8, len(of))
    bough["length"] = rng.uniform(0.9, 3.2, len(of)) * np.clip(trees["radius"][of] / 3, 0.5, 1.5)
    bough["width"] = rng.uniform(0.2, 0.8, len(of))
    rows["height_m"] = np.where(np.arange(len(rows)) < count, 0.5, rng.uniform(0.3, 1.0, len(rows)))
    rows["material"], rows["when"] = CODE["wood"], AFTER
    mix = rng.random((len(rows), 1))
    rows["colour"] = np.array([66, 60, 48, 92]) + mix * np.array([46, 40, 36, 44])
    return rows


def _lay(rows: NDArray[Any], x: NDArray[Any], y: NDArray[Any], heading: NDArray[Any], reach: NDArray[Any]) -> None:
    rows["x"], rows["y"] = x + reach * np.cos(heading), y + reach * np.sin(heading)
    rows["angle"] = heading
