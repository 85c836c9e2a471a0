"""Light on the surface: cast shadows swept along the sun's azimuth, shading by slope, sky seen from each pixel.

Takes heights in metres; all passes are linear in pixels, for shadows of any length.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepnets4eo.synthetic.style import Light
from deepnets4eo.synthetic.surface import OPAQUE, Surface

SHADOW_EPS_M = 0.12
SKY_TINT = np.array([0.92, 0.98, 1.14, 0.85], np.float32)  # light from the sky is bluish, poor in infrared


def horizon(top: np.ndarray, light: Light, gsd_m: float) -> np.ndarray:
    """Return the height (H, W) of the shadow's edge above each pixel, -inf where nothing is up-sun; lower surfaces are
    in cast shadow. In coordinates sheared along the azimuth a sun ray stays in one column, so that a running maximum
    that loses gsd · tan(elevation) per step is enough."""
    azimuth = np.radians(light.azimuth_deg)
    right, down = float(np.sin(azimuth)), float(-np.cos(azimuth))  # towards the sun
    if abs(right) > abs(down):
        return np.ascontiguousarray(_sweep(np.ascontiguousarray(top.T), down, right, light, gsd_m).T)
    return _sweep(top, right, down, light, gsd_m)


def _sweep(top: np.ndarray, minor: float, major: float, light: Light, gsd_m: float) -> np.ndarray:
    """The pass along rows; `minor`, `major` point to the sun along columns and rows."""
    height, width = top.shape
    slope = minor / abs(major)
    drop = np.float32(gsd_m * np.hypot(1.0, slope) * np.tan(np.radians(light.elevation_deg)))
    order = range(height) if major < 0 else range(height - 1, -1, -1)
    shift = np.round(np.arange(height) * slope).astype(int)
    shift -= shift.min()
    buffer = np.full(width + int(shift.max()), -np.inf, np.float32)
    out = np.empty_like(top)
    for step, row in enumerate(order):
        line = buffer[shift[step] : shift[step] + width]
        line -= drop
        out[row] = line
        np.maximum(line, top[row], out=line)
    return out


def sunlit(surface: Surface, light: Light) -> np.ndarray:
    """Share of direct sun reaching the top surface, (H, W) float32 0–1; crowns let some through."""
    solid = surface.ground + surface.height
    crowns = np.where(surface.cover > OPAQUE, surface.ground + surface.canopy, np.float32(-1e4))
    top = np.maximum(solid, crowns) + np.float32(SHADOW_EPS_M)
    lit = np.ones(surface.shape, np.float32)
    lit -= 0.80 * (horizon(crowns, light, surface.gsd_m) > top + 0.4)
    lit[horizon(solid, light, surface.gsd_m) > top] = 0.0
    return ndimage.uniform_filter(lit, 3, mode="nearest") if light.direct > 0.4 else ndimage.uniform_filter(lit, 7)


def openness(surface: Surface) -> np.ndarray:
    """Share of the sky that a pixel sees, approximately: lower beside higher objects, (H, W) float32 0.5–1."""
    top = np.maximum(surface.height, np.where(surface.cover > OPAQUE, surface.canopy, 0))
    around = top
    for radius_m in (1.5, 3.0):
        around = ndimage.uniform_filter(around, max(int(radius_m / surface.gsd_m) | 1, 3), mode="nearest")
    return 1 - np.clip((around - top) * np.float32(0.09), 0, 0.5)


def slopes(surface: Surface, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the visible top surface over some rows: roof planes as planned, crowns by differences."""
    crown = surface.cover[rows] > 0
    slope_x = surface.slope_x[rows].astype(np.float32)
    slope_y = surface.slope_y[rows].astype(np.float32)
    if crown.any():
        canopy = surface.canopy[rows]
        steep_y, steep_x = np.gradient(canopy, surface.gsd_m) if canopy.shape[0] > 1 else (canopy * 0, canopy * 0)
        np.copyto(slope_x, np.clip(steep_x, -1.2, 1.2), where=crown)
        np.copyto(slope_y, np.clip(steep_y, -1.2, 1.2), where=crown)
    return slope_x, slope_y


def illumination(slope_x: np.ndarray, slope_y: np.ndarray, light: Light) -> np.ndarray:
    """Direct sun on a tilted facet relative to level ground (Lambert), 0–1.6."""
    azimuth, elevation = np.radians(light.azimuth_deg), np.radians(light.elevation_deg)
    right, down = np.sin(azimuth) / np.tan(elevation), -np.cos(azimuth) / np.tan(elevation)
    facing = 1 - slope_x * np.float32(right) - slope_y * np.float32(down)
    facing /= np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    return np.clip(facing, 0.0, 1.6)


def cloud_shadows(rng: np.random.Generator, shape: tuple[int, int], gsd_m: float, count: int) -> np.ndarray | None:
    """Share of direct light left under `count` soft clouds, (H, W) float32 0–1; None without clouds."""
    if not count:
        return None
    height, width = shape
    out = np.ones((height, width), np.float32)
    y = np.arange(height, dtype=np.float32)[:, None] * np.float32(gsd_m)
    x = np.arange(width, dtype=np.float32)[None] * np.float32(gsd_m)
    for _ in range(count):
        x0, y0 = rng.uniform(0, width * gsd_m), rng.uniform(0, height * gsd_m)
        radius, depth = rng.uniform(25, 90, 2), np.float32(rng.uniform(0.4, 0.75))
        weight_x = np.exp(-((x - np.float32(x0)) ** 2) / np.float32(radius[0] ** 2))
        weight_y = np.exp(-((y - np.float32(y0)) ** 2) / np.float32(radius[1] ** 2))
        out *= 1 - depth * np.clip(1.6 * weight_x * weight_y, 0, 1)
    return out
