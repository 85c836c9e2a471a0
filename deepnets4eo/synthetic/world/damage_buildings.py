"""Paints what an event did to buildings onto a surface whose roofs are already there."""

from __future__ import annotations

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world import damage_collapse as collapse
from deepnets4eo.synthetic.world import damage_cover as cover
from deepnets4eo.synthetic.world.damage_cover import CHAR, GONE, KEEP, TARP, bilinear
from deepnets4eo.synthetic.world.damage_modes import MODE
from deepnets4eo.synthetic.world.damage_state import Outcome
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.surface import WorldSurface

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
        return collapse.collapse_side(a, b, inward, height, eave, front, strength, seed, construction, dust)
    if mode == _PEELED:
        return cover.peel_sheets(a, b, inward, height, 0.25 + 0.4 * strength, seed)
    if mode == _LEANING:
        return KEEP, max(height + (0.6 + 1.2 * strength) * front, 0.3), 0.0, 0.0, 0.0, 0.0
    if mode == _PANCAKE:
        return collapse.make_pancake(a, b, inward, height, front, strength, seed, construction, dust)
    if mode == _HEAP:
        return collapse.make_heap(x, y, inward, eave, strength, seed, construction, dust)
    if mode == _ROOMS:
        return collapse.leave_rooms(a, b, inward, eave, strength, seed, construction)
    if mode == _SLAB:
        return collapse.leave_slab(a, b, inward, seed, construction)
    if mode == _FRAME:
        return collapse.leave_frame(a, b, height, seed)
    if mode == _ASH:
        return collapse.leave_ash(x, y, a, b, inward, eave, strength, seed)
    if mode == _SHELL:
        return collapse.leave_shell(x, y, a, b, inward, eave, strength, seed)
    if mode == _BURIED:
        return collapse.bury_roof(a, b, height, depth, seed)
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
