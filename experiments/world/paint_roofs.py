"""Paints roofs of every kind and surface: shape and slope, parapets, and the pattern of tiles, sheets, stains or straw.

The highest roof at a position is what is seen; parts of one building join into one outline. Textures hang on the
position of the roof alone, so that they are the same at both dates.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from world.noise import hash_unit, noise_fields, sine_of_turns, value_noise
from world.plan import (
    CONE,
    DOME,
    GABLE,
    GRAVEL,
    HIP,
    MONO,
    PATCHWORK,
    PLAIN,
    SHEETS,
    STAINED,
    THATCH,
    TILES,
    VAULT,
    Plan,
)
from world.surface import WorldSurface, columns_of, rows_of

ROOF_CODE, OTHER_CODE = CODE["roof"], CODE["wood"]  # of a building; of a structure that is none


def paint_roofs(surface: WorldSurface, plan: Plan) -> None:
    """Paint all roofs of one date: heights, colours, materials, slopes, `building`, `roof` and `inward` of the surface
    are written."""
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_roofs(
        surface.height, surface.albedo, surface.material, surface.building, surface.roof, surface.inward,
        surface.slope_x, surface.slope_y, noise, plan.roofs, surface.gsd_m, ROOF_CODE, OTHER_CODE,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def roof_shape(roof, a, b):  # type: ignore[no-untyped-def]
    """Return what a roof is at a position (a, b) in its frame, metres from the middle: metres inside the edge (negative
    outside), height above the eave in metres, gradient along and across."""
    zero, one = np.float32(0), np.float32(1)
    half_a, half_b = np.float32(0.5) * roof.length, np.float32(0.5) * roof.width
    kind, rise = roof.kind, roof.rise
    if kind in (CONE, DOME):
        u, v = a / half_a, b / half_b
        radius = np.sqrt(u * u + v * v)
        smaller = min(half_a, half_b)
        inward = (one - radius) * smaller
        if inward <= 0 or radius < np.float32(1e-4):
            return inward, rise * smaller, zero, zero
        if kind == CONE:
            steep = -rise * smaller / radius
            return inward, rise * smaller * (one - radius), steep * u / half_a, steep * v / half_b
        up = np.sqrt(max(one - radius * radius, np.float32(0.02)))
        return inward, rise * smaller * up, -rise * smaller * u / (half_a * up), -rise * smaller * v / (half_b * up)
    to_a, to_b = half_a - abs(a), half_b - abs(b)
    inward = min(to_a, to_b)
    if kind == MONO:
        return inward, rise * np.float32(0.5) * (b + half_b), zero, rise * np.float32(0.5)
    if kind == GABLE or (kind == HIP and to_b <= to_a):
        return inward, rise * to_b, zero, (-rise if b > 0 else rise)
    if kind == HIP:
        return inward, rise * to_a, (-rise if a > 0 else rise), zero
    if kind == VAULT:
        v = b / half_b
        up = np.sqrt(max(one - v * v, np.float32(0.04)))
        return inward, rise * half_b * up, zero, -rise * v / up
    return inward, zero, zero, zero


@njit(cache=True, nogil=True, error_model="numpy")
def _wave(position, period, gsd_m):  # type: ignore[no-untyped-def]
    """Sine of a period, fading where pixels are too large to hold it."""
    fade = min(max(period / gsd_m / np.float32(2) - np.float32(0.7), np.float32(0)), np.float32(1))
    return fade * sine_of_turns(position / period)


@njit(cache=True, nogil=True, error_model="numpy")
def _texture(surface, run, down, inward, fine, middle, key, gsd_m):  # type: ignore[no-untyped-def]
    """Tone of the covering relative to 1, and share of rust; `run` along the courses, `down` the slope, metres."""
    one = np.float32(1)
    odd = hash_unit(key, 1, 5)
    tone, rust = np.float32(0.018) * fine + np.float32(0.02 + 0.02 * odd) * middle, np.float32(0)
    if surface == TILES:
        period = np.float32(0.34) + np.float32(0.5) * odd
        tone += np.float32(0.05) * _wave(down, period, gsd_m) + np.float32(0.03) * fine
        tone += np.float32(0.05) * (
            hash_unit(int(np.floor(run / 0.9)), int(np.floor(down / 0.6)), key) - np.float32(0.5)
        )
        tone += np.float32(0.05) * value_noise(run, down * np.float32(0.4), 2.2, key)
    elif surface == SHEETS:
        panel = np.float32(0.75) + np.float32(0.5) * odd
        tone += np.float32(0.06) * _wave(run, panel, gsd_m)
        tone += np.float32(0.07) * (
            hash_unit(int(np.floor(run / panel)), int(np.floor(down / 6.0)), key) - np.float32(0.5)
        )
        worn = value_noise(run, down * np.float32(0.25), 1.7, key) + value_noise(run, down, 9.0, key + 1)
        rust = min(
            max((worn - np.float32(0.9) + odd * np.float32(0.8)) * np.float32(0.8), np.float32(0)), np.float32(0.8)
        )
        rust *= np.float32(0.7) if odd > np.float32(0.45) else np.float32(0.1)
    elif surface == PATCHWORK:
        u, v = int(np.floor(run / 0.95)), int(np.floor(down / 2.4))
        first, second = hash_unit(u, v, key), hash_unit(u, v, key + 77)
        tone += np.float32(0.34) * (first - np.float32(0.5))
        rust = max(second * np.float32(1.5) - np.float32(0.55), np.float32(0)) * (np.float32(0.5) + odd)
        rust = min(rust + np.float32(0.12) * max(middle, np.float32(0)), one)
    elif surface == STAINED:
        stain = value_noise(run, down, 4.5, key) + np.float32(0.6) * value_noise(run, down, 1.6, key + 1)
        tone -= np.float32(0.26) * max(stain - np.float32(0.15), np.float32(0))
        tone += np.float32(0.05) * value_noise(run, down, 11.0, key + 2)
        if inward < np.float32(1.2):
            tone -= np.float32(0.10) * (one - inward / np.float32(1.2)) * odd
        seam = np.float32(1.6) + np.float32(2.4) * odd
        if down % seam < np.float32(gsd_m) * np.float32(0.8):
            tone -= np.float32(0.05)
    elif surface == THATCH:
        tone += np.float32(0.09) * fine + np.float32(0.09) * value_noise(
            run * np.float32(3), down * np.float32(0.5), 1.0, key
        )
    elif surface == GRAVEL:
        tone += np.float32(0.05) * fine + np.float32(0.05) * value_noise(run, down, 6.0, key)
    elif surface == PLAIN:
        tone *= np.float32(0.7)
    return tone, rust


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_roofs(  # type: ignore[no-untyped-def]
    height, albedo, material, building, roofs_at, inward_at, slope_x, slope_y, noise, roofs, gsd_m, own_code, other_code
):
    rows, cols = height.shape
    step = np.float32(gsd_m)
    for index in range(len(roofs)):
        roof = roofs[index]
        cos, sin = np.float32(np.cos(roof.angle)), np.float32(np.sin(roof.angle))
        half_a, half_b = np.float32(0.5) * roof.length, np.float32(0.5) * roof.width
        key = int(abs(roof.x) * 64) * 8191 + int(abs(roof.y) * 64)
        number = roof.building + 1
        rim = max(np.float32(0.35), np.float32(0.8) * step)
        rim_tone = np.float32(0.85) + np.float32(0.4) * hash_unit(key, 3, 1)
        ridge_tone = (hash_unit(key, 4, 1) - np.float32(0.4)) * np.float32(0.25)
        top, bottom = rows_of(cos, sin, half_a, half_b, roof.y, gsd_m, rows)
        for row in range(top, bottom):
            y = np.float32((row + 0.5) * gsd_m) - roof.y
            left, right = columns_of(cos, sin, half_a, half_b, roof.x, y, gsd_m, cols)
            for col in range(left, right):
                x = np.float32((col + 0.5) * gsd_m) - roof.x
                a, b = cos * x + sin * y, cos * y - sin * x
                inward, over, steep_a, steep_b = roof_shape(roof, a, b)
                if inward <= 0:
                    continue
                level = roof.eave_m + over
                same = number > 0 and building[row, col] == number
                joined = max(inward, inward_at[row, col]) if same else inward
                if level < height[row, col] - np.float32(0.05) and roofs_at[row, col] > 0:
                    if same:
                        inward_at[row, col] = joined
                    continue
                run, down = (b, a) if abs(steep_a) > abs(steep_b) else (a, b)
                fine, middle = noise[2, row, col], noise[1, row, col]
                tone, rust = _texture(roof.surface, run, down, inward, fine, middle, key, step)
                tone = np.float32(1) + roof.relief * tone
                if roof.parapet_m > 0 and joined < rim:
                    level += roof.parapet_m
                    tone *= rim_tone
                elif (roof.kind == GABLE or roof.kind == HIP) and abs(b) < np.float32(0.22) + np.float32(0.2) * step:
                    tone += ridge_tone
                rust = min(max(roof.relief * rust, np.float32(0)), np.float32(1))
                for band in range(4):
                    base = roof.colour[band]
                    brown = np.float32((118, 78, 56, 112)[band])
                    value = (base + (brown - base) * rust) * tone
                    albedo[row, col, band] = min(max(value, np.float32(4)), np.float32(252))
                height[row, col] = level
                material[row, col] = own_code if number > 0 else other_code
                slope_x[row, col] = steep_a * cos - steep_b * sin
                slope_y[row, col] = steep_a * sin + steep_b * cos
                roofs_at[row, col] = index + 1
                inward_at[row, col] = joined
                building[row, col] = number
