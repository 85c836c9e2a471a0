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


@njit(cache=True, error_model="numpy")
def hash_unit(i, j, seed):  # type: ignore[no-untyped-def]
    """Return a value in 0–1 for a pair of integers and a seed.

    Parameters
    ----------
    i, j
        Integers, of any sign.
    seed
        Integer.

    Returns
    -------
    float32, uniform in 0–1.
    """
    value = (np.int64(i) * 374761393 + np.int64(j) * 668265263 + np.int64(seed) * 2246822519) & 0xFFFFFFFF
    value = ((value ^ (value >> 15)) * 2246822519) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 3266489917) & 0xFFFFFFFF
    value ^= value >> 16
    return np.float32(value * 2.3283064e-10)


@njit(cache=True, error_model="numpy")
def value_noise(x_m, y_m, period_m, seed):  # type: ignore[no-untyped-def]
    """Return smooth noise in −1..1 at a position.

    Parameters
    ----------
    x_m, y_m
        Position, metres.
    period_m
        Length of the lattice, metres.
    seed
        Integer.

    Returns
    -------
    float32 in −1..1, standard deviation about 0.4.
    """
    u, v = x_m / period_m, y_m / period_m
    left, top = int(np.floor(u)), int(np.floor(v))
    u, v = np.float32(u - left), np.float32(v - top)
    u, v = u * u * (np.float32(3) - np.float32(2) * u), v * v * (np.float32(3) - np.float32(2) * v)
    a, b = hash_unit(left, top, seed), hash_unit(left + 1, top, seed)
    c, d = hash_unit(left, top + 1, seed), hash_unit(left + 1, top + 1, seed)
    upper, lower = a + (b - a) * u, c + (d - c) * u
    return np.float32(2) * (upper + (lower - upper) * v) - np.float32(1)


@njit(cache=True, error_model="numpy")
def fractal_noise(x_m, y_m, period_m, seed, octaves):  # type: ignore[no-untyped-def]
    """Return the sum of noises, each of half the period and half the strength of the one before.

    Parameters
    ----------
    x_m, y_m
        Position, metres.
    period_m
        Of the first, metres.
    seed
        Integer.
    octaves
        Number of noises.

    Returns
    -------
    float32 in −1..1.
    """
    total, weight, sum_of_weights = np.float32(0), np.float32(1), np.float32(0)
    for octave in range(octaves):
        total += weight * value_noise(x_m, y_m, period_m / 2**octave, seed + 101 * octave)
        sum_of_weights += weight
        weight *= np.float32(0.5)
    return total / sum_of_weights


@njit(cache=True, error_model="numpy")
def _fill_rows(out, gsd_m, period_m, weight, seed):  # type: ignore[no-untyped-def]
    """Add weighted noise to an array (H, W); lattice values are hashed once a cell and row."""
    height, width = out.shape
    step = np.float32(gsd_m / period_m)
    for row in range(height):
        v = (row + 0.5) * gsd_m / period_m
        top = int(np.floor(v))
        part = np.float32(v - top)
        part = part * part * (np.float32(3) - np.float32(2) * part)
        last = -1
        before, after = np.float32(0), np.float32(0)
        for col in range(width):
            u = (np.float32(col) + np.float32(0.5)) * step
            left = int(u)
            if left != last:
                a, c = hash_unit(left, top, seed), hash_unit(left, top + 1, seed)
                before = a + (c - a) * part
                b, d = hash_unit(left + 1, top, seed), hash_unit(left + 1, top + 1, seed)
                after = b + (d - b) * part
                last = left
            u -= np.float32(left)
            u = u * u * (np.float32(3) - np.float32(2) * u)
            out[row, col] += weight * (np.float32(2) * (before + (after - before) * u) - np.float32(1))


def add_noise(out: NDArray[np.float32], gsd_m: float, period_m: float, weight: float, seed: int) -> None:
    """Add one noise to an array.

    Parameters
    ----------
    out
        (H, W) float32, changed in its own memory.
    gsd_m
        Side of a pixel, metres.
    period_m
        Length of the lattice, metres.
    weight
        Of values in −1..1.
    seed
        Integer.
    """
    _fill_rows(out, gsd_m, period_m, np.float32(weight), seed)


@lru_cache(maxsize=2)
def noise_fields(seed: int, gsd_m: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Broad, middle and fine texture of the ground, the same at both dates.

    Parameters
    ----------
    seed
        Of the world.
    gsd_m
        Of the surface, metres.
    shape
        (rows, columns).

    Returns
    -------
    (3, rows, columns) float32, mean 0, standard deviation about 1; read-only.
    """
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
    """Height of the terrain, the same at both dates.

    Parameters
    ----------
    seed
        Of the world.
    gsd_m
        Of the surface, metres.
    shape
        (rows, columns).
    relief_m
        Standard deviation, metres.

    Returns
    -------
    (rows, columns) float32, metres; read-only.
    """
    heights = np.zeros(shape, np.float32)
    for period_m, weight in RELIEF_PERIODS_M if relief_m > 0 else ():
        add_noise(heights, gsd_m, period_m, weight * relief_m, seed + int(period_m))
    heights.setflags(write=False)
    return heights
