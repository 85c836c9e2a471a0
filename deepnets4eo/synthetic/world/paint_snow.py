"""Paints snow over ground and roofs: patchy where thin, missing on water, thin on roads, gone from steep roofs."""

from __future__ import annotations

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE, KIND
from deepnets4eo.synthetic.world.noise import noise_fields
from deepnets4eo.synthetic.world.surface import WorldSurface

WHITE = (226, 229, 235, 214)


def paint_snow(surface: WorldSurface, snow: float) -> None:
    """Whiten what lies under the sky; materials stay what they are.

    Parameters
    ----------
    surface
        Its albedo is written.
    snow
        0 for none to 1, see `WorldSeason`.
    """
    holds = np.ones(len(KIND), np.float32)
    for code, kind in enumerate(KIND):
        if kind == "water":
            holds[code] = 0.0
        elif kind == "car":
            holds[code] = 0.8
    for name, share in (("asphalt", 0.45), ("old_asphalt", 0.6), ("paint", 0.3), ("pool", 0.0), ("concrete", 0.7)):
        holds[CODE[name]] = share
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    white = np.array(WHITE, np.float32)
    _paint_snow(
        surface.albedo, surface.material, surface.slope_x, surface.slope_y, noise, holds, white, np.float32(snow)
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_snow(albedo, material, slope_x, slope_y, noise, holds, white, snow):  # type: ignore[no-untyped-def]
    height, width = material.shape
    for row in range(height):
        for col in range(width):
            steep = abs(slope_x[row, col]) + abs(slope_y[row, col])
            depth = np.float32(2.4) * snow * holds[material[row, col]] - np.float32(0.5) - np.float32(0.5) * steep
            depth += (
                np.float32(0.22) * (noise[0, row, col] + noise[1, row, col]) + np.float32(0.12) * noise[2, row, col]
            )
            share = min(max(depth * np.float32(1.4), np.float32(0)), np.float32(0.96))
            if holds[material[row, col]] == 0:
                continue
            for band in range(4):
                albedo[row, col, band] += share * (white[band] - albedo[row, col, band])
