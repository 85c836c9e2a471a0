"""Paints what an event did to buildings onto a surface whose roofs are already there.

Buildings that came down follow at the end, pixel by pixel: heaps, walls without roof, slabs, ash, frames, mud.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from world import damage_cover as cover
from world.damage_cover import (
    CHAR,
    COLOUR,
    GONE,
    KEEP,
    TARP,
    bilinear,
    board_noise,
    is_wall,
    piece,
    rubble_colour,
)
from world.hazard import MODE
from world.noise import hash_unit, value_noise
from world.outcome import Outcome
from world.plan import Plan
from world.surface import WorldSurface

_RUBBLE, _BURNT, _MUD, _TARP = CODE["rubble"], CODE["burnt"], CODE["mud"], CODE["tarp"]
_CONCRETE = CODE["concrete"]
(_COVERING, _TARPED, _EDGES, _SCORCHED, _HOLED, _OPENED, _PARTIAL, _PEELED, _LEANING, _PANCAKE, _HEAP, _ROOMS, _SLAB,
 _SHELL, _ASH, _BURIED, _FRAME) = (
    MODE[name] for name in ("covering", "tarped", "edges", "scorched", "holed", "opened", "partial", "peeled",
                            "leaning", "pancake", "rubble", "rooms", "slab", "burnt", "ash", "buried", "frame"))  # fmt: skip


def paint_building_damage(surface: WorldSurface, plan: Plan, outcome: Outcome) -> None:
    """Paint the damage of every building onto its roof, in place. Where a roof is gone, `surface.roof` and the slopes
    become 0 and the material rubble, ash, mud or concrete; `surface.building` keeps the row of the building."""
    if not outcome.modes.any() or not len(plan.roofs):
        return
    roofs, buildings = plan.roofs, plan.buildings
    parts = np.stack([roofs["x"], roofs["y"], np.cos(roofs["angle"]), np.sin(roofs["angle"]),
                      roofs["length"] / 2, roofs["width"] / 2, roofs["eave_m"]], axis=1).astype(np.float64)  # fmt: skip
    houses = np.stack([buildings["x"], buildings["y"], np.maximum(_reach(plan), 1.5), np.cos(outcome.heading),
                       np.sin(outcome.heading), outcome.strength], axis=1).astype(np.float64)  # fmt: skip
    depth = np.zeros((2, 2), np.float32) if outcome.water is None else outcome.water.depth_m
    _paint(
        surface.gsd_m, surface.roof, surface.building, surface.inward, surface.height, surface.albedo,
        surface.material, surface.slope_x, surface.slope_y, parts, houses, outcome.modes, outcome.seeds,
        buildings["construction"].astype(np.int64), np.float64(outcome.effects["dust"]), depth,
    )  # fmt: skip


def _reach(plan: Plan) -> np.ndarray:
    """Half of the length that a building has on average over all directions, metres."""
    return np.asarray(plan.buildings["radius_m"] * 0.75)


@njit(cache=True, nogil=True, error_model="numpy")
def _pixel(mode, x, y, a, b, inward, height, part, house, seed, construction, dust, depth, front):  # type: ignore[no-untyped-def]
    eave, strength = part[6], house[5]
    if mode == _COVERING:
        return cover.lose_covering(a, b, inward, height, strength, seed, construction)
    if mode == _TARPED:
        result = cover.lay_tarps(a, b, inward, height, strength, seed, part[4], part[5])
        return (
            result
            if result[0] != KEEP
            else cover.lose_covering(a, b, inward, height, 0.6 * strength, seed, construction)
        )
    if mode == _EDGES:
        return cover.break_edges(a, b, inward, height, front, strength, seed, construction)
    if mode == _SCORCHED:
        return cover.scorch_roof(a, b, height, front, strength, seed)
    if mode == _HOLED:
        return cover.punch_holes(a, b, height, strength, seed, part[4], part[5], construction)
    if mode == _OPENED:
        return cover.open_roof(a, b, inward, height, eave, front, strength, seed, construction)
    if mode == _PARTIAL:
        return collapse_side(a, b, inward, height, eave, front, strength, seed, construction, dust)
    if mode == _PEELED:
        return cover.peel_sheets(a, b, inward, height, 0.25 + 0.4 * strength, seed)
    if mode == _LEANING:
        return KEEP, max(height + (0.6 + 1.2 * strength) * front, 0.3), 0.0, 0.0, 0.0, 0.0
    if mode == _PANCAKE:
        return make_pancake(a, b, inward, height, front, strength, seed, construction, dust)
    if mode == _HEAP:
        return make_heap(x, y, inward, eave, strength, seed, construction, dust)
    if mode == _ROOMS:
        return leave_rooms(a, b, inward, eave, strength, seed, construction)
    if mode == _SLAB:
        return leave_slab(a, b, inward, seed, construction)
    if mode == _FRAME:
        return leave_frame(a, b, height, seed)
    if mode == _ASH:
        return leave_ash(x, y, a, b, inward, eave, strength, seed)
    if mode == _SHELL:
        return leave_shell(x, y, a, b, inward, eave, strength, seed)
    if mode == _BURIED:
        return bury_roof(a, b, height, depth, seed)
    return KEEP, height, 0.0, 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _paint(  # type: ignore[no-untyped-def]
    gsd_m,
    roof,
    building,
    inward,
    height,
    albedo,
    material,
    slope_x,
    slope_y,
    parts,
    houses,
    modes,
    seeds,
    constructions,
    dust,
    depth_m,
):
    for row in range(roof.shape[0]):
        y = (row + 0.5) * gsd_m
        for col in range(roof.shape[1]):
            index = building[row, col] - 1
            if index < 0 or roof[row, col] == 0 or modes[index] == 0:
                continue
            x, mode = (col + 0.5) * gsd_m, modes[index]
            part, house = parts[roof[row, col] - 1], houses[index]
            u, v = x - part[0], y - part[1]
            a, b = u * part[2] + v * part[3], v * part[2] - u * part[3]
            front = ((x - house[0]) * house[3] + (y - house[1]) * house[4]) / house[2]
            depth = bilinear(depth_m, x, y) if mode == _BURIED else np.float32(0)
            what, top, red, green, blue, infrared = _pixel(
                mode, x, y, a, b, inward[row, col], height[row, col], part, house, seeds[index],
                constructions[index], dust, depth, front,
            )  # fmt: skip
            height[row, col] = top
            if what == KEEP:
                continue
            if what == CHAR:
                for band in range(4):
                    albedo[row, col, band] += red * (38.0 - albedo[row, col, band])
                continue
            albedo[row, col, 0], albedo[row, col, 1] = red, green
            albedo[row, col, 2], albedo[row, col, 3] = blue, infrared
            if what == TARP:
                material[row, col] = _TARP
            elif what == GONE:
                roof[row, col], slope_x[row, col], slope_y[row, col] = 0, 0, 0
                material[row, col] = _RUBBLE
                if mode == _SLAB:
                    material[row, col] = _CONCRETE
                elif mode in (_SHELL, _SCORCHED):
                    material[row, col] = _BURNT
                elif mode == _BURIED:
                    material[row, col] = _MUD


@njit(cache=True, nogil=True, error_model="numpy")
def make_heap(x, y, inward, eave, strength, seed, construction, dust):  # type: ignore[no-untyped-def]
    """A heap, higher for tall buildings and in its middle."""
    red, green, blue, infrared = rubble_colour(x, y, construction, dust, seed)
    top = min(0.3 + 0.22 * eave, 4.5) * (0.4 + 0.6 * min(inward / 3.0, 1.0))
    rough = 1 + 0.5 * value_noise(x, y, 2.2, seed + 2) + 0.3 * (piece(x, y, 1.3, seed) - 0.5)
    return GONE, max(top * rough * (0.7 + 0.5 * strength), 0.1), red, green, blue, infrared


@njit(cache=True, nogil=True, error_model="numpy")
def collapse_side(a, b, inward, height, eave, front, strength, seed, construction, dust):  # type: ignore[no-untyped-def]
    """The side towards `front` is a heap that slopes away; the rest of the roof stays."""
    line = front + 0.22 * value_noise(a, b, 3.0, seed) - (0.4 - 0.55 * strength)
    if line < 0:
        if line > -0.05:
            return COLOUR, height, 92.0, 86.0, 80.0, 92.0
        return KEEP, height, 0.0, 0.0, 0.0, 0.0
    red, green, blue, infrared = rubble_colour(a, b, construction, dust, seed)
    top = max(0.75 * eave * (1 - 1.8 * line), 0.4) * (0.8 + 0.4 * piece(a, b, 1.3, seed))
    return GONE, top, red, green, blue, infrared


@njit(cache=True, nogil=True, error_model="numpy")
def make_pancake(a, b, inward, height, front, strength, seed, construction, dust):  # type: ignore[no-untyped-def]
    """A roof that lies low: tilted, cracked in slabs, its rim broken."""
    rim = 0.3 + 1.1 * strength * (0.5 + 0.5 * value_noise(a, b, 2.0, seed))
    lean = height + (0.9 + 0.8 * strength) * front
    if inward < rim:
        red, green, blue, infrared = rubble_colour(a, b, construction, 0.35 + 0.4 * dust, seed)
        return GONE, max(0.6 * lean, 0.3), red, green, blue, infrared
    crack = abs(value_noise(a, b, 5.5, seed + 4)) < 0.05 + 0.05 * strength
    slab = hash_unit(math.floor(a / 4.5), math.floor(b / 4.0), seed)
    if crack and hash_unit(16, 0, seed) < 0.8:
        return COLOUR, max(lean - 0.6, 0.2), 84.0, 80.0, 76.0, 86.0
    return KEEP, max(lean + 0.5 * (slab - 0.5), 0.3), 0.0, 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def leave_rooms(a, b, inward, eave, strength, seed, construction):  # type: ignore[no-untyped-def]
    """Walls without a roof, rooms with floors and wreckage between."""
    if is_wall(a, b, inward, 0.45, seed):
        tone = 0.85 + 0.3 * hash_unit(math.floor(a / 3), math.floor(b / 3), seed)
        wall = 150 + 50 * hash_unit(17, 0, seed)
        height = eave * (0.45 + 0.5 * strength)
        return GONE, height, wall * tone, 0.95 * wall * tone, 0.88 * wall * tone, wall * tone
    room = hash_unit(math.floor(a / 3.6), math.floor(b / 3.2), seed)
    red, green, blue, infrared = rubble_colour(a, b, construction, 0.1, seed)
    if room < 0.4 and value_noise(a, b, 2.0, seed) < 0.25:  # a floor without wreckage
        tone = 0.8 + 0.3 * room
        red, green, blue, infrared = 158 * tone, 142 * tone, 124 * tone, 156 * tone
    return GONE, 0.25 + 0.3 * room, red, green, blue, infrared


@njit(cache=True, nogil=True, error_model="numpy")
def leave_slab(a, b, inward, seed, construction):  # type: ignore[no-untyped-def]
    """A swept foundation with dirt, floor tiles and a few pieces on it."""
    grey = (112 + 74 * hash_unit(18, 0, seed)) * (1 + 0.12 * value_noise(a, b, 3.0, seed))
    red, green, blue = grey, 0.96 * grey, 0.89 * grey
    if hash_unit(math.floor(a / 3.4), math.floor(b / 3.0), seed) > 0.8:
        red, green, blue = 1.04 * red, 0.9 * green, 0.8 * blue
    if piece(a, b, 1.0, seed) > 0.93 - 0.15 * hash_unit(19, 0, seed):
        tone = 0.6 + 0.7 * piece(a, b, 0.7, seed + 1)
        red, green, blue = 132 * tone, 116 * tone, 100 * tone
    if value_noise(a, b, 4.0, seed + 3) > 0.45:
        red, green, blue = 0.8 * red, 0.74 * green, 0.66 * blue
    return GONE, 0.2, red, green, blue, red


@njit(cache=True, nogil=True, error_model="numpy")
def leave_frame(a, b, height, seed):  # type: ignore[no-untyped-def]
    """Frames and purlins of a hall without sheets, some twisted sheets left on the ground."""
    if (a + 90) % 5.5 < 0.55 or (b + 90) % 2.6 < 0.35:
        tone = 0.85 + 0.3 * hash_unit(math.floor(a / 5.5), 20, seed)
        return GONE, height * 0.95, 134 * tone, 126 * tone, 118 * tone, 134 * tone
    value = piece(a, b, 1.9, seed)
    if value > 0.72:
        tone = 0.8 + 0.8 * (value - 0.72) / 0.28
        return GONE, 0.6, 140 * tone, 134 * tone, 128 * tone, 138 * tone
    tone = 0.75 + 0.4 * piece(a, b, 1.0, seed + 1) + 0.15 * value_noise(a, b, 4.0, seed)
    return GONE, 0.3, 92 * tone, 86 * tone, 80 * tone, 92 * tone


@njit(cache=True, nogil=True, error_model="numpy")
def leave_ash(x, y, a, b, inward, eave, strength, seed):  # type: ignore[no-untyped-def]
    """White ash, plaster and bricks after a hot fire: pale and finely mottled, low, within stumps of walls."""
    fine, value = piece(x, y, 0.7, seed), piece(x, y, 1.4, seed + 1)
    tone = 0.62 + 0.34 * fine + 0.2 * value_noise(x, y, 3.0, seed) + 0.14 * strength
    if value < 0.13 or value_noise(x, y, 4.5, seed + 2) < -0.42:  # char
        tone *= 0.45
    if inward < 0.4 and is_wall(a, b, inward, 0.4, seed):
        return GONE, 0.35 * min(eave, 3.0), 200.0, 184.0, 168.0, 188.0
    warm = 0.9 + 0.2 * hash_unit(21, 0, seed)
    return GONE, 0.15 + 0.35 * fine, 196 * tone, 180 * tone / math.sqrt(warm), 164 * tone / warm, 184 * tone


@njit(cache=True, nogil=True, error_model="numpy")
def leave_shell(x, y, a, b, inward, eave, strength, seed):  # type: ignore[no-untyped-def]
    """A shell: walls stand around char, beams and grey ash."""
    if is_wall(a, b, inward, 0.45, seed):
        wall = (84 + 84 * strength) * (0.85 + 0.3 * hash_unit(math.floor(a / 2), math.floor(b / 2), seed))
        return GONE, eave * (0.55 + 0.4 * strength), wall, 0.95 * wall, 0.9 * wall, wall
    fine = piece(x, y, 0.8, seed)
    tone = 0.7 + 0.5 * fine + 0.35 * value_noise(x, y, 2.6, seed)
    if fine > 0.86:
        return GONE, 0.5, 146 * tone, 138 * tone, 130 * tone, 142 * tone
    return GONE, 0.2 + 0.5 * fine, 58 * tone, 54 * tone, 52 * tone, 58 * tone


@njit(cache=True, nogil=True, error_model="numpy")
def bury_roof(a, b, height, depth, seed):  # type: ignore[no-untyped-def]
    """Mud over the roof, of which the higher parts may show."""
    if height > depth + 0.8 + 0.8 * value_noise(a, b, 4.0, seed):
        return KEEP, height, 0.0, 0.0, 0.0, 0.0
    tone = 1 + 0.1 * board_noise(a, b, 2.5, seed)
    return GONE, max(depth, 0.3), 124 * tone, 110 * tone, 94 * tone, 116 * tone
