"""Paints tree crowns: lumpy domes in leaf, see-through branchwork without leaves, conifers, shrubs and palms.

A crown is written where it is taller than the crown and the roof that are there; so crowns reach over low roofs.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepnets4eo.synthetic.world.noise import hash_unit, noise_fields, value_noise
from deepnets4eo.synthetic.world.plan import BARE, CHARRED, DECIDUOUS, EVERGREEN, PALM, SHRUB, Plan
from deepnets4eo.synthetic.world.season import WorldSeason
from deepnets4eo.synthetic.world.surface import WorldSurface

# Display colours (red, green, blue, near infrared) of crowns in full leaf, in autumn and without leaves.
SUMMER, TINTED, WOOD = (60, 82, 48, 176), (132, 98, 52, 160), (102, 92, 82, 122)
CONIFER, BUSH, FROND = (44, 60, 44, 142), (62, 80, 50, 158), (74, 94, 52, 168)
SNOWY, SOOT = (214, 218, 224, 204), (44, 41, 40, 48)


def paint_trees(surface: WorldSurface, plan: Plan, season: WorldSeason) -> None:
    """Paint all crowns.

    Parameters
    ----------
    surface
        Its canopy, cover and leaf are written.
    plan
        Of one date; crown colours of the poles "foliage" replace those of summer.
    season
        Leaves of deciduous trees, autumn tint, snow.
    """
    colours = np.array([SUMMER, TINTED, WOOD, CONIFER, BUSH, FROND, SNOWY, SOOT], np.float32)
    if "foliage" in plan.poles:
        regional = np.asarray(plan.poles["foliage"], np.float32).mean(axis=0)
        colours[[0, 4, 5]] *= regional / colours[0]
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_trees(
        surface.canopy, surface.cover, surface.leaf, surface.height, noise[2], plan.trees, colours, surface.gsd_m,
        np.float32(season.leaf), np.float32(season.tint), np.float32(season.snow), surface.seed,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _limbs(x, y, distance, radius, key):  # type: ignore[no-untyped-def]
    """Forked limbs and trunk as a field that is above 0 where there is wood."""
    angle = np.float32(np.arctan2(y, x))
    count = np.float32(4 + int(hash_unit(key, 1, 2) * 4))
    turn = np.float32(6.2831853) * hash_unit(key, 2, 2)
    wave = np.cos(count * angle + turn + np.float32(2) * np.sin(np.float32(3) * distance + turn))
    if distance > np.float32(0.35):
        forks = np.cos(np.float32(2) * count * angle + turn + np.float32(3) * np.sin(np.float32(5) * distance))
        wave = max(wave, forks)
    return wave - np.float32(0.3) - np.float32(0.25) * distance


@njit(cache=True, error_model="numpy")
def _paint_trees(canopy, cover, leaf, height, noise, trees, colours, gsd_m, leaves, tint, snow, seed):  # type: ignore[no-untyped-def]
    rows, cols = canopy.shape
    one = np.float32(1)
    base = np.zeros(4, np.float32)
    for index in range(len(trees)):
        tree = trees[index]
        reach = tree.radius * np.float32(1.3)
        top, bottom = max(int((tree.y - reach) / gsd_m), 0), min(int((tree.y + reach) / gsd_m) + 1, rows)
        left, right = max(int((tree.x - reach) / gsd_m), 0), min(int((tree.x + reach) / gsd_m) + 1, cols)
        if bottom <= top or right <= left or tree.radius <= 0:
            continue
        key = int(abs(tree.x) * 32) * 7919 + int(abs(tree.y) * 32) + seed * 31
        kind = tree.kind
        full = leaves if kind == DECIDUOUS else one
        if kind in (BARE, CHARRED):
            full = np.float32(0) if kind == BARE else np.float32(0.15)
        full = min(max(full + np.float32(0.25) * (hash_unit(key, 3, 2) - np.float32(0.5)) * full, np.float32(0)), one)
        turned = min(max(tint * (np.float32(0.2) + np.float32(1.2) * hash_unit(key, 4, 2)), np.float32(0)), one)
        tone = tree.tone * (np.float32(0.88) + np.float32(0.24) * hash_unit(key, 5, 2))
        for band in range(4):
            if kind == EVERGREEN:
                value = colours[3, band]
            elif kind == SHRUB:
                value = colours[4, band]
            elif kind == PALM:
                value = colours[5, band]
            elif kind == CHARRED:
                value = colours[7, band]
            else:
                value = colours[0, band] + (colours[1, band] - colours[0, band]) * turned
                value = colours[2, band] + (value - colours[2, band]) * min(np.float32(1.3) * full, one)
            shift = np.float32(9) * (hash_unit(key, 10 + band, 2) - np.float32(0.5))
            base[band] = (value + shift) * tone
        ragged = np.float32(0.25) + np.float32(0.3) * hash_unit(key, 6, 2)
        lobe = np.float32(2 + int(3 * hash_unit(key, 7, 2)))
        turn = np.float32(6.2831853) * hash_unit(key, 8, 2)
        clump = max(np.float32(0.42) * tree.radius, np.float32(0.9))
        for row in range(top, bottom):
            y = np.float32((row + 0.5) * gsd_m) - tree.y
            for col in range(left, right):
                x = np.float32((col + 0.5) * gsd_m) - tree.x
                distance = np.sqrt(x * x + y * y) / tree.radius
                if distance > np.float32(1.3) or canopy[row, col] > np.float32(1.1) * tree.height_m:
                    continue
                coarse = value_noise(x + np.float32(50), y + np.float32(50), clump, key)
                fine = np.float32(0.45) * noise[row, col]
                rim = distance + ragged * np.float32(0.55) * coarse + np.float32(0.12) * fine
                opaque, shade = one, one
                if kind == PALM:
                    frond = np.cos((np.float32(5) + lobe) * np.float32(np.arctan2(y, x)) + turn)
                    if distance > np.float32(0.25) and frond < np.float32(1.5) * distance - np.float32(0.9):
                        continue
                    rim = distance
                    crown = tree.height_m * (one - np.float32(0.12) * distance * distance)
                    shade = np.float32(0.85) + np.float32(0.25) * frond * distance
                elif kind == EVERGREEN:
                    crown = tree.height_m * min(max(np.float32(1.05) - np.float32(0.75) * rim, np.float32(0.1)), one)
                else:
                    dome = np.sqrt(max(one - rim * rim, np.float32(0)))
                    crown = tree.height_m * (np.float32(0.45) + np.float32(0.55) * dome)
                    crown *= one + np.float32(0.12) * coarse
                if rim >= one:
                    continue
                crown += np.float32(0.5) * fine * min(tree.height_m / np.float32(5), one)
                if full < np.float32(0.9):
                    wood = _limbs(x, y, distance, tree.radius, key) + np.float32(0.5) * fine + np.float32(0.3) * coarse
                    wood += np.float32(2.4) * full
                    opaque = min(max(np.float32(0.28) + np.float32(0.5) * wood, np.float32(0)), one)
                    if opaque < np.float32(0.08):
                        continue
                    crown *= np.float32(0.55) + np.float32(0.45) * opaque
                if crown <= canopy[row, col] or crown < height[row, col] + np.float32(0.3):
                    continue
                shade *= one + np.float32(0.28) * fine + np.float32(0.24) * coarse - np.float32(0.12) * rim
                white = snow * np.float32(0.7) * max(np.float32(0), np.float32(0.4) + coarse)
                white = min(white * full, np.float32(0.85))
                canopy[row, col] = max(crown, np.float32(0.3))
                cover[row, col] = opaque
                for band in range(4):
                    value = base[band] * shade
                    value += (colours[6, band] - value) * white
                    leaf[row, col, band] = min(max(value, np.float32(4)), np.float32(250))
