"""Texture of damage in compiled loops: boards, broken pieces, walls, and values between the nodes of a coarse grid."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from deepnets4eo.synthetic.world.damage_modes import PIECES
from deepnets4eo.synthetic.world.intensity import CELL_M
from deepnets4eo.synthetic.world.noise import hash_unit, value_noise
from deepnets4eo.synthetic.world.plan import CONSTRUCTIONS

_MASONRY, _WOOD = CONSTRUCTIONS["masonry"], CONSTRUCTIONS["wood"]
_TURN_M = 2.4  # pieces within this distance lie the same way
_DIRECTIONS = 16
_COS = np.cos(np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS)
_SIN = np.sin(np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS)


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
