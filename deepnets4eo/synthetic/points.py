"""A LiDAR cloud of the surface: one pulse hits the top; through crowns some go on to the ground.

Classes are ASPRS codes: 2 ground, 3 low, 5 high vegetation, 6 building, 9 water, 11 road, 1 anything else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.points import PointCloud
from deepnets4eo.synthetic.materials import CODE, KIND, STANDING_M
from deepnets4eo.synthetic.surface import OPAQUE, Surface

ASPRS = {"impervious": 11, "low_vegetation": 2, "water": 9, "building": 6, "tree": 5}


def sample_points(surface: Surface, canvas: Grid, extent: Any, density: float, rng: np.random.Generator) -> PointCloud:
    """Sample `density` pulses per square metre over an extent (left, bottom, right, top in ground coordinates)."""
    left, bottom, right, top = extent.left, extent.bottom, extent.right, extent.top
    count = int(rng.poisson(density * (right - left) * (top - bottom)))
    x, y = rng.uniform(left, right, count), rng.uniform(bottom, top, count)
    col, row = apply_affine(~canvas.affine, np.column_stack([x, y])).T
    row = np.clip(row.astype(int), 0, surface.shape[0] - 1)
    col = np.clip(col.astype(int), 0, surface.shape[1] - 1)
    ground, height = surface.ground[row, col], surface.height[row, col]
    crown = surface.cover[row, col] > OPAQUE
    through = crown & (rng.random(count) < 0.35)
    canopy = np.maximum(surface.canopy[row, col], height)
    first = ground + np.where(crown, canopy, height)
    codes = surface_classes(surface, row, col, height)
    noise = rng.normal(0, 0.03, (2, count))
    xyz = np.stack([x, y, first + noise[0]], axis=1)
    below = np.stack([x, y, ground + height + noise[1]], axis=1)[through]
    bright = intensities(surface.leaf[3, row, col], rng)
    under = intensities(surface.albedo[3, row, col], rng)
    number = np.concatenate([np.ones(count), np.full(len(below), 2)]).astype(np.uint8)
    total = np.where(through, 2, 1)
    return PointCloud(
        np.concatenate([xyz, below]),
        intensity=np.concatenate([np.where(crown, bright, under), under[through] // 2])
        .astype(np.uint16)
        .astype(np.float32),
        return_number=number,
        number_of_returns=np.concatenate([total, total[through]]).astype(np.uint8),
        classification=np.concatenate([np.where(crown, 5, codes), codes[through]]).astype(np.uint8),
        crs=None if canvas.crs is None else canvas.crs.proj,
        source="points of the miniature city",
        synthetic=True,
    )


def surface_classes(surface: Surface, row: np.ndarray, col: np.ndarray, height: np.ndarray) -> np.ndarray:
    """ASPRS code of the solid surface."""
    lookup = np.array([ASPRS.get(kind, 1) for kind in KIND], np.uint8)
    lookup[[CODE["shrub"]]] = 3
    lookup[[CODE["soil"]]] = 2
    codes = lookup[surface.material[row, col]]
    own = surface.building[row, col] > 0
    return np.where(own & (height >= STANDING_M), 6, np.where(own & (codes == 6), 1, codes))


def intensities(near: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return strength from near-infrared reflectance, with speckle."""
    reflectance = (near.astype(np.float32) / 255) ** 2
    return np.clip(reflectance * 4000 * rng.normal(1, 0.12, len(near)), 0, 65535)
