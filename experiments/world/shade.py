"""Compiled loops of `view`: rays down to the first top, light from what each pixel of an image shows, and its labels.

Colours are display values 0–255; radiance is linear, their square over 255² times the light.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import STANDING_M
from deepnets4eo.synthetic.surface import OPAQUE
from world.noise import hash_unit

BLOCK_PX = 16  # blocks of which the highest top is known
NO_CROWN = np.float32(-1)
FOOT_SHARE = np.float32(0.35)  # of a crown's height, at which its leaves begin

CLOUD_PX = 16  # lattice of clouds
STANDING = np.float32(STANDING_M)
OPAQUE_SHARE = np.float32(OPAQUE / 255)  # cover from which a crown is what is seen
SCALE = np.float32(1.0 / 65025.0)
CLOUD_WHITE = np.float32(0.8)
LEAF_GLOW = np.float32(0.06)  # light that leaves pass on to one another

Floats = NDArray[np.float32]


class Layers(NamedTuple):
    """Layers of a `WorldSurface` that are seen and the light on them, flat (H · W,) so that one number finds a pixel in
    all of them. `crowns` are tops that rise over what is solid; `sun` and `sky` are shares on the solid top,
    `facing` the sun on its slope relative to level ground, `crown_sun` the direct sun on crowns."""

    height: Floats
    albedo: Floats
    material: NDArray[np.uint8]
    building: NDArray[np.int32]
    roof: NDArray[np.int32]
    slope_x: Floats
    slope_y: Floats
    crowns: Floats
    cover: Floats
    leaf: Floats
    sun: Floats
    sky: Floats
    facing: Floats
    crown_sun: Floats


class Scene(NamedTuple):
    """What all pixels of an image have in common: `to_sun` (2,), length of a shadow to the left and up per metre of
    height; share of direct light, colour (4,) of the sky's light, clouds on a lattice of `CLOUD_PX` pixels, class of
    each material, and the codes of building, clutter, tree and water."""

    gsd_m: np.float32
    lean: Floats
    to_sun: Floats
    direct: np.float32
    tint: Floats
    veil: Floats
    dimming: Floats
    kinds: NDArray[np.uint8]
    codes: NDArray[np.uint8]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _face(steep_x, steep_y, to_sun):  # type: ignore[no-untyped-def]
    """Direct sun on a facet relative to level ground (Lambert), 0–2.2."""
    value = np.float32(1) - steep_x * to_sun[0] - steep_y * to_sun[1]
    value /= np.sqrt(np.float32(1) + steep_x * steep_x + steep_y * steep_y)
    return min(max(value, np.float32(0)), np.float32(2.2))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _clip(value, limit):  # type: ignore[no-untyped-def]
    return min(max(value, -limit), limit)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _face_solids(ground, height, slope_x, slope_y, to_sun, half_step, facing):  # type: ignore[no-untyped-def]
    """Slopes of roofs as they are painted; elsewhere those of the terrain and of low things on it."""
    limit, rough = np.float32(0.6), np.float32(1.5)
    for row in range(1, ground.shape[0] - 1):
        level, over, steep_x, steep_y, out = ground[row], height[row], slope_x[row], slope_y[row], facing[row]
        for col in range(1, ground.shape[1] - 1):
            rise_x = over[col + 1] - over[col - 1]
            rise_y = height[row + 1, col] - height[row - 1, col]
            gentle = (over[col] < np.float32(2.5)) & (abs(rise_x) < rough) & (abs(rise_y) < rough)
            x = (level[col + 1] - level[col - 1]) * half_step
            y = (ground[row + 1, col] - ground[row - 1, col]) * half_step
            x += _clip(rise_x * half_step, limit) if gentle else np.float32(0)
            y += _clip(rise_y * half_step, limit) if gentle else np.float32(0)
            flat = (steep_x[col] == 0) & (steep_y[col] == 0)
            out[col] = _face(x if flat else steep_x[col], y if flat else steep_y[col], to_sun)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _face_crowns(canopy, to_sun, half_step, crown_sun):  # type: ignore[no-untyped-def]
    """Leaves face the sun by the slope of their crown, in part."""
    one = np.float32(1)
    for row in range(1, canopy.shape[0] - 1):
        top, out = canopy[row], crown_sun[row]
        for col in range(1, canopy.shape[1] - 1):
            x = _clip((top[col + 1] - top[col - 1]) * half_step, one)
            y = _clip((canopy[row + 1, col] - canopy[row - 1, col]) * half_step, one)
            out[col] *= np.float32(0.45) + np.float32(0.55) * _face(x, y, to_sun)


@njit(cache=True, nogil=True, error_model="numpy")
def face_sun(ground, height, canopy, slope_x, slope_y, to_sun, gsd_m, crown_sun):  # type: ignore[no-untyped-def]
    """Return the direct sun (H, W) on the slopes of the solid tops relative to level ground, 0–2.2 and 1 along the
    border; `crown_sun` is multiplied by what the slopes of crowns take. `to_sun` (2,) is the shadow's length to the
    left and up per metre."""
    facing = np.ones(ground.shape, np.float32)
    half_step = np.float32(0.5) / np.float32(gsd_m)
    _face_solids(ground, height, slope_x, slope_y, to_sun, half_step, facing)
    _face_crowns(canopy, to_sun, half_step, crown_sun)
    return facing


@njit(cache=True, nogil=True, error_model="numpy")
def _wall(roof, x, y, sun_x, sun_y, below, gsd_m):  # type: ignore[no-untyped-def]
    """Return the sun on the wall under the edge of a roof relative to level ground, and its tone with windows, `below`
    metres under the edge."""
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
    return max(out_x * sun_x + out_y * sun_y, np.float32(0)), tone


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _see_solids(layers, scene, spots, shaded, radiance):  # type: ignore[no-untyped-def]
    """Light from the tops of solid things in one row of an image."""
    sun, facing, sky, albedo = layers.sun, layers.facing, layers.sky, layers.albedo
    direct, tint = scene.direct, scene.tint
    tint_0, tint_1, tint_2, tint_3 = tint[0], tint[1], tint[2], tint[3]
    ambient = np.float32(1) - direct
    for col in range(len(shaded)):
        at = spots[col]
        beam = direct * sun[at] * facing[at] * shaded[col]
        diffuse = ambient * sky[at]
        # All is read before the first value is written, so that the four bands go together.
        red, green, blue, infrared = albedo[at, 0], albedo[at, 1], albedo[at, 2], albedo[at, 3]
        radiance[col, 0] = red * red * SCALE * (beam + diffuse * tint_0)
        radiance[col, 1] = green * green * SCALE * (beam + diffuse * tint_1)
        radiance[col, 2] = blue * blue * SCALE * (beam + diffuse * tint_2)
        radiance[col, 3] = infrared * infrared * SCALE * (beam + diffuse * tint_3)


@njit(cache=True, nogil=True, error_model="numpy")
def _label_solids(layers, scene, spots, rays_m, least_m, is_wall, labels, seen_roofs, seen_height):  # type: ignore[no-untyped-def]
    """Truth of one row without its crowns; a ray that meets something well below its top meets a wall."""
    height, building_of, material, roof = layers.height, layers.building, layers.material, layers.roof
    slope_x, slope_y, kinds, codes = layers.slope_x, layers.slope_y, scene.kinds, scene.codes
    gsd_m, building, clutter, water = scene.gsd_m, codes[0], codes[1], codes[3]
    for col in range(len(labels)):
        at, ray = spots[col], rays_m[col]
        top, owner, kind = height[at], building_of[at], kinds[material[at]]
        if kind != water:
            if owner > 0 and top >= STANDING:
                kind = building
            elif kind == building or (owner == 0 and roof[at] > 0):
                kind = clutter
        labels[col] = kind
        wall = top - ray > least_m
        if wall:
            steep = abs(slope_x[at]) + abs(slope_y[at])
            wall = top - ray - steep * gsd_m > least_m
        is_wall[col] = wall
        seen_roofs[col] = 0 if wall else owner
        seen_height[col] = ray if wall else top


@njit(cache=True, nogil=True, error_model="numpy")
def _see_walls(layers, roofs, scene, cols, spots, rays_m, is_wall, shaded, radiance):  # type: ignore[no-untyped-def]
    """Light from the walls in one row, of plaster where they are a building's."""
    roof, height, building, albedo = layers.roof, layers.height, layers.building, layers.albedo
    sun, sky, direct, tint = layers.sun, layers.sky, scene.direct, scene.tint
    gsd_m, sun_x, sun_y = scene.gsd_m, scene.to_sun[0], scene.to_sun[1]
    for col in range(len(is_wall)):
        if not is_wall[col]:
            continue
        at = spots[col]
        facing, tone = np.float32(0.4), np.float32(0.8)
        if roof[at] > 0:
            x, y = (np.float32(at % cols) + np.float32(0.5)) * gsd_m, (np.float32(at // cols) + np.float32(0.5)) * gsd_m
            below = height[at] - rays_m[col]
            facing, tone = _wall(roofs[roof[at] - 1], x, y, sun_x, sun_y, below, gsd_m)
        beam = direct * sun[at] * facing * shaded[col]
        diffuse = (np.float32(1) - direct) * np.float32(0.55) * sky[at]
        for band in range(4):
            value = albedo[at, band]
            if building[at] > 0:  # between the roof's colour and light grey
                value = np.float32(0.3) * value + np.float32(105)
            value *= tone
            radiance[col, band] = value * value * SCALE * (beam + diffuse * tint[band])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _see_crowns(layers, scene, spots, met, met_crown, shaded, radiance, labels, seen_height):  # type: ignore[no-untyped-def]
    """Lay the crowns of one row over what is solid, by their opacity."""
    crowns, cover, leaf, crown_sun = layers.crowns, layers.cover, layers.leaf, layers.crown_sun
    direct, tint, tree = scene.direct, scene.tint, scene.codes[2]
    diffuse = (LEAF_GLOW + np.float32(1) - direct) * np.float32(0.95)
    for col in range(len(met)):
        if met_crown[col] < 0 and met[col] > 0:
            continue
        at = spots[col]
        top = crowns[at]
        if top == NO_CROWN:
            continue
        beam = direct * crown_sun[at] * shaded[col]
        share = cover[at]
        for band in range(4):
            value = leaf[at, band]
            value = value * value * SCALE * (beam + diffuse * tint[band])
            radiance[col, band] += share * (value - radiance[col, band])
        if share > OPAQUE_SHARE:
            labels[col] = tree
            seen_height[col] = max(top, seen_height[col])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _write_spots(rays, at_row, at_col, met, shape, spots):  # type: ignore[no-untyped-def]
    """Pixels of the surface at some step of the rays of one row, counted over its rows; its border beyond it."""
    _, down, right = rays
    for col in range(len(met)):
        k = max(met[col], 0)
        row = min(max(at_row - down[k], 0), shape[0] - 1)
        spots[col] = row * shape[1] + min(max(at_col + col - right[k], 0), shape[1] - 1)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _cloud_line(values, row, line):  # type: ignore[no-untyped-def]
    """One row of a coarse field, between its points."""
    v = np.float32(row) / np.float32(CLOUD_PX)
    i = int(v)
    v -= np.float32(i)
    for col in range(len(line)):
        u = np.float32(col) / np.float32(CLOUD_PX)
        j = int(u)
        u -= np.float32(j)
        upper = values[i, j] + (values[i, j + 1] - values[i, j]) * u
        lower = values[i + 1, j] + (values[i + 1, j + 1] - values[i + 1, j]) * u
        line[col] = upper + (lower - upper) * v


@njit(cache=True, nogil=True, error_model="numpy")
def see_pixels(height, crowns, highest, layers, roofs, scene, origin, radiance, labels, seen_roofs, seen_height):  # type: ignore[no-untyped-def]
    """Write what each pixel of an image shows: radiance (H, W, 4), labels, rows of roofs and heights. `origin` is the
    row and column of the surface at the upper left pixel; crowns and highest tops come from `find_tops`."""
    width = labels.shape[1]
    rays = ray_steps(scene.lean, highest.max())
    least_m = max(np.float32(0.52) * rays[0], np.float32(0.3))
    met, met_crown, spots = np.empty(width, np.int32), np.empty(width, np.int32), np.empty(width, np.uintp)
    is_wall, shaded, white = np.empty(width, np.bool_), np.ones(width, np.float32), np.zeros(width, np.float32)
    dimmed, veiled = scene.dimming.max() > 0, scene.veil.max() > 0
    for row in range(len(labels)):
        at_row, at_col = row + origin[0], origin[1]
        walk_rays(height, crowns, highest, rays, at_row, at_col, met, met_crown)
        if dimmed:
            _cloud_line(scene.dimming, row, shaded)
            shaded[:] = np.float32(1) - shaded
        _write_spots(rays, at_row, at_col, met, height.shape, spots)
        rays_m = met * rays[0]
        _see_solids(layers, scene, spots, shaded, radiance[row])
        _label_solids(layers, scene, spots, rays_m, least_m, is_wall, labels[row], seen_roofs[row], seen_height[row])
        _see_walls(layers, roofs, scene, np.uintp(height.shape[1]), spots, rays_m, is_wall, shaded, radiance[row])
        _write_spots(rays, at_row, at_col, met_crown, height.shape, spots)
        _see_crowns(layers, scene, spots, met, met_crown, shaded, radiance[row], labels[row], seen_height[row])
        if veiled:
            _cloud_line(scene.veil, row, white)
            for col in range(width):
                for band in range(4):
                    radiance[row, col, band] += white[col] * (CLOUD_WHITE - radiance[row, col, band])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _crown_tops(height, canopy, cover, crowns, line):  # type: ignore[no-untyped-def]
    """One row: tops of the crowns that rise over what is solid; `line` keeps the highest top of each column."""
    for col in range(len(height)):
        leafy = cover[col] > 0 and canopy[col] > height[col]
        crowns[col] = canopy[col] if leafy else NO_CROWN
    for col in range(len(height)):
        line[col] = max(line[col], max(height[col], crowns[col]))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _block_tops(height, canopy, cover, crowns):  # type: ignore[no-untyped-def]
    """Highest top in each block; writes `crowns`."""
    rows, cols = height.shape
    out = np.zeros(((rows + BLOCK_PX - 1) // BLOCK_PX, (cols + BLOCK_PX - 1) // BLOCK_PX), np.float32)
    line = np.zeros(cols, np.float32)
    for i in range(len(out)):
        line[:] = 0
        for row in range(i * BLOCK_PX, min((i + 1) * BLOCK_PX, rows)):
            _crown_tops(height[row], canopy[row], cover[row], crowns[row], line)
        for col in range(cols):
            out[i, col // BLOCK_PX] = max(out[i, col // BLOCK_PX], line[col])
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def find_tops(height, canopy, cover, lean):  # type: ignore[no-untyped-def]
    """Return the tops of crowns (H, W) in metres, negative where no crown rises over what is solid, and the highest top
    that can lean into each block of `BLOCK_PX` pixels. `lean` (2,) is in pixels to the right and down per metre."""
    crowns = np.empty(height.shape, np.float32)
    top = _block_tops(height, canopy, cover, crowns)
    reach_x, reach_y = lean[0] * top.max() / BLOCK_PX, lean[1] * top.max() / BLOCK_PX
    left, right = int(np.floor(min(-reach_x, 0) - 0.1)), int(np.ceil(max(-reach_x, 0) + 0.1))
    upper, lower = int(np.floor(min(-reach_y, 0) - 0.1)), int(np.ceil(max(-reach_y, 0) + 0.1))
    out = np.zeros_like(top)
    for i in range(top.shape[0]):
        for j in range(top.shape[1]):
            for m in range(max(i + upper, 0), min(i + lower + 1, top.shape[0])):
                for n in range(max(j + left, 0), min(j + right + 1, top.shape[1])):
                    out[i, j] = max(out[i, j], top[m, n])
    return crowns, out


@njit(cache=True, nogil=True, error_model="numpy")
def ray_steps(lean, highest_m):  # type: ignore[no-untyped-def]
    """Return the steps of a ray of view from the ground up to `highest_m`, one pixel along the longer axis each:
    heights in metres, and offsets in rows and columns."""
    faster = max(abs(lean[0]), abs(lean[1]))
    step_m = np.float32(1) / faster if faster > np.float32(1e-4) else np.float32(1e6)
    heights = np.arange(int(highest_m / step_m + np.float32(0.5)) + 2) * np.float64(step_m)
    down = np.floor(lean[1] * heights + 0.5).astype(np.int64)
    return step_m, down, np.floor(lean[0] * heights + 0.5).astype(np.int64)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _meet(solids, crowns, ray_m, step_m, step, met, met_crown):  # type: ignore[no-untyped-def]
    """One step of neighbouring rays: mark those that meet their first top, or their first crown before it."""
    level = ray_m - np.float32(0.5) * step_m
    for i in range(len(met)):
        free = met[i] == 0
        leafy = (crowns[i] >= level) & (FOOT_SHARE * crowns[i] <= ray_m)
        met_crown[i] = step if free & leafy & (met_crown[i] < 0) else met_crown[i]
        met[i] = step if free & (solids[i] >= level) else met[i]


@njit(cache=True, nogil=True, error_model="numpy")
def walk_rays(height, crowns, highest, rays, at_row, at_col, met, met_crown):  # type: ignore[no-untyped-def]
    """Walk down the rays of one row of an image. Written are `met`, the step at which a ray meets something solid (0
    for the ground), and `met_crown`, the step at which it meets a crown before (-1 for none). Nothing stands beyond
    the surface."""
    rows, cols = height.shape
    step_m, down, right = rays
    met[:] = 0
    met_crown[:] = -1
    steps = (highest[min(max(at_row, 0), rows - 1) // BLOCK_PX] / step_m + np.float32(0.5)).astype(np.int64)
    for k in range(steps.max(), 0, -1):
        row, shift = at_row - down[k], at_col - right[k]
        if not 0 <= row < rows:
            continue
        block = 0
        while block < len(steps):
            start = block
            while block < len(steps) and steps[block] >= k:
                block += 1
            low, high = (
                max(start * BLOCK_PX - at_col, -shift, 0),
                min(block * BLOCK_PX - at_col, cols - shift, len(met)),
            )
            if block > start and high > low:
                _meet(
                    height[row, low + shift : high + shift], crowns[row, low + shift : high + shift],
                    np.float32(k) * step_m, step_m, k, met[low:high], met_crown[low:high],
                )  # fmt: skip
            block += 1
