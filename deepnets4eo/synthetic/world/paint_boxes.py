"""Paints boxes: cars, walls, hedges, tanks, panels, debris; on the ground or on what is below them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.noise import hash_unit, noise_fields
from deepnets4eo.synthetic.world.spans import columns_of, rows_of
from deepnets4eo.synthetic.world.surface import WorldSurface


def paint_boxes(surface: WorldSurface, boxes: NDArray[Any]) -> None:
    """Paint boxes in their order onto heights, colours, materials and slopes of a surface; those on the ground do not
    lie over roofs."""
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_boxes(
        surface.height, surface.albedo, surface.material, surface.roof, surface.slope_x, surface.slope_y, noise, boxes,
        surface.gsd_m, CODE["car"],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_boxes(height, albedo, material, roofs_at, slope_x, slope_y, noise, boxes, gsd_m, car):  # type: ignore[no-untyped-def]
    rows, cols = height.shape
    for index in range(len(boxes)):
        box = boxes[index]
        cos, sin = np.float32(np.cos(box.angle)), np.float32(np.sin(box.angle))
        # A thing thinner than a pixel still shows: at least 0.9 pixels wide, as the centres are sampled.
        half_a = max(np.float32(0.5) * box.length, np.float32(0.45 * gsd_m))
        half_b = max(np.float32(0.5) * box.width, np.float32(0.45 * gsd_m))
        share = min(box.length / (np.float32(0.9) * gsd_m), np.float32(1))
        share *= min(box.width / (np.float32(0.9) * gsd_m), np.float32(1))
        glazed = np.float32(0.4) + np.float32(0.2) * hash_unit(int(abs(box.x) * 32), int(abs(box.y) * 32), 9)
        top, bottom = rows_of(cos, sin, half_a, half_b, box.y, gsd_m, rows)
        for row in range(top, bottom):
            y = np.float32((row + 0.5) * gsd_m) - box.y
            left, right = columns_of(cos, sin, half_a, half_b, box.x, y, gsd_m, cols)
            for col in range(left, right):
                x = np.float32((col + 0.5) * gsd_m) - box.x
                a, b = cos * x + sin * y, cos * y - sin * x
                if abs(a) >= half_a or abs(b) >= half_b or (not box.on_roof and roofs_at[row, col] > 0):
                    continue
                tone = np.float32(1) + np.float32(0.04) * noise[2, row, col]
                if box.material == car:
                    along = a / half_a
                    if np.float32(0.18) < along < np.float32(0.42) or np.float32(-0.85) < along < np.float32(-0.62):
                        tone *= glazed
                for band in range(4):
                    value = min(max(box.colour[band] * tone, np.float32(4)), np.float32(252))
                    albedo[row, col, band] += share * (value - albedo[row, col, band])
                if box.on_roof:
                    height[row, col] += box.height_m
                else:
                    height[row, col] = max(box.height_m, np.float32(0))
                material[row, col] = box.material
                slope_x[row, col] = np.float32(0)
                slope_y[row, col] = np.float32(0)
