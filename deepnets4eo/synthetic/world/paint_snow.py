"""Paints snow over ground and roofs: patchy where thin, missing on water, thin on roads, gone from steep and from warm roofs."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE, KIND
from deepnets4eo.synthetic.world.noise import noise_fields
from deepnets4eo.synthetic.world.surface import WorldSurface

WHITE = (226, 229, 235, 214)


def paint_snow(surface: WorldSurface, snow: float) -> None:
    """Whiten the albedo of what lies under the sky by `snow` (0–1); materials stay what they are. Roofs differ in
    warmth from date to date. At half of the dates the snow is older than the damage, so that rubble lies bare."""
    rng = np.random.default_rng([surface.seed, 57, round(snow * 10_000)])
    buildings = int(surface.building.max()) + 1
    warmth = (rng.uniform(0, 1.2) * rng.uniform(0, 1, buildings)).astype(np.float32)
    warmth[0] = 0  # the ground
    white = np.array(WHITE, np.float32) * np.float32(rng.uniform(0.75, 1.0))
    holds = _hold_snow(rubble=rng.random() < 0.5)
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_snow(
        surface.albedo, surface.material, surface.building, surface.slope_x, surface.slope_y, noise, holds, warmth, white,
        np.float32(snow),
    )  # fmt: skip


def _hold_snow(*, rubble: bool) -> NDArray[np.float32]:
    """Share of the snow that stays on each material."""
    holds = np.ones(len(KIND), np.float32)
    for code, kind in enumerate(KIND):
        if kind == "water":
            holds[code] = 0.0
        elif kind == "car":
            holds[code] = 0.8
    for name, share in (("asphalt", 0.45), ("old_asphalt", 0.6), ("paint", 0.3), ("pool", 0.0), ("concrete", 0.7)):
        holds[CODE[name]] = share
    if not rubble:
        holds[[CODE[name] for name in ("rubble", "wood", "burnt", "ash")]] = 0.0
    return holds


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_snow(  # type: ignore[no-untyped-def]
    albedo, material, building, slope_x, slope_y, noise, holds, warmth, white, snow
):
    height, width = material.shape
    for row in range(height):
        for col in range(width):
            if holds[material[row, col]] == 0:
                continue
            steep = abs(slope_x[row, col]) + abs(slope_y[row, col])
            depth = np.float32(2.4) * snow * holds[material[row, col]] - np.float32(0.5) - np.float32(0.5) * steep
            depth += (
                np.float32(0.22) * (noise[0, row, col] + noise[1, row, col]) + np.float32(0.12) * noise[2, row, col]
            )
            depth -= warmth[building[row, col]]
            share = min(max(depth * np.float32(1.4), np.float32(0)), np.float32(0.96))
            for band in range(4):
                albedo[row, col, band] += share * (white[band] - albedo[row, col, band])
