"""Paints what an event did to the ground: mud, scorch, ash, debris, heaps beside walls, a crater, water that stands.

All but the water is painted before the roofs, so that whole roofs cover what lies below them; roofs rise out of the
water, which is painted last.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from world.damage_cover import bilinear, piece, rubble_colour
from world.hazard import DEBRIS, MODE, PIECES
from world.intensity import CELL_M, SOFT, mud_share
from world.noise import hash_unit, noise_fields, value_noise
from world.outcome import Outcome
from world.plan import NO_BUILDING, Plan
from world.surface import WorldSurface

_MUD, _BURNT, _RUBBLE, _SOIL, _WATER = (CODE[name] for name in ("mud", "burnt", "rubble", "soil", "water"))
_SEALED = np.zeros(256, np.bool_)
_SEALED[[CODE[name] for name in ("asphalt", "old_asphalt", "concrete", "paint")]] = True
# Modes with a heap beside the walls; what swept a slab took the pieces along.
_HEAPED = (DEBRIS >= 0.18) & (np.arange(len(DEBRIS)) != MODE["slab"])
_PUDDLE_M = 0.35  # drained ground keeps puddles where the water was deepest: share of the highest depth


def paint_ground_effects(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Paint mud, scorch, ash, dust, fine debris and heaps beside walls onto the ground of the date after the event, in
    place and before roofs."""
    if outcome.hazard == "none":
        return
    effects, water = outcome.effects, outcome.water
    drained = water is not None and water.drained
    depth = outcome.water.depth_m if outcome.water is not None else np.full((2, 2), -9, np.float32)
    textures = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_ground(
        surface.gsd_m, surface.albedo, surface.material, surface.height, textures, outcome.intensity, outcome.debris,
        depth, _debris_colours(plan, outcome), _mud_colour(outcome), effects["mud"], effects["scorch"], effects["ash"],
        effects["dust"], drained, outcome.hazard == "lahar", outcome.seed,
    )  # fmt: skip
    if effects["crater"] > 0.5:
        _paint_crater(surface, outcome)
    _paint_aprons(surface, plan, outcome)


def _debris_colours(plan: Plan, outcome: Outcome) -> np.ndarray:
    """(12, 4) display colours of fine debris, those of the buildings that failed, dulled."""
    rng = np.random.default_rng(outcome.seed)
    if outcome.hazard == "wildfire":  # plaster, ash and char
        pale = rng.random((12, 1)) < 0.7
        return np.asarray(
            np.where(pale, (190, 176, 160, 180), (66, 62, 58, 66)) * rng.uniform(0.8, 1.1, (12, 1)), np.float32
        )
    sources = plan.buildings["construction"][DEBRIS[outcome.modes] > 0]
    sources = sources if len(sources) else np.array([2])
    colours = PIECES[rng.choice(sources, 12), rng.integers(3, size=12)] * rng.uniform(0.6, 1.12, (12, 1))
    colours = colours + rng.normal(0, 1, (12, 1)) * (9, 0, -5, 4)
    dull = rng.uniform(0.0, 0.4)
    return np.asarray(colours + dull * (np.array([142, 122, 106, 136]) - colours), np.float32)


