"""Damage to roofs that stay up: covering gone, tarps, sheets peeled, holes, ragged edges, rafters, soot.

Each function takes one pixel of a roof and returns (what, height, red, green, blue, near infrared): `what` is KEEP,
COLOUR where only the colour changes, or GONE where no roof is left; heights are metres above the ground.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from world.hazard import PIECES
from world.intensity import CELL_M
from world.noise import hash_unit, value_noise
from world.plan import CONSTRUCTIONS

_MASONRY, _WOOD = CONSTRUCTIONS["masonry"], CONSTRUCTIONS["wood"]
_TURN_M = 2.4  # pieces within this distance lie the same way
_DIRECTIONS = 16
_COS = np.cos(np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS)
_SIN = np.sin(np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS)

KEEP, COLOUR, GONE, TARP, CHAR = range(5)
RIM_M = 0.4, 1.5  # width of broken edges: of every one, and more at full strength


@njit(cache=True, nogil=True, error_model="numpy")
def lose_covering(a, b, inward, height, strength, seed, construction):  # type: ignore[no-untyped-def]
    """Show boards or underlay in 3–15 % of a roof, mostly at its edges and ridge."""
    step = 0.8 + 1.2 * hash_unit(4, 0, seed)
    noise = board_noise(a, b, step, seed) + (0.25 if inward < 1.0 else 0.0)
    if noise < 1.0 - 0.42 * strength:
        return KEEP, height, 0.0, 0.0, 0.0, 0.0
    tone = 0.88 + 0.24 * hash_unit(math.floor(a / 0.5), math.floor(b / 0.3), seed)
    choice = hash_unit(5, 0, seed)
    if construction == 1:  # concrete: the screed under a torn membrane
        return COLOUR, height, 168 * tone, 162 * tone, 152 * tone, 166 * tone
    if choice < 0.55:
        return COLOUR, height, 164 * tone, 138 * tone, 114 * tone, 168 * tone
    if choice < 0.85:
        return COLOUR, height, 66 * tone, 62 * tone, 60 * tone, 70 * tone
    return COLOUR, height, 104 * tone, 92 * tone, 82 * tone, 106 * tone


@njit(cache=True, nogil=True, error_model="numpy")
def lay_tarps(a, b, inward, height, strength, seed, half_a, half_b):  # type: ignore[no-untyped-def]
    """One to three tarps askew on the roof; mostly blue, else white, dark blue, brown or silver."""
    if inward < 0.1:
        return KEEP, height, 0.0, 0.0, 0.0, 0.0
    for k in range(1 + int(2.9 * strength)):
        turn = 0.16 * (hash_unit(k, 1, seed) - 0.5)
        u = a - (hash_unit(k, 2, seed) - 0.5) * 1.4 * half_a
        v = b - (hash_unit(k, 3, seed) - 0.5) * 1.2 * half_b
        along, across = u + turn * v, v - turn * u
        if abs(along) > (0.2 + 0.5 * hash_unit(k, 4, seed)) * half_a:
            continue
        if abs(across) > (0.3 + 0.45 * hash_unit(k, 5, seed)) * half_b:
            continue
        tone = (0.86 + 0.24 * hash_unit(k, 6, seed)) * (1 + 0.09 * value_noise(a, b, 1.6, seed + k))
        choice = hash_unit(7, k, seed)
        if choice < 0.5:
            return TARP, height, 48 * tone, 90 * tone, 182 * tone, 152 * tone
        if choice < 0.68:
            return TARP, height, 34 * tone, 64 * tone, 138 * tone, 128 * tone
        if choice < 0.86:
            return TARP, height, 200 * tone, 200 * tone, 196 * tone, 198 * tone
        if choice < 0.94:
            return TARP, height, 112 * tone, 92 * tone, 74 * tone, 112 * tone
        return TARP, height, 70 * tone, 104 * tone, 84 * tone, 130 * tone
    return KEEP, height, 0.0, 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def peel_sheets(a, b, inward, height, share, seed):  # type: ignore[no-untyped-def]
    """Sheets gone in strips from ridge to eave: purlins over the dark inside, some sheets bent up."""
    strip = math.floor(a / 0.95)
    side = 1 if b > 0 else 0
    chance = 0.55 * hash_unit(strip, side, seed) + 0.45 * (0.5 + 0.9 * value_noise(a, 40.0 * side, 7.0, seed))
    if chance > share:
        bent = hash_unit(strip, side + 2, seed) < 0.06 and chance < share + 0.12
        return (COLOUR, height + 0.5, 208.0, 208.0, 206.0, 206.0) if bent else (KEEP, height, 0.0, 0.0, 0.0, 0.0)
    if (b + 60) % 1.3 < 0.3 or (a + 60) % 5.0 < 0.35:
        return GONE, height - 0.15, 138.0, 122.0, 104.0, 138.0
    tone = 0.7 + 0.6 * piece(a, b, 1.2, seed + 9)
    return GONE, 0.45 * height, 74 * tone, 68 * tone, 62 * tone, 76 * tone


@njit(cache=True, nogil=True, error_model="numpy")
def punch_holes(a, b, height, strength, seed, half_a, half_b, construction):  # type: ignore[no-untyped-def]
    """One to five ragged holes, dark inside, with a pale rim of dust and pieces."""
    ragged = 1 + 0.45 * value_noise(a, b, 1.4, seed)
    for k in range(1 + int(4.5 * strength * hash_unit(8, 0, seed))):
        u = a - (hash_unit(k, 9, seed) - 0.5) * 1.7 * half_a
        v = b - (hash_unit(k, 10, seed) - 0.5) * 1.7 * half_b
        radius = (0.7 + 2.6 * hash_unit(k, 11, seed) * (0.4 + strength)) * ragged
        distance = math.sqrt(u * u + v * v)
        if distance < radius:
            tone = 0.6 + 0.6 * piece(a, b, 0.8, seed)
            return GONE, 0.5 * height, 58 * tone, 54 * tone, 50 * tone, 60 * tone
        if distance < radius + 0.7:
            red, green, blue, infrared = rubble_colour(a, b, construction, 0.5, seed)
            return COLOUR, height, red, green, blue, infrared
    return KEEP, height, 0.0, 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def break_edges(a, b, inward, height, front, strength, seed, construction):  # type: ignore[no-untyped-def]
    """Parapets, gables and outer walls fell on the sides towards `front`: a ragged edge of rubble."""
    width = (RIM_M[0] + RIM_M[1] * strength) * (0.8 + 0.8 * value_noise(a, b, 2.5, seed))
    if front < 0.1 - 0.3 * strength or inward > width:
        return KEEP, height, 0.0, 0.0, 0.0, 0.0
    red, green, blue, infrared = rubble_colour(a, b, construction, 0.3, seed)
    low = height * (0.35 + 0.4 * hash_unit(math.floor(a / 2), math.floor(b / 2), seed))
    return GONE, low, red, green, blue, infrared


@njit(cache=True, nogil=True, error_model="numpy")
def open_roof(a, b, inward, height, eave, front, strength, seed, construction):  # type: ignore[no-untyped-def]
    """Roof gone on 25–65 % of the plan: rafters or rooms and wreckage show; the rest has lost covering."""
    step = 1.0 + 1.3 * hash_unit(12, 0, seed)
    if front + 0.5 * board_noise(a, b, step, seed) < 0.42 - 0.62 * strength:
        return lose_covering(a, b, inward, height, strength, seed, construction)
    if hash_unit(13, 0, seed) < 0.6 and (a + 60) % (0.9 + 0.5 * hash_unit(14, 0, seed)) < 0.3:
        tone = 0.8 + 0.4 * hash_unit(math.floor(a / 0.9), 15, seed)
        return GONE, eave + 0.3, 162 * tone, 136 * tone, 112 * tone, 164 * tone
    if is_wall(a, b, inward, 0.4, seed):
        return GONE, 0.85 * eave, 178.0, 168.0, 154.0, 176.0
    red, green, blue, infrared = rubble_colour(a, b, construction, 0.1, seed)
    if board_noise(a, b, 1.6, seed + 31) > 0.25:
        return GONE, 0.15 * eave, 0.5 * red, 0.5 * green, 0.5 * blue, 0.5 * infrared
    return GONE, 0.4 * eave, red, green, blue, infrared


@njit(cache=True, nogil=True, error_model="numpy")
def scorch_roof(a, b, height, front, strength, seed):  # type: ignore[no-untyped-def]
    """One side burnt: soot that fades over the roof, and holes with char where it is strongest."""
    burn = front + 0.3 * value_noise(a, b, 3.0, seed) - (0.75 - 0.9 * strength)
    if burn < 0:
        return KEEP, height, 0.0, 0.0, 0.0, 0.0
    tone = 0.75 + 0.5 * piece(a, b, 0.9, seed)
    if burn > 0.42:
        return GONE, 0.5 * height, 44 * tone, 42 * tone, 42 * tone, 46 * tone
    return CHAR, height, min(2.2 * burn, 0.85), 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def bilinear(grid, x_m, y_m):  # type: ignore[no-untyped-def]
    """Return the value at a position, metres, of a float32 grid of nodes that lie `CELL_M` apart."""
    u = min(max(x_m / CELL_M, 0.0), grid.shape[1] - 1.001)
    v = min(max(y_m / CELL_M, 0.0), grid.shape[0] - 1.001)
    j, i = int(u), int(v)
    f, g = np.float32(u - j), np.float32(v - i)
    upper = grid[i, j] + (grid[i, j + 1] - grid[i, j]) * f
    lower = grid[i + 1, j] + (grid[i + 1, j + 1] - grid[i + 1, j]) * f
    return upper + (lower - upper) * g


@njit(cache=True, nogil=True, error_model="numpy")
def board_noise(a_m, b_m, step_m, seed):  # type: ignore[no-untyped-def]
    """Return noise of mean 0 and standard deviation about 0.55 in blocks of the size of boards (`step_m` long, six
    tenths as wide), with broader clumps; a and b run along and across the roof."""
    block = hash_unit(math.floor(a_m / step_m), math.floor(b_m / (0.6 * step_m)), seed)
    clump = value_noise(a_m, b_m, 4.0 * step_m, seed + 1)
    return np.float32(0.7) * (2 * block - 1) + np.float32(0.95) * clump


@njit(cache=True, nogil=True, error_model="numpy")
def piece(x_m, y_m, size_m, seed):  # type: ignore[no-untyped-def]
    """Return one value, uniform in 0–1, for all of a broken piece of `size_m`, half as wide; pieces lie in changing
    directions."""
    i, j = math.floor(x_m / _TURN_M), math.floor(y_m / _TURN_M)
    turn = (7 * i + 11 * j + ((i * i + 3 * j * j) >> 1) + seed) & (_DIRECTIONS - 1)  # cheaper than a hash
    cos, sin = _COS[turn], _SIN[turn]
    along, across = x_m * cos + y_m * sin, y_m * cos - x_m * sin
    return hash_unit(math.floor(along / size_m), math.floor(across / (0.5 * size_m)), seed + 3)


@njit(cache=True, nogil=True, error_model="numpy")
def rubble_colour(x_m, y_m, construction, dust, seed):  # type: ignore[no-untyped-def]
    """Return the display colour (red, green, blue, near infrared, 0–255) of rubble at a position: broken pieces, dark
    gaps, and dust between them (0 none to 1 all). `construction` is a code of `plan.CONSTRUCTIONS`."""
    value = piece(x_m, y_m, 1.3, seed)
    fine = piece(x_m + 7.3, y_m, 0.65, seed + 11)
    clump = value_noise(x_m, y_m, 3.5, seed + 5)
    kind = int(value * 2.999)
    tone = 0.8 + 0.22 * fine + 0.14 * clump
    if fine < 0.12 + 0.12 * clump:  # gaps between the pieces
        tone *= 0.62
    spread = 34.0 if construction in (_MASONRY, _WOOD) else 16.0  # brick, boards and what was inside
    warm = spread * (piece(x_m, y_m + 5.1, 1.0, seed + 7) - 0.5)
    red, green = PIECES[construction, kind, 0] * tone + warm, PIECES[construction, kind, 1] * tone
    blue, infrared = PIECES[construction, kind, 2] * tone - 0.5 * warm, PIECES[construction, kind, 3] * tone
    grey = 0.92 + 0.1 * fine
    weight = dust * (0.75 + 0.25 * clump)
    return (
        red + weight * (160 * grey - red),
        green + weight * (152 * grey - green),
        blue + weight * (140 * grey - blue),
        infrared + weight * (158 * grey - infrared),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def is_wall(a_m, b_m, inward_m, width_m, seed):  # type: ignore[no-untyped-def]
    """Return whether a position, metres along and across the building and inside its edge, lies on an outer or inner
    wall of `width_m` that still stands."""
    pitch_a, pitch_b = 3.0 + 2.2 * hash_unit(1, 0, seed), 2.8 + 1.8 * hash_unit(2, 0, seed)
    outer = inward_m < width_m
    if not outer and (a_m + 90) % pitch_a > width_m and (b_m + 90) % pitch_b > width_m:
        return False
    missing = -0.45 + 0.5 * hash_unit(3, 0, seed) + (0.0 if outer else 0.35)
    return value_noise(a_m, b_m, 3.0, seed + 17) > missing
