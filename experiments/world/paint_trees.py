"""Paints tree crowns: lumpy domes in leaf, see-through branchwork without leaves, conifers, shrubs and palms.

A crown is written where it is taller than the crown and the roof that are there; so crowns reach over low roofs.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from world.noise import fill_lattice, hash_unit, lattice_value, noise_fields
from world.plan import BARE, CHARRED, DECIDUOUS, EVERGREEN, PALM, SHRUB, Plan
from world.style import WorldSeason
from world.surface import WorldSurface

# Display colours (red, green, blue, near infrared) of crowns in full leaf, in autumn and without leaves.
SUMMER, TINTED, WOOD = (60, 82, 48, 176), (132, 98, 52, 160), (102, 92, 82, 122)
CONIFER, BUSH, FROND = (44, 60, 44, 142), (62, 80, 50, 158), (74, 94, 52, 168)
SNOWY, SOOT = (214, 218, 224, 204), (44, 41, 40, 48)
LIMB_PLACES, LIMB_STEPS = 48, np.float32(36)  # where limbs are planned, and places a radius


def paint_trees(surface: WorldSurface, plan: Plan, season: WorldSeason) -> None:
    """Paint all crowns of one date onto canopy, cover and leaf of the surface; the poles "foliage" replace the colours
    of summer, `season` has leaves, autumn tint and snow."""
    colours = np.array([SUMMER, TINTED, WOOD, CONIFER, BUSH, FROND, SNOWY, SOOT], np.float32)
    if "foliage" in plan.poles:
        regional = np.asarray(plan.poles["foliage"], np.float32).mean(axis=0)
        colours[[0, 4, 5]] *= regional / colours[0]
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_trees(
        surface.canopy, surface.cover, surface.leaf, surface.height, noise[2], plan.trees, colours, surface.gsd_m,
        np.float32(season.leaf), np.float32(season.tint), np.float32(season.snow), surface.seed,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _turn_times(cos, sin, count):  # type: ignore[no-untyped-def]
    """Cosine and sine of a whole multiple of an angle."""
    many_cos, many_sin = cos, sin
    for _ in range(count - 1):
        many_cos, many_sin = many_cos * cos - many_sin * sin, many_sin * cos + many_cos * sin
    return many_cos, many_sin


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _plan_limbs(key, limbs):  # type: ignore[no-untyped-def]
    """Number of limbs; writes how far limbs and their forks are turned at each distance from the stem."""
    count = 4 + int(hash_unit(key, 1, 2) * 4)
    turn = np.float32(6.2831853) * hash_unit(key, 2, 2)
    for i in range(limbs.shape[1]):
        distance = np.float32(i) / LIMB_STEPS
        bend = turn + np.float32(2) * np.sin(np.float32(3) * distance + turn)
        fork = turn + np.float32(3) * np.sin(np.float32(5) * distance)
        limbs[0, i], limbs[1, i], limbs[2, i], limbs[3, i] = np.cos(bend), np.sin(bend), np.cos(fork), np.sin(fork)
    return count


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _wood(x, y, distance, away, count, limbs):  # type: ignore[no-untyped-def]
    """Forked limbs and trunk as a field that is above 0 where there is wood; `away` metres from the stem."""
    away = max(away, np.float32(1e-3))
    cos, sin = _turn_times(x / away, y / away, count)
    i = min(int(distance * LIMB_STEPS), limbs.shape[1] - 1)
    wave = cos * limbs[0, i] - sin * limbs[1, i]
    if distance > np.float32(0.35):
        cos, sin = cos * cos - sin * sin, np.float32(2) * cos * sin
        wave = max(wave, cos * limbs[2, i] - sin * limbs[3, i])
    return wave - np.float32(0.3) - np.float32(0.25) * distance


@njit(cache=True, nogil=True, error_model="numpy")
def _leaves_of(kind, leaves, key):  # type: ignore[no-untyped-def]
    """Share of its leaves that a tree has."""
    one = np.float32(1)
    full = leaves if kind == DECIDUOUS else one
    if kind in (BARE, CHARRED):
        full = np.float32(0) if kind == BARE else np.float32(0.15)
    full += np.float32(0.25) * (hash_unit(key, 3, 2) - np.float32(0.5)) * full
    return min(max(full, np.float32(0)), one)


@njit(cache=True, nogil=True, error_model="numpy")
def _write_colour(kind, tone, full, tint, key, colours, base):  # type: ignore[no-untyped-def]
    """Colour of a crown by its kind, leaves and autumn tint."""
    one = np.float32(1)
    turned = min(max(tint * (np.float32(0.2) + np.float32(1.2) * hash_unit(key, 4, 2)), np.float32(0)), one)
    tone = tone * (np.float32(0.88) + np.float32(0.24) * hash_unit(key, 5, 2))
    own = -1
    if kind == EVERGREEN:
        own = 3
    elif kind == SHRUB:
        own = 4
    elif kind == PALM:
        own = 5
    elif kind == CHARRED:
        own = 7
    for band in range(4):
        value = colours[max(own, 0), band]
        if own < 0:
            value += (colours[1, band] - value) * turned
            value = colours[2, band] + (value - colours[2, band]) * min(np.float32(1.3) * full, one)
        shift = np.float32(9) * (hash_unit(key, 10 + band, 2) - np.float32(0.5))
        base[band] = (value + shift) * tone


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _frond(x, y, away, fronds, turn):  # type: ignore[no-untyped-def]
    """Cosine over the fronds of a palm: 1 along the middle of one; `turn` : cosine and sine of the first one's angle."""
    away = max(away, np.float32(1e-3))
    cos, sin = _turn_times(x / away, y / away, fronds)
    return cos * turn[0] - sin * turn[1]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _opacity(wood, fine, coarse, full):  # type: ignore[no-untyped-def]
    """Opacity of branchwork with a share of its leaves."""
    dense = wood + np.float32(0.5) * fine + np.float32(0.3) * coarse + np.float32(2.4) * full
    return min(max(np.float32(0.28) + np.float32(0.5) * dense, np.float32(0)), np.float32(1))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _crown(kind, rim, distance, coarse, height_m, frond):  # type: ignore[no-untyped-def]
    """Height of a crown's top, and its shade."""
    one = np.float32(1)
    if kind == PALM:
        crown = height_m * (one - np.float32(0.12) * distance * distance)
        return crown, np.float32(0.85) + np.float32(0.25) * frond * distance
    if kind == EVERGREEN:
        return height_m * min(max(np.float32(1.05) - np.float32(0.75) * rim, np.float32(0.1)), one), one
    dome = np.sqrt(max(one - rim * rim, np.float32(0)))
    return height_m * (np.float32(0.45) + np.float32(0.55) * dome) * (one + np.float32(0.12) * coarse), one


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _paint_tree(canopy, cover, leaf, height, noise, tree, key, base, full, snow, white_colour, gsd_m, clumps, limbs):  # type: ignore[no-untyped-def]
    """One crown; `clumps` and `limbs` are memory for its lattice and its limbs."""
    rows, cols = canopy.shape
    one, kind, radius, height_m = np.float32(1), tree.kind, tree.radius, tree.height_m
    reach, inverse = radius * np.float32(1.3), np.float32(1) / radius
    top, bottom = max(int((tree.y - reach) / gsd_m), 0), min(int((tree.y + reach) / gsd_m) + 1, rows)
    if top >= bottom or tree.x + reach <= 0 or tree.x - reach >= cols * gsd_m:
        return
    ragged = np.float32(0.55) * (np.float32(0.25) + np.float32(0.3) * hash_unit(key, 6, 2))
    fronds = 7 + int(3 * hash_unit(key, 7, 2))
    angle = np.float32(6.2831853) * hash_unit(key, 8, 2)
    turn = np.cos(angle), np.sin(angle)
    count = _plan_limbs(key, limbs) if full < np.float32(0.9) else 0
    clump = one / max(np.float32(0.42) * radius, np.float32(0.9))
    fill_lattice(clumps, int(2 * reach * clump) + 2, key)
    for row in range(top, bottom):
        y = np.float32((row + 0.5) * gsd_m) - tree.y
        half = np.sqrt(max(reach * reach - y * y, np.float32(0)))
        left, right = max(int((tree.x - half) / gsd_m), 0), min(int((tree.x + half) / gsd_m) + 1, cols)
        for col in range(left, right):
            x = np.float32((col + 0.5) * gsd_m) - tree.x
            away = np.sqrt(x * x + y * y)
            distance = away * inverse
            if distance > np.float32(1.3) or canopy[row, col] > np.float32(1.1) * height_m:
                continue
            coarse = lattice_value(clumps, (x + reach) * clump, (y + reach) * clump)
            fine = np.float32(0.45) * noise[row, col]
            rim, frond = distance + ragged * coarse + np.float32(0.12) * fine, np.float32(0)
            if kind == PALM:
                rim, frond = distance, _frond(x, y, away, fronds, turn)
                if distance > np.float32(0.25) and frond < np.float32(1.5) * distance - np.float32(0.9):
                    continue
            if rim >= one:
                continue
            crown, shade = _crown(kind, rim, distance, coarse, height_m, frond)
            crown += np.float32(0.5) * fine * min(height_m * np.float32(0.2), one)
            opaque = one
            if full < np.float32(0.9):
                wood = _wood(x, y, distance, away, count, limbs)
                opaque = _opacity(wood, fine, coarse, full)
                if opaque < np.float32(0.08):
                    continue
                crown *= np.float32(0.55) + np.float32(0.45) * opaque
            if crown <= canopy[row, col] or crown < height[row, col] + np.float32(0.3):
                continue
            canopy[row, col] = max(crown, np.float32(0.3))
            cover[row, col] = opaque
            shade *= one + np.float32(0.28) * fine + np.float32(0.24) * coarse - np.float32(0.12) * rim
            white = min(snow * full * max(np.float32(0), np.float32(0.4) + coarse), np.float32(0.85))
            for band in range(4):
                value = base[band] * shade
                value += (white_colour[band] - value) * white
                leaf[row, col, band] = min(max(value, np.float32(4)), np.float32(250))


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_trees(canopy, cover, leaf, height, noise, trees, colours, gsd_m, leaves, tint, snow, seed):  # type: ignore[no-untyped-def]
    base = np.zeros(4, np.float32)
    clumps, limbs = np.empty((10, 10), np.float32), np.empty((4, LIMB_PLACES), np.float32)
    for index in range(len(trees)):
        tree = trees[index]
        if tree.radius <= 0:
            continue
        key = int(abs(tree.x) * 32) * 7919 + int(abs(tree.y) * 32) + seed * 31
        full = _leaves_of(tree.kind, leaves, key)
        _write_colour(tree.kind, tree.tone, full, tint, key, colours, base)
        _paint_tree(
            canopy,
            cover,
            leaf,
            height,
            noise,
            tree,
            key,
            base,
            full,
            np.float32(0.7) * snow,
            colours[6],
            gsd_m,
            clumps,
            limbs,
        )