def _mud_colour(outcome: Outcome) -> np.ndarray:
    """Display colour of the place's mud: grey ash of volcanoes, brown silt, red earth."""
    rng = np.random.default_rng([outcome.seed, 1])
    poles = np.array([(122, 108, 90, 120), (138, 118, 94, 130), (112, 106, 98, 112), (144, 112, 84, 130)], np.float32)
    colour = poles[int(rng.integers(len(poles)))]
    return np.asarray((colour + rng.normal(0, 4, 4)) * rng.uniform(0.85, 1.12), np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _line(grid, y_m, line):  # type: ignore[no-untyped-def]
    """Write the values of a grid of nodes at one height into a line of nodes."""
    v = min(max(y_m / CELL_M, 0.0), grid.shape[0] - 1.001)
    i = int(v)
    weight = np.float32(v - i)
    for j in range(grid.shape[1]):
        line[j] = grid[i, j] + (grid[i + 1, j] - grid[i, j]) * weight


@njit(cache=True, nogil=True, error_model="numpy")
def _at(line, x_m):  # type: ignore[no-untyped-def]
    u = min(x_m / CELL_M, len(line) - 1.001)
    j = int(u)
    return line[j] + (line[j + 1] - line[j]) * np.float32(u - j)


@njit(cache=True, nogil=True, error_model="numpy")
def _mix(colour, weight, red, green, blue, infrared):  # type: ignore[no-untyped-def]
    colour[0] += weight * (red - colour[0])
    colour[1] += weight * (green - colour[1])
    colour[2] += weight * (blue - colour[2])
    colour[3] += weight * (infrared - colour[3])


@njit(cache=True, nogil=True, error_model="numpy")
def _silt_share(depth, broad, middle, mud):  # type: ignore[no-untyped-def]
    """Share of silt in open water, in plumes that fade where the flow ends; its surface stays water."""
    return min(max(depth / 1.5, 0.0), 1.0) * mud * min(max(0.3 + 0.16 * broad + 0.06 * middle, 0.05), 0.6)


@njit(cache=True, nogil=True, error_model="numpy")
def _loose_piece(x, y, chance, seed):  # type: ignore[no-untyped-def]
    """Value 0–1 of the fine piece that lies here, or -1."""
    value = piece(x, y, 1.1, seed)
    if value >= chance:
        value = piece(x + 3.1, y + 1.7, 0.6, seed + 21) * 1.6
    return value if value < chance else np.float32(-1)


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_ground(  # type: ignore[no-untyped-def]
    gsd_m, albedo, material, height, textures, intensity, debris, depth_m, colours, silt, mud, scorch, ash, dust,
    drained, lahar, seed,
):  # fmt: skip
    patchy = 0.4 + 0.9 * hash_unit(1, 2, seed)
    cleared = 0.1 + 0.5 * hash_unit(3, 4, seed)  # debris left on sealed ground
    still = mud == 0 and scorch == 0 and ash == 0  # the intensity alone leaves no trace
    forces, pieces = np.zeros(intensity.shape[1], np.float32), np.zeros(debris.shape[1], np.float32)
    depths = np.zeros(depth_m.shape[1], np.float32)
    for row in range(material.shape[0]):
        y = (row + 0.5) * gsd_m
        _line(intensity, y, forces)
        _line(debris, y, pieces)
        _line(depth_m, y, depths)
        for col in range(material.shape[1]):
            x = (col + 0.5) * gsd_m
            force, loose = _at(forces, x), _at(pieces, x)
            if (still or force < 0.03) and loose < 0.03:
                continue
            code, colour = material[row, col], albedo[row, col]
            broad, middle, fine = textures[0, row, col], textures[1, row, col], textures[2, row, col]
            soft, sealed = SOFT[code], _SEALED[code]
            depth = _at(depths, x) if drained else np.float32(-9)
            if drained and code == _WATER:
                _mix(colour, _silt_share(depth, broad, middle, mud), silt[0], silt[1], silt[2], silt[3])
                continue
            if mud > 0 and (soft or sealed or drained):
                share = min(mud_share(depth, force, broad, middle, mud, soft, drained, lahar), 0.96)
                if share > 0:
                    tone = 1 + 0.07 * middle + 0.04 * fine
                    _mix(colour, share, silt[0] * tone, silt[1] * tone, silt[2] * tone, silt[3] * tone)
                    if share > 0.55:
                        material[row, col] = _MUD
                    if lahar:
                        height[row, col] = max(height[row, col], 0.3)
            if 0.0 < depth < 0.22 and value_noise(x, y, 6.0, seed + 8) > -0.1:  # the line where the water stopped
                loose = loose + 0.5 * force + 0.12
            if scorch > 0 and soft:
                black = min((force + 0.22 * broad + 0.16 * middle - 1.05 + 0.8 * scorch) * 1.5, 0.8)
                if black > 0:
                    char = 58 + 9 * fine + 6 * middle
                    _mix(colour, black, char, 0.97 * char, 0.9 * char, char)
                    if black > 0.5:
                        material[row, col] = _BURNT
            if ash > 0 and soft and force * ash + 0.12 * middle + 0.2 * fine + 0.1 * broad > 0.75:
                _mix(colour, 0.5, 160.0, 153.0, 145.0, 154.0)
            if dust > 0 and loose > 0.03:
                film = min(dust * loose * (0.8 + 0.25 * middle) * 1.3, 0.8)
                _mix(colour, film, 164.0, 157.0, 150.0, 160.0)
            if loose > 0.02 and code != _WATER:
                chance = loose * (0.45 + patchy * (0.3 * broad + 0.2 * middle)) * (cleared if sealed else 1.0)
                value = _loose_piece(x, y, chance, seed) if chance > 0 else np.float32(-1)
                if value >= 0:
                    which = int(hash_unit(int(value * 65536), 5, seed) * 11.999)
                    for band in range(4):
                        colour[band] = colours[which, band] * (0.85 + 0.12 * fine)
                    height[row, col] = max(height[row, col], 0.06 + 0.2 * value)
                    material[row, col] = _RUBBLE


def _paint_crater(surface: WorldSurface, outcome: Outcome) -> None:
    """Paint bare soil with a rim where the intensity is highest, in place and before roofs."""
    row, col = np.unravel_index(int(outcome.intensity.argmax()), outcome.intensity.shape)
    _crater(
        surface.gsd_m, surface.albedo, surface.material, surface.height, CELL_M * col, CELL_M * row,
        6.0 + 24.0 * (outcome.effects["crater"] - 0.5), outcome.seed,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _crater(gsd_m, albedo, material, height, x_m, y_m, radius, seed):  # type: ignore[no-untyped-def]
    reach = 2.0 * radius
    top, bottom = max(int((y_m - reach) / gsd_m), 0), min(int((y_m + reach) / gsd_m) + 1, material.shape[0])
    left, right = max(int((x_m - reach) / gsd_m), 0), min(int((x_m + reach) / gsd_m) + 1, material.shape[1])
    for row in range(top, bottom):
        for col in range(left, right):
            x, y = (col + 0.5) * gsd_m, (row + 0.5) * gsd_m
            ragged = 1 + 0.3 * value_noise(x, y, 6.0, seed + 40)
            distance = math.hypot(x - x_m, y - y_m) / (radius * ragged)
            if distance > 1.8:
                continue
            weight = 0.95 if distance < 1 else 0.9 * (1.8 - distance) / 0.8
            tone = (0.7 if distance < 0.6 else 1.05) * (0.9 + 0.2 * piece(x, y, 1.0, seed))
            for band in range(4):
                soil = (142 - 14 * band if band < 3 else 138) * tone
                albedo[row, col, band] += weight * (soil - albedo[row, col, band])
            if distance < 1.2:
                material[row, col] = _SOIL
                height[row, col] = max(0.9 - 4.0 * abs(distance - 1.0), 0.0)


def _paint_aprons(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Paint heaps beside the walls of buildings that came down in part or whole, in place and before roofs."""
    roofs = plan.roofs
    owner = roofs["building"]
    rows = np.flatnonzero(owner != NO_BUILDING)
    rows = rows[_HEAPED[outcome.modes[owner[rows]]]]
    if not len(rows):
        return
    roofs, owner = roofs[rows], owner[rows]
    reach = (0.8 + 3.5 * DEBRIS[outcome.modes[owner]] * outcome.strength[owner]) * np.sqrt(
        np.clip(plan.buildings["eave_m"][owner] / 4, 0.6, 4)
    )
    parts = np.stack([roofs["x"], roofs["y"], np.cos(roofs["angle"]), np.sin(roofs["angle"]), roofs["length"] / 2,
                      roofs["width"] / 2, reach, np.cos(outcome.heading[owner]), np.sin(outcome.heading[owner])],
                     axis=1).astype(np.float64)  # fmt: skip
    _aprons(
        surface.gsd_m, surface.albedo, surface.material, surface.height, parts, outcome.seeds[owner],
        plan.buildings["construction"][owner].astype(np.int64), _dust_share(outcome)[owner],
    )  # fmt: skip


def _dust_share(outcome: Outcome) -> np.ndarray:
    """How far dust or ash covers the heaps of each building."""
    return np.asarray(np.where(outcome.modes == MODE["ash"], 0.9, outcome.effects["dust"]), np.float64)


@njit(cache=True, nogil=True, error_model="numpy")
def _aprons(gsd_m, albedo, material, height, parts, seeds, constructions, dusts):  # type: ignore[no-untyped-def]
    for index in range(len(parts)):
        part, seed = parts[index], seeds[index]
        around = math.hypot(part[4], part[5]) + 1.6 * part[6]
        top, bottom = max(int((part[1] - around) / gsd_m), 0), min(int((part[1] + around) / gsd_m) + 1, len(material))
        left = max(int((part[0] - around) / gsd_m), 0)
        right = min(int((part[0] + around) / gsd_m) + 1, material.shape[1])
        for row in range(top, bottom):
            for col in range(left, right):
                x, y = (col + 0.5) * gsd_m, (row + 0.5) * gsd_m
                u, v = x - part[0], y - part[1]
                a = max(abs(u * part[2] + v * part[3]) - part[4], 0.0)
                b = max(abs(v * part[2] - u * part[3]) - part[5], 0.0)
                side = (u * part[7] + v * part[8]) / (math.hypot(u, v) + 0.1)
                reach = part[6] * (1 + 0.6 * side)  # most falls one way
                distance = math.sqrt(a * a + b * b) / reach
                if distance == 0:  # the roof is painted there
                    continue
                if distance > 1.4 or distance + 0.5 * value_noise(x, y, 2.6, seed + 50) > 0.8:
                    continue
                red, green, blue, infrared = rubble_colour(x, y, constructions[index], dusts[index], seed)
                albedo[row, col, 0], albedo[row, col, 1] = red, green
                albedo[row, col, 2], albedo[row, col, 3] = blue, infrared
                material[row, col] = _RUBBLE
                heap = max(0.45 * reach * (1 - distance), 0.1) * (0.7 + 0.5 * piece(x, y, 1.3, seed))
                height[row, col] = max(height[row, col], min(heap, 2.5))


def paint_water(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Paint water over everything that is lower than its level, and wet ground beside it, in place and before trees."""
    if outcome.water is None:
        return
    depth = outcome.water.depth_m
    if outcome.water.drained:
        depth = depth - max((1 - _PUDDLE_M) * float(depth.max()), 0.3)
    rng = np.random.default_rng([outcome.seed, 2])
    brown = np.array([(118, 104, 82, 74), (134, 116, 92, 86), (104, 98, 82, 62), (146, 120, 88, 96)], np.float32)
    colour = brown[int(rng.integers(len(brown)))] * np.float32(rng.uniform(0.85, 1.1))
    clear = np.array([50, 58, 54, 30], np.float32) * np.float32(rng.uniform(0.8, 1.2))
    mixed = colour + np.float32(outcome.water.clear) * (clear - colour)
    opacity_m = 0.06 + 0.7 * outcome.water.clear  # depth at which 63 % of the ground is hidden
    _flood(
        surface.gsd_m, surface.height, surface.albedo, surface.material, surface.roof, surface.slope_x,
        surface.slope_y, np.asarray(depth, np.float32), mixed, opacity_m, outcome.effects["debris"], outcome.seed,
        outcome.water.drained,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _flood(gsd_m, height, albedo, material, roof, slope_x, slope_y, depth_m, colour, opacity_m, debris, seed, drained):  # type: ignore[no-untyped-def]
    for row in range(height.shape[0]):
        y = (row + 0.5) * gsd_m
        for col in range(height.shape[1]):
            x = (col + 0.5) * gsd_m
            if drained and material[row, col] == _WATER:  # the sea is there again, and no puddle in it
                continue
            over = bilinear(depth_m, x, y) - height[row, col]
            if over < -0.25 or (over < 0 and roof[row, col] > 0):
                continue
            if over <= 0:  # wet ground
                dark = 1 - 0.28 * (1 + over / 0.25)
                for band in range(4):
                    albedo[row, col, band] *= dark
                continue
            weight = 1 - math.exp(-over / opacity_m)
            streak = 1 + 0.06 * value_noise(x, y, 38.0, seed) + 0.02 * value_noise(x, y, 5.0, seed + 1)
            for band in range(4):
                wet = 0.6 * albedo[row, col, band] if band < 3 else 0.3 * albedo[row, col, band]
                albedo[row, col, band] = wet + weight * (colour[band] * streak - wet)
            height[row, col] += over
            slope_x[row, col], slope_y[row, col], roof[row, col] = 0, 0, 0
            material[row, col] = _WATER
            if debris > 0 and value_noise(x, y, 14.0, seed + 2) > 0.35 and piece(x, y, 1.2, seed) < 0.6 * debris:
                tone = 90 + 70 * hash_unit(int(x / 1.2), int(y / 1.2), seed)
                albedo[row, col, 0], albedo[row, col, 1] = tone, 0.92 * tone
                albedo[row, col, 2], albedo[row, col, 3] = 0.82 * tone, tone
