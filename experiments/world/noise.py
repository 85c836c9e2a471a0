"""Noise without tables: the same value at the same position for the same seed, in compiled loops.

Lattice values come from an integer hash (constants of xxHash32, Collet 2012); between them they are blended smoothly.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Lengths of the lattices of broad, middle and fine texture, metres; the last two have one octave below them.
PERIODS_M = (46.0, 7.5, 1.3)
RELIEF_PERIODS_M = ((230.0, 2.0), (83.0, 0.8))  # lattice and weight; their sum has a standard deviation about 1


@njit(cache=True, nogil=True, error_model="numpy")
def hash_unit(i, j, seed):  # type: ignore[no-untyped-def]
    """Return a value, uniform in 0–1, for a pair of integers of any sign and a seed."""
    value = (np.int64(i) * 374761393 + np.int64(j) * 668265263 + np.int64(seed) * 2246822519) & 0xFFFFFFFF
    value = ((value ^ (value >> 15)) * 2246822519) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 3266489917) & 0xFFFFFFFF
    value ^= value >> 16
    return np.float32(value * 2.3283064e-10)


@njit(cache=True, nogil=True, error_model="numpy")
def value_noise(x_m, y_m, period_m, seed):  # type: ignore[no-untyped-def]
    """Return smooth noise in −1..1, standard deviation about 0.4, at a position in metres on a lattice of `period_m`."""
    u, v = x_m / period_m, y_m / period_m
    left, top = int(np.floor(u)), int(np.floor(v))
    u, v = np.float32(u - left), np.float32(v - top)
    u, v = u * u * (np.float32(3) - np.float32(2) * u), v * v * (np.float32(3) - np.float32(2) * v)
    a, b = hash_unit(left, top, seed), hash_unit(left + 1, top, seed)
    c, d = hash_unit(left, top + 1, seed), hash_unit(left + 1, top + 1, seed)
    upper, lower = a + (b - a) * u, c + (d - c) * u
    return np.float32(2) * (upper + (lower - upper) * v) - np.float32(1)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def sine_of_turns(turns):  # type: ignore[no-untyped-def]
    """Return the sine of an angle in turns from two parabolas, right to 0.002."""
    part = turns - np.floor(turns) - np.float32(0.5)
    value = np.float32(-16) * part * (np.float32(0.5) - abs(part))
    return value + np.float32(0.225) * (value * abs(value) - value)


@njit(cache=True, nogil=True, error_model="numpy")
def fill_lattice(lattice, points, seed):  # type: ignore[no-untyped-def]
    """Write the first `points` × `points` values of the lattice of a noise, for `lattice_value`: each point is hashed
    once for all pixels."""
    for i in range(points):
        for j in range(points):
            lattice[i, j] = np.float32(2) * hash_unit(j, i, seed) - np.float32(1)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def lattice_value(lattice, u, v):  # type: ignore[no-untyped-def]
    """Return smooth noise in −1..1, standard deviation about 0.4, at column u and row v of a lattice from
    `fill_lattice`."""
    j, i = np.uint32(u), np.uint32(v)
    u, v = u - np.float32(j), v - np.float32(i)
    u, v = u * u * (np.float32(3) - np.float32(2) * u), v * v * (np.float32(3) - np.float32(2) * v)
    upper = lattice[i, j] + (lattice[i, j + 1] - lattice[i, j]) * u
    lower = lattice[i + 1, j] + (lattice[i + 1, j + 1] - lattice[i + 1, j]) * u
    return upper + (lower - upper) * v


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _columns(width, step):  # type: ignore[no-untyped-def]
    """Lattice cell of each column, and the weight of the cell's right side."""
    left, weight = np.empty(width, np.int32), np.empty(width, np.float32)
    for col in range(width):
        u = (np.float32(col) + np.float32(0.5)) * step
        left[col] = int(u)
        u -= np.float32(left[col])
        weight[col] = u * u * (np.float32(3) - np.float32(2) * u)
    return left, weight


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _mix_lattice_rows(upper, lower, part, scale, line):  # type: ignore[no-untyped-def]
    """Values of one height between two rows of the lattice, `scale` times −1..1."""
    for j in range(len(line)):
        line[j] = scale * (np.float32(2) * (upper[j] + (lower[j] - upper[j]) * part) - np.float32(1))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _add_line(out, line, left, weight):  # type: ignore[no-untyped-def]
    """Add the values between the points of one line to a row of pixels."""
    for col in range(len(out)):
        j = left[col]
        out[col] += line[j] + (line[j + 1] - line[j]) * weight[col]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_rows(out, gsd_m, period_m, scale, seed):  # type: ignore[no-untyped-def]
    """Add noise times `scale` to an array (H, W); each point of the lattice is hashed once."""
    height, width = out.shape
    left, weight = _columns(width, np.float32(gsd_m / period_m))
    points = left[width - 1] + 2
    upper, lower, line = np.empty(points, np.float32), np.empty(points, np.float32), np.empty(points, np.float32)
    last = -2
    for row in range(height):
        v = (row + 0.5) * gsd_m / period_m
        top = int(np.floor(v))
        if top != last:
            for j in range(points):
                upper[j] = lower[j] if top == last + 1 else hash_unit(j, top, seed)
                lower[j] = hash_unit(j, top + 1, seed)
            last = top
        part = np.float32(v - top)
        _mix_lattice_rows(upper, lower, part * part * (np.float32(3) - np.float32(2) * part), scale, line)
        _add_line(out[row], line, left, weight)


def add_noise(out: NDArray[np.float32], gsd_m: float, period_m: float, weight: float, seed: int) -> None:
    """Add one noise of a lattice of `period_m`, times `weight`, to an array (H, W) in its own memory."""
    _fill_rows(out, gsd_m, period_m, np.float32(weight), seed)


@lru_cache(maxsize=2)
def noise_fields(seed: int, gsd_m: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return broad, middle and fine texture of the ground, (3, rows, columns) of mean 0 and standard deviation about 1,
    the same at both dates; read-only."""
    fields = np.zeros((3, *shape), np.float32)
    broad, middle, fine = (max(period_m, 2.2 * gsd_m) for period_m in PERIODS_M)
    add_noise(fields[0], gsd_m, broad, 2.4, seed)
    for index, period_m in ((1, middle), (2, fine)):
        add_noise(fields[index], gsd_m, period_m, 2.0, seed + 7 * index)
        add_noise(fields[index], gsd_m, max(period_m * 0.37, gsd_m), 1.4, seed + 7 * index + 1)
    fields[0] += np.float32(0.4) * fields[1]
    fields.setflags(write=False)
    return fields


@lru_cache(maxsize=2)
def terrain(seed: int, gsd_m: float, shape: tuple[int, int], relief_m: float) -> NDArray[np.float32]:
    """Return the height (rows, columns) float32 in metres of the terrain of a seed, the same at both dates; read-only.
    `relief_m` is its standard deviation."""
    heights = np.zeros(shape, np.float32)
    for period_m, weight in RELIEF_PERIODS_M if relief_m > 0 else ():
        add_noise(heights, gsd_m, period_m, weight * relief_m, seed + int(period_m))
    heights.setflags(write=False)
    return heights
