"""Paints water that stands after an event: brown or clear, up to its level; roofs rise out of it; wet ground at its edge."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.damage_cover import bilinear, piece
from deepnets4eo.synthetic.world.damage_state import Outcome
from deepnets4eo.synthetic.world.noise import hash_unit, value_noise
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.surface import WorldSurface

_WATER = CODE["water"]
_PUDDLE_M = 0.35  # drained ground keeps puddles where the water was deepest: share of the highest depth


def paint_water(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Paint water over everything that is lower than its level, and wet ground beside it, in place and before trees."""
    if outcome.water is None:
        return
    depth = outcome.water.depth_m
    if outcome.water.drained:
        depth = depth - max((1 - _PUDDLE_M) * float(depth.max()), 0.3)
    rng = np.random.default_rng([outcome.seed, 2])
    brown = np.array([(118, 104, 82, 74), (134, 116, 92, 86), (104, 98, 82, 62), (146, 120, 88, 96)], np.float32)
    colour = brown[int(rng.integers(len(brown)))] * np.float32(rng.uniform(0.85, 1.1))
    clear = np.array([50, 58, 54, 30], np.float32) * np.float32(rng.uniform(0.8, 1.2))
    mixed = colour + np.float32(outcome.water.clear) * (clear - colour)
    opacity_m = 0.06 + 0.7 * outcome.water.clear  # depth at which 63 % of the ground is hidden
    _paint(
        surface.gsd_m, surface.height, surface.albedo, surface.material, surface.roof, surface.slope_x,
        surface.slope_y, np.asarray(depth, np.float32), mixed, opacity_m, outcome.effects["debris"], outcome.seed,
        outcome.water.drained,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _paint(gsd_m, height, albedo, material, roof, slope_x, slope_y, depth_m, colour, opacity_m, debris, seed, drained):  # type: ignore[no-untyped-def]
    for row in range(height.shape[0]):
        y = (row + 0.5) * gsd_m
        for col in range(height.shape[1]):
            x = (col + 0.5) * gsd_m
            if drained and material[row, col] == _WATER:  # the sea is there again, and no puddle in it
                continue
            over = bilinear(depth_m, x, y) - height[row, col]
            if over < -0.25 or (over < 0 and roof[row, col] > 0):
                continue
            if over <= 0:  # wet ground
                dark = 1 - 0.28 * (1 + over / 0.25)
                for band in range(4):
                    albedo[row, col, band] *= dark
                continue
            weight = 1 - math.exp(-over / opacity_m)
            streak = 1 + 0.06 * value_noise(x, y, 38.0, seed) + 0.02 * value_noise(x, y, 5.0, seed + 1)
            for band in range(4):
                wet = 0.6 * albedo[row, col, band] if band < 3 else 0.3 * albedo[row, col, band]
                albedo[row, col, band] = wet + weight * (colour[band] * streak - wet)
            height[row, col] += over
            slope_x[row, col], slope_y[row, col], roof[row, col] = 0, 0, 0
            material[row, col] = _WATER
            if debris > 0 and value_noise(x, y, 14.0, seed + 2) > 0.35 and piece(x, y, 1.2, seed) < 0.6 * debris:
                tone = 90 + 70 * hash_unit(int(x / 1.2), int(y / 1.2), seed)
                albedo[row, col, 0], albedo[row, col, 1] = tone, 0.92 * tone
                albedo[row, col, 2], albedo[row, col, 3] = 0.82 * tone, tone
