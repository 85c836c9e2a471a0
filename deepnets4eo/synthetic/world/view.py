"""What a sensor sees of a surface: tall things lean away from the nadir and show their walls; labels lean with them.

Takes the painted surface, its sun and sky, and a direction of view; gives linear radiance and the truth of each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.synthetic.light import SKY_TINT
from deepnets4eo.synthetic.materials import KIND
from deepnets4eo.synthetic.style import Light
from deepnets4eo.synthetic.surface import OPAQUE
from deepnets4eo.synthetic.world.light import sun_and_sky
from deepnets4eo.synthetic.world.noise import hash_unit
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.surface import Floats, WorldSurface

CLOUD_PX = 16  # lattice of clouds
BLOCK_PX = 8  # blocks of which the highest top is known
STANDING_M = np.float32(1.6)  # a lower building is rubble
OPAQUE_SHARE = np.float32(OPAQUE / 255)  # cover from which a crown is what is seen


@dataclass(frozen=True)
class Frame:
    """Where an image lies on a surface and from where it is seen.

    Parameters
    ----------
    shape
        (rows, columns) of the image.
    origin
        Row and column of the surface at the image's upper left pixel.
    lean
        (right, down) displacement in metres per metre of height.
    """

    shape: tuple[int, int]
    origin: tuple[int, int]
    lean: tuple[float, float]


@dataclass(frozen=True)
class Sky:
    """Clouds over an image on a coarse lattice of `CLOUD_PX` pixels.

    Parameters
    ----------
    veil
        (h, w) float32 opacity of thin cloud, 0–1.
    dimming
        (h, w) float32 share of direct light that cloud shadow takes, 0–1.
    """

    veil: Floats
    dimming: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, int]) -> Sky:
        """Draw a sky: mostly clear; thin cloud over one image in twelve, cloud shadow over one in ten.

        Parameters
        ----------
        rng
            Source of the draw.
        shape
            (rows, columns) of the image.
        """
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
    """What an image shows, all (H, W) unless said.

    Parameters
    ----------
    radiance
        (H, W, 4) float32, linear; 1 is a white level field in full light.
    labels
        uint8 in the values of the legend "minicity".
    roofs
        int32, row of `plan.buildings` plus 1 where its roof is seen or would be without crowns.
    height
        float32, metres above ground of what is seen.
    """

    radiance: Floats
    labels: NDArray[np.uint8]
    roofs: NDArray[np.int32]
    height: Floats


def see(surface: WorldSurface, plan: Plan, light: Light, frame: Frame, sky: Sky) -> Sight:
    """Return what an image of a surface shows.

    Parameters
    ----------
    surface
        Painted from the plan.
    plan
        Of one date; walls stand under its roofs.
    light
        Sun.
    frame
        Position and lean of the image.
    sky
        Clouds.
    """
    on_solid, on_crown, open_sky = sun_and_sky(surface, light)
    height, width = frame.shape
    sight = Sight(
        np.empty((height, width, 4), np.float32),
        np.empty(frame.shape, np.uint8),
        np.empty(frame.shape, np.int32),
        np.empty(frame.shape, np.float32),
    )
    kinds, codes = _class_values()
    lean = np.array(frame.lean, np.float32) / np.float32(surface.gsd_m)
    azimuth, elevation = np.radians(light.azimuth_deg), np.radians(light.elevation_deg)
    sun = np.array([np.sin(azimuth), -np.cos(azimuth)]) / np.tan(elevation)
    tops, highest = _tops(surface.height, surface.canopy, surface.cover, lean)
    _see(
        surface.ground, surface.height, surface.canopy, surface.cover, surface.leaf, surface.albedo, surface.material,
        surface.building, surface.roof, surface.slope_x, surface.slope_y, on_solid, on_crown, open_sky,
        plan.roofs, tops, highest, sky.veil, sky.dimming, lean, np.array(frame.origin), sun.astype(np.float32),
        np.float32(light.direct), SKY_TINT, kinds, codes, np.float32(surface.gsd_m),
        sight.radiance, sight.labels, sight.roofs, sight.height,
    )  # fmt: skip
    return sight


@lru_cache(maxsize=1)
def _class_values() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Values of the legend "minicity" by material, and those of building, clutter, tree and water."""
    legend = Legend.load("minicity")
    names = ("building", "clutter", "tree", "water")
    return tuple(np.array([legend.value(name) for name in group], np.uint8) for group in (KIND, names))  # type: ignore[return-value]


