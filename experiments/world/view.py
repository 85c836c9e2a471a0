"""What a sensor sees of a surface in the sun: tall things lean away from the nadir and show their walls; labels lean with them.

Takes the painted surface, its sun and sky, and a direction of view; gives linear radiance and the truth of each pixel. A sun ray
stays in one sheared column of pixels: along it the height of the shadow's edge loses gsd · tan(elevation) a step and meets each
row's heights. The time is linear in pixels, for shadows of any length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.cards import Legend
from deepnets4eo.synthetic import Light
from deepnets4eo.synthetic.materials import KIND
from deepnets4eo.synthetic.sensor import SKY_TINT
from world.plan import Plan
from world.shade import CLOUD_PX, Layers, Scene, face_sun, find_tops, see_pixels
from world.surface import Floats, WorldSurface

# A full crown leaves this share of the direct sun.
THROUGH_CROWN = 0.12


@dataclass(frozen=True)
class Frame:
    """Where an image (rows, columns) lies on a surface, by the row and column of its upper left pixel, and its lean:
    (right, down) displacement in metres per metre of height."""

    shape: tuple[int, int]
    origin: tuple[int, int]
    lean: tuple[float, float]


@dataclass(frozen=True)
class Sky:
    """Clouds over an image on a coarse lattice of `CLOUD_PX` pixels: `veil` (h, w) opacity of thin cloud, `dimming` (h,
    w) share of direct light that cloud shadow takes, 0–1."""

    veil: Floats
    dimming: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, int]) -> Sky:
        """Draw a sky: mostly clear; thin cloud over one image in twelve, cloud shadow over one in ten."""
        size = tuple(side // CLOUD_PX + 2 for side in shape)
        veil = _soft_patches(rng, size, rng.uniform(0.08, 0.45)) if rng.random() < 0.08 else np.zeros(size, np.float32)
        shadow = _soft_patches(rng, size, rng.uniform(0.4, 0.85)) if rng.random() < 0.1 else np.zeros(size, np.float32)
        return cls(veil, shadow)


def _soft_patches(rng: np.random.Generator, size: tuple[int, ...], depth: float) -> Floats:
    """Smooth random patches of 0 to `depth`."""
    from scipy import ndimage

    field = ndimage.gaussian_filter(rng.normal(size=size), rng.uniform(2.0, 6.0), mode="reflect")
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return np.clip(depth * (0.5 + 0.9 * (field - rng.uniform(0, 1))), 0, depth).astype(np.float32)


@dataclass(frozen=True)
class Sight:
    """What an image shows: radiance (H, W, 4), linear, 1 for a white level field in full light; labels of the legend
    "minicity"; `roofs`, row of `plan.buildings` plus 1, also under crowns; height above ground in metres of what is
    seen."""

    radiance: Floats
    labels: NDArray[np.uint8]
    roofs: NDArray[np.int32]
    height: Floats


def see(surface: WorldSurface, plan: Plan, light: Light, frame: Frame, sky: Sky) -> Sight:
    """Return what an image of a surface shows under a sun and clouds; `frame` has the position and lean of the image,
    and walls stand under the roofs of the plan."""
    sun, crown_sun, open_sky = sun_and_sky(surface, light)
    azimuth, elevation = np.radians(light.azimuth_deg), np.radians(light.elevation_deg)
    to_sun = (np.array([np.sin(azimuth), -np.cos(azimuth)]) / np.tan(elevation)).astype(np.float32)
    facing = face_sun(
        surface.ground,
        surface.height,
        surface.canopy,
        surface.slope_x,
        surface.slope_y,
        to_sun,
        surface.gsd_m,
        crown_sun,
    )
    lean = np.array(frame.lean, np.float32) / np.float32(surface.gsd_m)
    crowns, highest = find_tops(surface.height, surface.canopy, surface.cover, lean)
    seen: tuple[Any, ...] = (
        surface.height, surface.albedo, surface.material, surface.building, surface.roof, surface.slope_x,
        surface.slope_y, crowns, surface.cover, surface.leaf, sun, open_sky, facing, crown_sun,
    )  # fmt: skip
    layers = Layers(*(layer.reshape(-1, *layer.shape[2:]) for layer in seen))
    scene = Scene(
        np.float32(surface.gsd_m), lean, to_sun, np.float32(light.direct), SKY_TINT, sky.veil, sky.dimming,
        *_class_values(),
    )  # fmt: skip
    sight = Sight(
        np.empty((*frame.shape, 4), np.float32),
        np.empty(frame.shape, np.uint8),
        np.empty(frame.shape, np.int32),
        np.empty(frame.shape, np.float32),
    )
    see_pixels(
        surface.height, crowns, highest, layers, plan.roofs, scene, np.array(frame.origin), sight.radiance,
        sight.labels, sight.roofs, sight.height,
    )  # fmt: skip
    return sight


@lru_cache(maxsize=1)
def _class_values() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Values of the legend "minicity" by material, and those of building, clutter, tree and water."""
    legend = Legend.load("minicity")
    names = ("building", "clutter", "tree", "water")
    return tuple(np.array([legend.value(name) for name in group], np.uint8) for group in (KIND, names))  # type: ignore[return-value]


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a sun of 15–70°, between east and west on the southern side or, one time in four, on the northern, and the
    share of direct light; one sky in eight is overcast."""
    direct = rng.uniform(0.05, 0.4) if rng.random() < 0.12 else rng.uniform(0.6, 0.88)
    azimuth = rng.uniform(95, 265) + (180 if rng.random() < 0.25 else 0)
    return Light(float(azimuth % 360), float(15 + 55 * rng.beta(1.4, 1.4)), float(direct))


def sun_and_sky(surface: WorldSurface, light: Light) -> tuple[Floats, Floats, Floats]:
    """Return three (H, W) float32 of 0–1: direct sun on the solid top, direct sun on the top of crowns, sky on the
    solid top."""
    azimuth = np.radians(light.azimuth_deg)
    right, down = float(np.sin(azimuth)), float(-np.cos(azimuth))
    tangent = float(np.tan(np.radians(light.elevation_deg)))
    across = abs(right) > abs(down)
    minor, major = (down, right) if across else (right, down)
    slope = minor / abs(major)
    drop = surface.gsd_m * np.hypot(1.0, slope) * tangent
    length, width = surface.shape[::-1] if across else surface.shape
    shift = np.round(np.arange(length) * slope).astype(np.int64)
    shift -= shift.min()
    on_solid, on_crown, sky = np.empty((3, *surface.shape), np.float32)
    (_sweep_across if across else _sweep_down)(
        surface.ground, surface.height, surface.canopy, surface.cover, on_solid, on_crown, shift,
        width + int(shift.max()), np.float32(drop), major > 0, np.float32(1 - THROUGH_CROWN),
    )  # fmt: skip
    _openness(surface.height, surface.canopy, surface.cover, sky, max(int(round(2.2 / surface.gsd_m)), 1))
    return on_solid, on_crown, sky


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _step(base, height, canopy, here, solid, crown, dimming, per_soft, opaque):  # type: ignore[no-untyped-def]
    """Follow a sun ray by one step: what it leaves on the solid top and on the crown of the pixel, and the edges of the
    shadow of solid things and of crowns behind them."""
    zero, one, over = np.float32(0), np.float32(1), np.float32(0.12)
    top = base + height
    # Shadow where the edge is above the top; the border is as wide as one step of the ray.
    lit = min(max((top + over - solid) * per_soft + one, zero), one)
    shade = min(max((crown - top - over) * per_soft, zero), one) * dimming
    leafy = lit
    if here > 0:
        peak = base + canopy
        if peak > top:
            leafy = min(max((peak + over - solid) * per_soft + one, zero), one)
            above = min(max((crown - peak - np.float32(0.4)) * per_soft, zero), one) * dimming
            leafy *= one - np.float32(0.68) * opaque * above
            shade = max(shade, here * np.float32(0.8))
        if peak > crown:
            crown, dimming = peak, here
    return lit * (one - opaque * shade), leafy, max(solid, top), crown, dimming


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep_down(ground, height, canopy, cover, on_solid, on_crown, shift, width, drop, backwards, opaque):  # type: ignore[no-untyped-def]
    """From the sun's side, row by row, from the last row where `backwards`."""
    rows, cols = ground.shape
    solid, crown = np.full(width, np.float32(-1e6)), np.full(width, np.float32(-1e6))
    dimming = np.zeros(width, np.float32)
    per_soft = np.float32(1) / max(drop, np.float32(0.2))
    for step in range(rows):
        row = rows - 1 - step if backwards else step
        for col in range(cols):
            k = shift[step] + col
            on_solid[row, col], on_crown[row, col], solid[k], crown[k], dimming[k] = _step(
                ground[row, col], height[row, col], canopy[row, col], cover[row, col], solid[k] - drop, crown[k] - drop,
                dimming[k], per_soft, opaque,
            )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep_across(ground, height, canopy, cover, on_solid, on_crown, shift, width, drop, backwards, opaque):  # type: ignore[no-untyped-def]
    """From the sun's side, ray by ray, as neighbours in a row lie side by side in memory."""
    rows, cols = ground.shape
    per_soft = np.float32(1) / max(drop, np.float32(0.2))
    for k in range(width):
        solid, crown, dimming = np.float32(-1e6), np.float32(-1e6), np.float32(0)
        for step in range(cols):
            row, col = k - shift[step], cols - 1 - step if backwards else step
            if 0 <= row < rows:
                on_solid[row, col], on_crown[row, col], solid, crown, dimming = _step(
                    ground[row, col], height[row, col], canopy[row, col], cover[row, col], solid - drop, crown - drop,
                    dimming, per_soft, opaque,
                )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _openness(height, canopy, cover, sky, reach):  # type: ignore[no-untyped-def]
    """1 on level ground, less beside what is higher on average within `reach` pixels."""
    rows, cols = height.shape
    mean_rows = np.zeros((rows, cols), np.float32)
    count = np.float32(1.0 / (2 * reach + 1))
    for row in range(rows):
        total = np.float32(0)
        for step in range(-reach, reach + cols):
            if 0 <= step < cols:
                total += max(height[row, step], canopy[row, step] * cover[row, step])
            gone = step - 2 * reach - 1
            if gone >= 0:
                total -= max(height[row, gone], canopy[row, gone] * cover[row, gone])
            if step - reach >= 0:
                mean_rows[row, step - reach] = total * count
    sums = np.zeros(cols, np.float32)
    for step in range(rows + reach):
        if step < rows:
            for col in range(cols):
                sums[col] += mean_rows[step, col]
        gone, middle = step - 2 * reach - 1, step - reach
        if gone >= 0:
            for col in range(cols):
                sums[col] -= mean_rows[gone, col]
        if middle >= 0:
            for col in range(cols):
                higher = sums[col] * count - height[middle, col]
                sky[middle, col] = np.float32(1) - min(max(np.float32(0.11) * higher, np.float32(0)), np.float32(0.55))
