"""The state of a place after an event: grades, modes and strengths of damage, effects on the ground, water."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.intensity import Grid
from deepnets4eo.synthetic.world.inundation import Inundation

# Effects of hazards on the ground (mud, scorch, ash, dust: share of the ground at full intensity; crater), loose pieces
# (debris, blown down-wind), trees (felled, stripped, charred), cars moved, tents put up; of water its depth, clear,
# drained and flow.
EFFECTS = (
    "mud", "scorch", "ash", "dust", "crater", "debris", "blown", "felled", "stripped", "charred", "cars", "tents",
    "depth", "clear", "drained", "flow",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """Damage of a place.

    Parameters
    ----------
    hazard
        The name of the hazard.
    seed
        The seed of the noise in the paint.
    grades
        (N,) uint8 true grade of each building: 0 none, 1 minor, 2 major, 3 destroyed.
    visible
        (N,) uint8 grade that a view from above can show, at most the true one.
    modes
        (N,) uint8 codes of `damage_modes.MODE`.
    strength
        (N,) float32 0–1, how far the mode goes within its grade.
    heading
        (N,) float32 radians, towards which a building opens or falls.
    seeds
        (N,) int64 of the noise of each building.
    effects
        Strength of the effects on ground and trees, 0–1 (depth: metres), by name of `EFFECTS`.
    intensity
        (R, C) float32 0–1 at the nodes of `intensity.node_positions`.
    debris
        (R, C) float32 0–1, density of loose pieces on the ground.
    water
        Depth of water or mud, or None.
    """

    hazard: str
    seed: int
    grades: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    modes: NDArray[np.uint8]
    strength: NDArray[np.float32]
    heading: NDArray[np.float32]
    seeds: NDArray[np.int64]
    effects: dict[str, float]
    intensity: Grid
    debris: Grid
    water: Inundation | None = None