@njit(cache=True, error_model="numpy")
def _tops(height, canopy, cover, lean):  # type: ignore[no-untyped-def]
    """Top of solid things and crowns, and the highest one that can lean into each block of pixels, metres."""
    rows, cols = height.shape
    block = BLOCK_PX
    tops = np.empty((rows, cols), np.float32)
    down, across = (rows + block - 1) // block, (cols + block - 1) // block
    top = np.zeros((down, across), np.float32)
    most = np.float32(0)
    for row in range(rows):
        for col in range(cols):
            value = height[row, col]
            if cover[row, col] > 0 and canopy[row, col] > value:
                value = canopy[row, col]
            tops[row, col] = value
            if value > top[row // block, col // block]:
                top[row // block, col // block] = value
                most = max(most, value)
    reach_x, reach_y = lean[0] * most / block, lean[1] * most / block
    left, right = int(np.floor(min(-reach_x, 0) - 0.2)), int(np.ceil(max(-reach_x, 0) + 0.2))
    upper, lower = int(np.floor(min(-reach_y, 0) - 0.2)), int(np.ceil(max(-reach_y, 0) + 0.2))
    out = np.zeros_like(top)
    for i in range(down):
        for j in range(across):
            for m in range(max(i + upper, 0), min(i + lower + 1, down)):
                for n in range(max(j + left, 0), min(j + right + 1, across)):
                    out[i, j] = max(out[i, j], top[m, n])
    return tops, out


@njit(cache=True, error_model="numpy")
def _wall(roof, x, y, lean, sun, below, gsd_m):  # type: ignore[no-untyped-def]
    """Sun on the wall under a roof's edge relative to level ground, and its tone with windows.

    x, y : position on the edge, metres; below : metres under the edge
    """
    cos, sin = np.float32(np.cos(roof.angle)), np.float32(np.sin(roof.angle))
    dx, dy = x - roof.x, y - roof.y
    a, b = cos * dx + sin * dy, cos * dy - sin * dx
    if abs(a) - np.float32(0.5) * roof.length > abs(b) - np.float32(0.5) * roof.width:
        side = np.float32(1) if a > 0 else np.float32(-1)
        out_x, out_y, along = side * cos, side * sin, b
    else:
        side = np.float32(1) if b > 0 else np.float32(-1)
        out_x, out_y, along = -side * sin, side * cos, a
    key = int(abs(roof.x) * 64) * 8191 + int(abs(roof.y) * 64)
    tone = np.float32(0.75) + np.float32(0.6) * hash_unit(key, 8, 4)
    storey = np.float32(2.8) + np.float32(0.6) * hash_unit(key, 9, 4)
    bay = np.float32(1.8) + np.float32(2.4) * hash_unit(key, 10, 4)
    if roof.eave_m > np.float32(4.5) and gsd_m < np.float32(0.8) and hash_unit(key, 11, 4) < np.float32(0.8):
        u, v = (along / bay) % np.float32(1), (below / storey) % np.float32(1)
        if np.float32(0.28) < v < np.float32(0.75) and np.float32(0.22) < u < np.float32(0.78):
            tone *= np.float32(0.5)
    return max(out_x * sun[0] + out_y * sun[1], np.float32(0)), tone


@njit(cache=True, error_model="numpy")
def _lattice(values, row, col):  # type: ignore[no-untyped-def]
    """A coarse field between its points."""
    u, v = np.float32(col) / CLOUD_PX, np.float32(row) / CLOUD_PX
    j, i = int(u), int(v)
    u, v = np.float32(u - j), np.float32(v - i)
    upper = values[i, j] + (values[i, j + 1] - values[i, j]) * u
    lower = values[i + 1, j] + (values[i + 1, j + 1] - values[i + 1, j]) * u
    return upper + (lower - upper) * v


@njit(cache=True, error_model="numpy")
def _facing(steep_x, steep_y, sun):  # type: ignore[no-untyped-def]
    """Direct sun on a facet relative to level ground (Lambert), 0–2.2."""
    value = np.float32(1) - steep_x * sun[0] - steep_y * sun[1]
    value /= np.sqrt(np.float32(1) + steep_x * steep_x + steep_y * steep_y)
    return min(max(value, np.float32(0)), np.float32(2.2))


@njit(cache=True, error_model="numpy")
def _clip(value, limit):  # type: ignore[no-untyped-def]
    return min(max(value, -limit), limit)


@njit(cache=True, error_model="numpy")
def _see(  # type: ignore[no-untyped-def]
    ground, height, canopy, cover, leaf, albedo, material, building, roofs_at, slope_x, slope_y,
    on_solid, on_crown, open_sky, roofs, tops, highest, veil, dimming, lean, origin, sun, direct, tint, kinds, codes, gsd_m,
    radiance, labels, seen_roofs, seen_height,
):  # fmt: skip
    rows, cols = ground.shape
    one, zero = np.float32(1), np.float32(0)
    faster = max(abs(lean[0]), abs(lean[1]))
    step_m = one / faster if faster > np.float32(1e-4) else np.float32(1e6)
    most = int(highest.max() / step_m + np.float32(0.5)) + 1
    rays = np.arange(most + 1) * np.float64(step_m)
    down, right = np.floor(lean[1] * rays + 0.5).astype(np.int64), np.floor(lean[0] * rays + 0.5).astype(np.int64)
    scale = np.float32(1.0 / 65025.0)
    cloudy = veil.max() > 0 or dimming.max() > 0
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            at_row = min(max(row + origin[0], 0), rows - 1)
            at_col = min(max(col + origin[1], 0), cols - 1)
            # Walk down the ray of view from the highest top that can be on it; the first top above the ray is seen.
            steps = int(highest[at_row // BLOCK_PX, at_col // BLOCK_PX] / step_m + np.float32(0.5))
            crown_row, crown_col = -1, -1
            r, c, ray = at_row, at_col, zero
            for k in range(steps, 0, -1):
                r = min(max(at_row - down[k], 0), rows - 1)
                c = min(max(at_col - right[k], 0), cols - 1)
                ray = np.float32(k) * step_m
                level = ray - np.float32(0.5) * step_m
                if tops[r, c] < level:
                    continue
                if crown_row < 0 and tops[r, c] > height[r, c] and np.float32(0.35) * tops[r, c] <= ray:
                    crown_row, crown_col = r, c
                if height[r, c] >= level:
                    break
            else:
                r, c, ray = at_row, at_col, zero
                if crown_row < 0 and tops[r, c] > height[r, c]:
                    crown_row, crown_col = r, c
            above = height[r, c] - ray - (abs(slope_x[r, c]) + abs(slope_y[r, c])) * gsd_m
            wall = steps > 0 and above > max(np.float32(0.52) * step_m, np.float32(0.3))
            level = height[r, c] - ray if wall else height[r, c]
            lit, seen_sky = on_solid[r, c], open_sky[r, c]
            tone, facing = one, one
            if wall:
                seen_sky *= np.float32(0.55)
                facing, tone = np.float32(0.4), np.float32(0.8)
                if roofs_at[r, c] > 0:
                    x, y = (np.float32(c) + np.float32(0.5)) * gsd_m, (np.float32(r) + np.float32(0.5)) * gsd_m
                    facing, tone = _wall(roofs[roofs_at[r, c] - 1], x, y, lean, sun, level, gsd_m)
            else:
                steep_x, steep_y = slope_x[r, c], slope_y[r, c]
                if steep_x == 0 and steep_y == 0 and 0 < c < cols - 1 and 0 < r < rows - 1:
                    steep_x = (ground[r, c + 1] - ground[r, c - 1]) / (2 * gsd_m)
                    steep_y = (ground[r + 1, c] - ground[r - 1, c]) / (2 * gsd_m)
                    if height[r, c] < np.float32(2.5):
                        rise_x, rise_y = height[r, c + 1] - height[r, c - 1], height[r + 1, c] - height[r - 1, c]
                        if abs(rise_x) < np.float32(1.5) and abs(rise_y) < np.float32(1.5):
                            steep_x += _clip(rise_x / (2 * gsd_m), np.float32(0.6))
                            steep_y += _clip(rise_y / (2 * gsd_m), np.float32(0.6))
                facing = _facing(steep_x, steep_y, sun)
            shaded, white = one, zero
            if cloudy:
                shaded, white = one - _lattice(dimming, row, col), _lattice(veil, row, col)
            beam, diffuse = direct * lit * facing * shaded, (one - direct) * seen_sky
            for band in range(4):
                value = albedo[r, c, band]
                if wall and building[r, c] > 0:  # plaster: between the roof's colour and light grey
                    value = np.float32(0.3) * value + np.float32(105)
                value *= tone
                radiance[row, col, band] = value * value * scale * (beam + diffuse * tint[band])
            kind = kinds[material[r, c]]
            if kind != codes[3]:
                if building[r, c] > 0 and height[r, c] >= STANDING_M:
                    kind = codes[0]
                elif kind == codes[0] or (roofs_at[r, c] > 0 and building[r, c] == 0):
                    kind = codes[1]
            top = ray if wall else height[r, c]
            if crown_row >= 0:
                steep_x, steep_y = zero, zero
                if 0 < crown_col < cols - 1 and 0 < crown_row < rows - 1:
                    steep_x = canopy[crown_row, crown_col + 1] - canopy[crown_row, crown_col - 1]
                    steep_y = canopy[crown_row + 1, crown_col] - canopy[crown_row - 1, crown_col]
                    steep_x = _clip(steep_x / (2 * gsd_m), np.float32(1.0))
                    steep_y = _clip(steep_y / (2 * gsd_m), np.float32(1.0))
                share = cover[crown_row, crown_col]
                beam = direct * on_crown[crown_row, crown_col] * shaded
                beam *= np.float32(0.3) + np.float32(0.7) * _facing(steep_x, steep_y, sun)
                for band in range(4):
                    value = leaf[crown_row, crown_col, band]
                    value = value * value * scale * (beam + (one - direct) * np.float32(0.9) * tint[band])
                    radiance[row, col, band] += share * (value - radiance[row, col, band])
                if share > OPAQUE_SHARE:
                    kind = codes[2]
                    top = max(canopy[crown_row, crown_col], top)
            if white > 0:
                for band in range(4):
                    radiance[row, col, band] += white * (np.float32(0.8) - radiance[row, col, band])
            labels[row, col] = kind
            seen_roofs[row, col] = 0 if wall else building[r, c]
            seen_height[row, col] = top
