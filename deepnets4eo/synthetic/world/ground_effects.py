"""Paints what an event did to the ground: mud, scorched lawns, ash, dust, fine debris, heaps beside collapsed walls.

Called before the roofs are painted, so that whole roofs cover what lies below them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.damage_modes import DEBRIS, PIECES
from deepnets4eo.synthetic.world.damage_texture import bilinear, piece, rubble_colour
from deepnets4eo.synthetic.world.noise import hash_unit, noise_fields, value_noise
from deepnets4eo.synthetic.world.plan import NO_BUILDING, Plan
from deepnets4eo.synthetic.world.surface import WorldSurface
from deepnets4eo.synthetic.world.water_paint import paint_water

if TYPE_CHECKING:
    from deepnets4eo.synthetic.world.outcome import Outcome

__all__ = ["paint_ground_effects", "paint_water"]

_MUD, _BURNT, _RUBBLE, _SOIL = CODE["mud"], CODE["burnt"], CODE["rubble"], CODE["soil"]
# Ground that turns to mud or char; sealed ground gets a film.
_SOFT = np.zeros(256, np.bool_)
_SOFT[[CODE[name] for name in ("grass", "dry_grass", "soil", "gravel", "shrub", "mud")]] = True
_SEALED = np.zeros(256, np.bool_)
_SEALED[[CODE[name] for name in ("asphalt", "old_asphalt", "concrete", "paint")]] = True
_WATER = CODE["water"]
_CAR = CODE["car"]
_APRON = 0.18  # modes with at least this debris have a heap beside their walls


def paint_ground_effects(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Paint mud, scorch, ash, dust, fine debris and heaps beside walls onto the ground.

    Parameters
    ----------
    surface
        Of the date after the event, with its ground, before roofs; changed in its own memory.
    plan
        Of the date after the event.
    outcome
        Intensity, debris and water.
    """
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
    sources = plan.buildings["construction"][DEBRIS[outcome.modes] > 0]
    sources = sources if len(sources) else np.array([2])
    colours = PIECES[rng.choice(sources, 12), rng.integers(3, size=12)] * rng.uniform(0.6, 1.12, (12, 1))
    dull = rng.uniform(0.1, 0.5)
    return np.asarray(colours + dull * (np.array([134, 122, 106, 134]) - colours), np.float32)


def _mud_colour(outcome: Outcome) -> np.ndarray:
    """Display colour of the place's mud: grey ash of volcanoes, brown silt, red earth."""
    rng = np.random.default_rng([outcome.seed, 1])
    poles = np.array([(122, 108, 90, 120), (138, 118, 94, 130), (112, 106, 98, 112), (144, 112, 84, 130)], np.float32)
    colour = poles[int(rng.integers(len(poles)))]
    return np.asarray((colour + rng.normal(0, 4, 4)) * rng.uniform(0.85, 1.12), np.float32)


