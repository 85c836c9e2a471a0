"""Paints what an event did to the ground: mud, scorched lawns, ash, dust, fine debris, heaps beside collapsed walls.

Called before the roofs are painted, so that whole roofs cover what lies below them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.damage_cover import piece
from deepnets4eo.synthetic.world.damage_modes import DEBRIS, PIECES
from deepnets4eo.synthetic.world.damage_state import Outcome
from deepnets4eo.synthetic.world.ground_heaps import paint_aprons, paint_crater
from deepnets4eo.synthetic.world.intensity import CELL_M
from deepnets4eo.synthetic.world.mud import SOFT, mud_share
from deepnets4eo.synthetic.world.noise import hash_unit, noise_fields, value_noise
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.surface import WorldSurface
from deepnets4eo.synthetic.world.water_paint import paint_water

__all__ = ["paint_ground_effects", "paint_water"]

_MUD, _BURNT, _RUBBLE = CODE["mud"], CODE["burnt"], CODE["rubble"]
_SEALED = np.zeros(256, np.bool_)
_SEALED[[CODE[name] for name in ("asphalt", "old_asphalt", "concrete", "paint")]] = True
_WATER = CODE["water"]


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
        paint_crater(surface, outcome)
    paint_aprons(surface, plan, outcome)


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
