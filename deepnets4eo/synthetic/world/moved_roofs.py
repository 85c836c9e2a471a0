"""Roofs that lie elsewhere after the event: lower, displaced or turned; before it they are where they were.

Tanks and other things on roofs that are gone end before the event.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.damage_modes import MODE, NO_ROOF
from deepnets4eo.synthetic.world.damage_state import Outcome
from deepnets4eo.synthetic.world.plan import AFTER, BEFORE, NO_BUILDING, Plan, join_rows

LEAN = 0.04, 0.2  # metres sideways per metre of height: of every leaning building, and more at full strength
MOST_LEAN_M = 4.0  # what leans further falls
_LOOSE = [MODE[name] for name in ("opened", "partial", "peeled", "leaning", "pancake")]


def move_roofs(plan: Plan, outcome: Outcome) -> Plan:
    """Return the plan in which the roofs of buildings that sank or lean have a row before and, at the end of `roofs`, a
    row after; a roof that stays keeps its row."""
    plan = _clear_roofs(plan, outcome)
    owner = plan.roofs["building"]
    has_owner = (owner != NO_BUILDING) & (plan.roofs["when"] & AFTER > 0)
    mode = np.where(has_owner, outcome.modes[np.maximum(owner, 0)] if len(outcome.modes) else 0, 0)
    rows = np.flatnonzero(np.isin(mode, [MODE[name] for name in ("pancake", "soft_storey", "leaning")]))
    if not len(rows):
        return plan
    after, building = plan.roofs[rows].copy(), owner[rows]
    strength, heading = outcome.strength[building], outcome.heading[building]
    eave = plan.buildings["eave_m"][building]
    storeys = np.maximum(plan.buildings["storeys"][building], 1)
    pancake, soft = mode[rows] == MODE["pancake"], mode[rows] == MODE["soft_storey"]
    # floors of 0.3–0.9 m remain of storeys of about 3 m; one storey is missing where the ground storey gave way
    drop = np.where(
        pancake, eave * (0.9 - 0.2 * strength), np.where(soft, eave / storeys * 0.9, eave * 0.15 * strength)
    )
    slip = np.where(pancake, 2.0 * strength, np.where(soft, 0.9 * strength, lean_m(eave, strength)))
    after["eave_m"] = np.maximum(after["eave_m"] - drop, 0.4)
    after["x"] += slip * np.cos(heading)
    after["y"] += slip * np.sin(heading)
    after["angle"] += np.where(soft, 0.02, 0.09) * np.sin(7.0 * heading)
    after["parapet_m"] *= np.where(pancake, 0.3, 1.0)
    after["rise"] *= np.where(pancake, 0.6, 1.0)
    after["when"] = AFTER
    roofs = plan.roofs.copy()
    roofs["when"][rows] &= BEFORE
    keep = roofs["when"] > 0
    return replace(plan, roofs=join_rows([roofs[keep], after]))


def lean_m(eave_m: NDArray[np.floating], strength: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return by how many metres (N,) the roofs of leaning buildings lie beside their foundations; `strength` is 0–1."""
    return np.minimum(eave_m * (LEAN[0] + LEAN[1] * strength), MOST_LEAN_M)


def _clear_roofs(plan: Plan, outcome: Outcome) -> Plan:
    """Take away what stood on roofs that are gone, and two thirds of what stood on those that moved."""
    on_roof = np.flatnonzero(plan.boxes["on_roof"] > 0)
    hit = np.flatnonzero(NO_ROOF[outcome.modes] | np.isin(outcome.modes, _LOOSE))
    if not len(on_roof) or not len(hit):
        return plan
    from scipy.spatial import cKDTree

    centres = np.stack([plan.buildings["x"], plan.buildings["y"]], axis=1)
    things = np.stack([plan.boxes["x"][on_roof], plan.boxes["y"][on_roof]], axis=1)
    distance, nearest = cKDTree(centres).query(things)
    gone = np.isin(nearest, hit) & (distance < plan.buildings["radius_m"][nearest])
    gone &= NO_ROOF[outcome.modes[nearest]] | (np.arange(len(gone)) % 3 > 0)
    boxes = plan.boxes.copy()
    boxes["when"][on_roof[gone]] &= BEFORE
    return replace(plan, boxes=boxes[boxes["when"] > 0])