@njit(cache=True)
def _paint_ground(  # type: ignore[no-untyped-def]
    gsd_m,
    albedo,
    material,
    height,
    textures,
    intensity,
    debris,
    depth_m,
    colours,
    mud_colour,
    mud,
    scorch,
    ash,
    dust,
    drained,
    lahar,
    seed,
):
    patchy = 0.4 + 0.9 * hash_unit(1, 2, seed)
    cleared = 0.1 + 0.5 * hash_unit(3, 4, seed)  # debris left on sealed ground
    for row in range(material.shape[0]):
        y = (row + 0.5) * gsd_m
        for col in range(material.shape[1]):
            x = (col + 0.5) * gsd_m
            force, loose = bilinear(intensity, x, y), bilinear(debris, x, y)
            if force < 0.03 and loose < 0.03:
                continue
            code = material[row, col]
            broad, middle, fine = textures[0, row, col], textures[1, row, col], textures[2, row, col]
            soft, sealed = _SOFT[code], _SEALED[code]
            cover = 0.0
            if drained:
                depth = bilinear(depth_m, x, y)
                if depth > 0:
                    wet = min(depth / 0.4, 1.0)
                    cover = wet * mud * (0.75 + 0.25 * broad + 0.12 * middle) * (1.0 if soft else 0.6)
                    if lahar or depth > 1.5:
                        cover = min(1.0, cover + 0.35)
                    if height[row, col] > depth:
                        cover = 0.0
                if 0.0 < depth < 0.22 and value_noise(x, y, 6.0, seed + 8) > -0.1:  # the line where the water stopped
                    loose = loose + 0.5 * force + 0.12
            elif mud > 0 and (soft or sealed):
                cover = (force + 0.16 * broad + 0.1 * middle - 0.35) * 1.6 * mud * (1.0 if soft else 0.25)
            if cover > 0:
                cover = min(cover, 0.96)
                tone = 1 + 0.07 * middle + 0.04 * fine
                for band in range(4):
                    albedo[row, col, band] += cover * (mud_colour[band] * tone - albedo[row, col, band])
                if cover > 0.55 and code != _CAR:
                    material[row, col] = _MUD
                if lahar:
                    height[row, col] = max(height[row, col], 0.3)
            if scorch > 0 and soft:
                black = min(max((force + 0.22 * broad + 0.16 * middle - 1.05 + 0.8 * scorch) * 1.5, 0), 0.85)
                if black > 0:
                    char = 52 + 9 * fine + 6 * middle
                    for band in range(4):
                        albedo[row, col, band] += black * (char - (0 if band != 2 else 4) - albedo[row, col, band])
                    if black > 0.5:
                        material[row, col] = _BURNT
            if ash > 0 and force * ash + 0.12 * middle + 0.2 * fine + 0.1 * broad > 0.75 and soft:
                for band in range(4):
                    albedo[row, col, band] += 0.5 * (158 - 6 * band - albedo[row, col, band])
            if dust > 0 and loose > 0.03:
                film = min(dust * loose * (0.8 + 0.25 * middle) * 1.3, 0.8)
                for band in range(4):
                    albedo[row, col, band] += film * (164 - 7 * band + 7 * (band == 3) - albedo[row, col, band])
            if loose > 0.02 and code != _WATER:
                chance = loose * (0.45 + patchy * (0.3 * broad + 0.2 * middle))
                if sealed:
                    chance *= cleared
                value = piece(x, y, 1.1, seed)
                if value >= chance:
                    value = piece(x + 3.1, y + 1.7, 0.6, seed + 21) * 1.6
                if value < chance:
                    which = int(hash_unit(int(value * 65536), 5, seed) * 11.999)
                    tone = 0.85 + 0.12 * fine
                    for band in range(4):
                        albedo[row, col, band] = colours[which, band] * tone
                    height[row, col] = max(height[row, col], 0.15 + 0.3 * value)
                    material[row, col] = _RUBBLE


def _paint_crater(surface: WorldSurface, outcome: Outcome) -> None:
    """Bare, darkened soil with a rim where the explosion was."""
    row, col = np.unravel_index(int(outcome.intensity.argmax()), outcome.intensity.shape)
    _crater(
        surface.gsd_m, surface.albedo, surface.material, surface.height, 4.0 * col, 4.0 * row,
        6.0 + 24.0 * (outcome.effects["crater"] - 0.5), outcome.seed,
    )  # fmt: skip


@njit(cache=True)
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
                height[row, col] = 0.8 if distance > 0.8 else 0.0


def _paint_aprons(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Heaps of rubble on the ground beside the walls of buildings that came down in part or whole."""
    roofs = plan.roofs
    owner = roofs["building"]
    rows = np.flatnonzero(owner != NO_BUILDING)
    rows = rows[DEBRIS[outcome.modes[owner[rows]]] >= _APRON] if len(outcome.modes) else rows[:0]
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
        plan.buildings["construction"][owner].astype(np.int64), float(outcome.effects["dust"]),
    )  # fmt: skip


@njit(cache=True)
def _aprons(gsd_m, albedo, material, height, parts, seeds, constructions, dust):  # type: ignore[no-untyped-def]
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
                distance = math.hypot(a, b) / reach
                if distance > 1.4 or distance + 0.5 * value_noise(x, y, 2.6, seed + 50) > 0.8:
                    continue
                red, green, blue, infrared = rubble_colour(x, y, constructions[index], dust, seed)
                albedo[row, col, 0], albedo[row, col, 1] = red, green
                albedo[row, col, 2], albedo[row, col, 3] = blue, infrared
                material[row, col] = _RUBBLE
                heap = max(0.45 * reach * (1 - distance), 0.1) * (0.7 + 0.5 * piece(x, y, 1.3, seed))
                height[row, col] = max(height[row, col], min(heap, 2.5))
