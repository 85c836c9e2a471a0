"""Heaps of rubble beside collapsed walls, and the crater of an explosion."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.damage_cover import piece, rubble_colour
from deepnets4eo.synthetic.world.damage_modes import DEBRIS, MODE
from deepnets4eo.synthetic.world.damage_state import Outcome
from deepnets4eo.synthetic.world.intensity import CELL_M
from deepnets4eo.synthetic.world.noise import value_noise
from deepnets4eo.synthetic.world.plan import NO_BUILDING, Plan
from deepnets4eo.synthetic.world.surface import WorldSurface

_RUBBLE, _SOIL = CODE["rubble"], CODE["soil"]
# Modes with a heap beside the walls; what swept a slab took the pieces along.
_HEAPED = (DEBRIS >= 0.18) & (np.arange(len(DEBRIS)) != MODE["slab"])


def paint_crater(surface: WorldSurface, outcome: Outcome) -> None:
    """Paint bare soil with a rim where the intensity is highest, in place and before roofs."""
    row, col = np.unravel_index(int(outcome.intensity.argmax()), outcome.intensity.shape)
    _crater(
        surface.gsd_m, surface.albedo, surface.material, surface.height, CELL_M * col, CELL_M * row,
        6.0 + 24.0 * (outcome.effects["crater"] - 0.5), outcome.seed,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _crater(gsd_m, albedo, material, height, x_m, y_m, radius, seed):  # type: ignore[no-untyped-def]
    reach = 2.0 * radius
    top, bottom = max(int((y_m - reach) / gsd_m), 0), min(int((y_m + reach) / gsd_m) + 1, material.shape[0])
    left, right = max(int((x_m - reach) / gsd_m), 0), min(int((x_m + reach) / gsd_m) + 1, material.shape[1])
    for row in range(top, bottom):
        for col in range(left, right):
            x, y = (col + 0.5) * gsd_m, (row + 0.5) * gsd_m
            ragged = 1 + 0.3 * value_noise(x, y, 6.0, seed + 40)
            distance = math.hypot(x - x_m, y - y_m) / (radius * ragged)
            if distance > 1.8:
                continue
            weight = 0.95 if distance < 1 else 0.9 * (1.8 - distance) / 0.8
            tone = (0.7 if distance < 0.6 else 1.05) * (0.9 + 0.2 * piece(x, y, 1.0, seed))
            for band in range(4):
                soil = (142 - 14 * band if band < 3 else 138) * tone
                albedo[row, col, band] += weight * (soil - albedo[row, col, band])
            if distance < 1.2:
                material[row, col] = _SOIL
                height[row, col] = max(0.9 - 4.0 * abs(distance - 1.0), 0.0)


def paint_aprons(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Paint heaps beside the walls of buildings that came down in part or whole, in place and before roofs."""
    roofs = plan.roofs
    owner = roofs["building"]
    rows = np.flatnonzero(owner != NO_BUILDING)
    rows = rows[_HEAPED[outcome.modes[owner[rows]]]]
    if not len(rows):
        return
    roofs, owner = roofs[rows], owner[rows]
    reach = (0.8 + 3.5 * DEBRIS[outcome.modes[owner]] * outcome.strength[owner]) * np.sqrt(
        np.clip(plan.buildings["eave_m"][owner] / 4, 0.6, 4)
    )
    parts = np.stack([roofs["x"], roofs["y"], np.cos(roofs["angle"]), np.sin(roofs["angle"]), roofs["length"] / 2,
                      roofs["width"] / 2, reach, np.cos(outcome.heading[owner]), np.sin(outcome.heading[owner])],
                     axis=1).astype(np.float64)  # fmt: skip
    _aprons(
        surface.gsd_m, surface.albedo, surface.material, surface.height, parts, outcome.seeds[owner],
        plan.buildings["construction"][owner].astype(np.int64), _dust_share(outcome)[owner],
    )  # fmt: skip


def _dust_share(outcome: Outcome) -> np.ndarray:
    """How far dust or ash covers the heaps of each building."""
    return np.asarray(np.where(outcome.modes == MODE["ash"], 0.9, outcome.effects["dust"]), np.float64)


@njit(cache=True, nogil=True, error_model="numpy")
def _aprons(gsd_m, albedo, material, height, parts, seeds, constructions, dusts):  # type: ignore[no-untyped-def]
    for index in range(len(parts)):
        part, seed = parts[index], seeds[index]
        around = math.hypot(part[4], part[5]) + 1.6 * part[6]
        top, bottom = max(int((part[1] - around) / gsd_m), 0), min(int((part[1] + around) / gsd_m) + 1, len(material))
        left = max(int((part[0] - around) / gsd_m), 0)
        right = min(int((part[0] + around) / gsd_m) + 1, material.shape[1])
        for row in range(top, bottom):
            for col in range(left, right):
                x, y = (col + 0.5) * gsd_m, (row + 0.5) * gsd_m
                u, v = x - part[0], y - part[1]
                a = max(abs(u * part[2] + v * part[3]) - part[4], 0.0)
                b = max(abs(v * part[2] - u * part[3]) - part[5], 0.0)
                side = (u * part[7] + v * part[8]) / (math.hypot(u, v) + 0.1)
                reach = part[6] * (1 + 0.6 * side)  # most falls one way
                distance = math.sqrt(a * a + b * b) / reach
                if distance == 0:  # the roof is painted there
                    continue
                if distance > 1.4 or distance + 0.5 * value_noise(x, y, 2.6, seed + 50) > 0.8:
                    continue
                red, green, blue, infrared = rubble_colour(x, y, constructions[index], dusts[index], seed)
                albedo[row, col, 0], albedo[row, col, 1] = red, green
                albedo[row, col, 2], albedo[row, col, 3] = blue, infrared
                material[row, col] = _RUBBLE
                heap = max(0.45 * reach * (1 - distance), 0.1) * (0.7 + 0.5 * piece(x, y, 1.3, seed))
                height[row, col] = max(height[row, col], min(heap, 2.5))
