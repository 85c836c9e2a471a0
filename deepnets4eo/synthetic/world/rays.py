"""Compiled loops of `view`: the ray of view down to the first top, light on what it meets, and its labels.

Takes arrays of a `WorldSurface`; lengths are metres, `lean` is pixels to the right and down per metre of height.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepnets4eo.synthetic.surface import OPAQUE
from deepnets4eo.synthetic.world.noise import hash_unit

CLOUD_PX = 16  # lattice of clouds
BLOCK_PX = 8  # blocks of which the highest top is known
STANDING_M = np.float32(1.6)  # a lower building is rubble
OPAQUE_SHARE = np.float32(OPAQUE / 255)  # cover from which a crown is what is seen


@njit(cache=True, error_model="numpy")
def find_tops(height, canopy, cover, lean):  # type: ignore[no-untyped-def]
    """Return the top of solid things and crowns, and the highest one that can lean into each block of pixels.

    Parameters
    ----------
    height, canopy, cover
        (H, W) float32 of a surface.
    lean
        (2,) float32, pixels to the right and down per metre.

    Returns
    -------
    (H, W) float32 metres, and one value a block of `BLOCK_PX` pixels.
    """
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
    if steep_x == 0 and steep_y == 0:
        return np.float32(1)
    value = np.float32(1) - steep_x * sun[0] - steep_y * sun[1]
    value /= np.sqrt(np.float32(1) + steep_x * steep_x + steep_y * steep_y)
    return min(max(value, np.float32(0)), np.float32(2.2))


@njit(cache=True, error_model="numpy")
def _clip(value, limit):  # type: ignore[no-untyped-def]
    return min(max(value, -limit), limit)


@njit(cache=True, error_model="numpy")
def see_pixels(  # type: ignore[no-untyped-def]
    ground, height, canopy, cover, leaf, albedo, material, building, roofs_at, slope_x, slope_y,
    on_solid, on_crown, open_sky, roofs, tops, highest, veil, dimming, lean, origin, sun, direct, tint, kinds, codes, gsd_m,
    radiance, labels, seen_roofs, seen_height,
):  # fmt: skip
    """Write what each pixel of an image shows.

    Parameters
    ----------
    ground, height, canopy, cover, leaf, albedo, material, building, roofs_at, slope_x, slope_y
        Layers of a surface.
    on_solid, on_crown, open_sky
        From `sun_and_sky`.
    roofs
        Table of the date's plan.
    tops, highest
        From `find_tops`.
    veil, dimming
        Clouds on a lattice of `CLOUD_PX` pixels.
    lean
        (2,) float32, pixels to the right and down per metre.
    origin
        Row and column of the surface at the image's upper left pixel.
    sun
        (2,) float32, length of a shadow to the left and up per metre of height.
    direct
        Share of direct light.
    tint
        (4,) float32, colour of the light from the sky.
    kinds
        (M,) uint8, class of each material.
    codes
        (4,) uint8, classes of building, clutter, tree and water.
    gsd_m
        Side of a pixel, metres.
    radiance, labels, seen_roofs, seen_height
        Written: (H, W, 4) float32, (H, W) uint8, int32 and float32.
    """
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
                beam *= np.float32(0.45) + np.float32(0.55) * _facing(steep_x, steep_y, sun)
                for band in range(4):
                    value = leaf[crown_row, crown_col, band]
                    value = (
                        value
                        * value
                        * scale
                        * (beam + (np.float32(0.06) + one - direct) * np.float32(0.95) * tint[band])
                    )
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
