"""Paints a plan of one date: ground, areas, boxes, roofs, what the hazard did, trees, snow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE, KIND, poles as material_poles
from world.noise import hash_unit, noise_fields, sine_of_turns, terrain
from world.paint_roofs import paint_roofs
from world.paint_trees import paint_trees
from world.plan import CROP_ROWS, ELLIPSE, NO_ROWS, PAVING_JOINTS, Plan
from world.style import WorldSeason
from world.surface import Floats, WorldSurface, columns_of, rows_of

FRESH = {"grass": ((62, 88, 48, 172), (92, 116, 66, 196)), "crop": ((58, 92, 44, 176), (88, 120, 60, 200))}

WHITE = (226, 229, 235, 214)

if TYPE_CHECKING:
    from world.outcome import Outcome


def paint(
    plan: Plan,
    gsd_m: float,
    shape: tuple[int, int],
    season: WorldSeason,
    outcome: Outcome | None = None,
    *,
    seed: int = 0,
) -> WorldSurface:
    """Paint a plan of one date.

    Parameters
    ----------
    plan : the plan of one date, see `Plan.at`
    gsd_m : side of a pixel, metres
    shape : (rows, columns) of the surface; its upper left corner is the plan's origin
    season : grass, leaves and snow
    outcome : what a hazard did; None before it
    seed : the seed of the noise; the same at both dates of a world

    Returns
    -------
    WorldSurface of that shape.
    """
    surface = WorldSurface.bare(gsd_m, seed, shape)
    paint_ground(surface, plan, season)
    if outcome is not None:
        from world.ground_effects import paint_ground_effects

        paint_ground_effects(surface, plan, outcome)
    on_roof = plan.boxes["on_roof"] > 0
    paint_boxes(surface, plan.boxes[~on_roof])
    paint_roofs(surface, plan)
    if outcome is not None:
        from world.damage_buildings import paint_building_damage

        paint_building_damage(surface, plan, outcome)
    paint_boxes(surface, plan.boxes[on_roof])
    if outcome is not None:
        from world.ground_effects import paint_water

        paint_water(surface, plan, outcome)
    if season.snow > 0:
        paint_snow(surface, season.snow)
    paint_trees(surface, plan, season)
    return surface


def paint_boxes(surface: WorldSurface, boxes: NDArray[Any]) -> None:
    """Paint boxes in their order onto heights, colours, materials and slopes of a surface; those on the ground do not
    lie over roofs."""
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_boxes(
        surface.height, surface.albedo, surface.material, surface.roof, surface.slope_x, surface.slope_y, noise, boxes,
        surface.gsd_m, CODE["car"],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_boxes(height, albedo, material, roofs_at, slope_x, slope_y, noise, boxes, gsd_m, car):  # type: ignore[no-untyped-def]
    rows, cols = height.shape
    for index in range(len(boxes)):
        box = boxes[index]
        cos, sin = np.float32(np.cos(box.angle)), np.float32(np.sin(box.angle))
        # A thing thinner than a pixel still shows: at least 0.9 pixels wide, as the centres are sampled.
        half_a = max(np.float32(0.5) * box.length, np.float32(0.45 * gsd_m))
        half_b = max(np.float32(0.5) * box.width, np.float32(0.45 * gsd_m))
        share = min(box.length / (np.float32(0.9) * gsd_m), np.float32(1))
        share *= min(box.width / (np.float32(0.9) * gsd_m), np.float32(1))
        glazed = np.float32(0.4) + np.float32(0.2) * hash_unit(int(abs(box.x) * 32), int(abs(box.y) * 32), 9)
        top, bottom = rows_of(cos, sin, half_a, half_b, box.y, gsd_m, rows)
        for row in range(top, bottom):
            y = np.float32((row + 0.5) * gsd_m) - box.y
            left, right = columns_of(cos, sin, half_a, half_b, box.x, y, gsd_m, cols)
            for col in range(left, right):
                x = np.float32((col + 0.5) * gsd_m) - box.x
                a, b = cos * x + sin * y, cos * y - sin * x
                if abs(a) >= half_a or abs(b) >= half_b or (not box.on_roof and roofs_at[row, col] > 0):
                    continue
                tone = np.float32(1) + np.float32(0.04) * noise[2, row, col]
                if box.material == car:
                    along = a / half_a
                    if np.float32(0.18) < along < np.float32(0.42) or np.float32(-0.85) < along < np.float32(-0.62):
                        tone *= glazed
                for band in range(4):
                    value = min(max(box.colour[band] * tone, np.float32(4)), np.float32(252))
                    albedo[row, col, band] += share * (value - albedo[row, col, band])
                if box.on_roof:
                    height[row, col] += box.height_m
                else:
                    height[row, col] = max(box.height_m, np.float32(0))
                material[row, col] = box.material
                slope_x[row, col] = np.float32(0)
                slope_y[row, col] = np.float32(0)


def paint_snow(surface: WorldSurface, snow: float) -> None:
    """Whiten the albedo of what lies under the sky by `snow` (0–1); materials stay what they are. Roofs differ in
    warmth from date to date. At half of the dates the snow is older than the damage, so that rubble lies bare."""
    rng = np.random.default_rng([surface.seed, 57, round(snow * 10_000)])
    buildings = int(surface.building.max()) + 1
    warmth = (rng.uniform(0, 1.2) * rng.uniform(0, 1, buildings)).astype(np.float32)
    warmth[0] = 0  # the ground
    white = np.array(WHITE, np.float32) * np.float32(rng.uniform(0.75, 1.0))
    holds = _hold_snow(rubble=rng.random() < 0.5)
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    _paint_snow(
        surface.albedo, surface.material, surface.building, surface.slope_x, surface.slope_y, noise, holds, warmth, white,
        np.float32(snow),
    )  # fmt: skip


def _hold_snow(*, rubble: bool) -> NDArray[np.float32]:
    """Share of the snow that stays on each material."""
    holds = np.ones(len(KIND), np.float32)
    for code, kind in enumerate(KIND):
        if kind == "water":
            holds[code] = 0.0
        elif kind == "car":
            holds[code] = 0.8
    for name, share in (("asphalt", 0.45), ("old_asphalt", 0.6), ("paint", 0.3), ("pool", 0.0), ("concrete", 0.7)):
        holds[CODE[name]] = share
    if not rubble:
        holds[[CODE[name] for name in ("rubble", "wood", "burnt", "ash")]] = 0.0
    return holds


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_snow(  # type: ignore[no-untyped-def]
    albedo, material, building, slope_x, slope_y, noise, holds, warmth, white, snow
):
    height, width = material.shape
    for row in range(height):
        for col in range(width):
            if holds[material[row, col]] == 0:
                continue
            steep = abs(slope_x[row, col]) + abs(slope_y[row, col])
            depth = np.float32(2.4) * snow * holds[material[row, col]] - np.float32(0.5) - np.float32(0.5) * steep
            depth += (
                np.float32(0.22) * (noise[0, row, col] + noise[1, row, col]) + np.float32(0.12) * noise[2, row, col]
            )
            depth -= warmth[building[row, col]]
            share = min(max(depth * np.float32(1.4), np.float32(0)), np.float32(0.96))
            for band in range(4):
                albedo[row, col, band] += share * (white[band] - albedo[row, col, band])


def paint_ground(surface: WorldSurface, plan: Plan, season: WorldSeason) -> None:
    """Paint terrain, base material, patches and areas of one date onto a surface; `season` has the state of grass and
    crops."""
    surface.ground[:] = terrain(surface.seed, surface.gsd_m, surface.shape, plan.relief_m)
    noise = noise_fields(surface.seed, surface.gsd_m, surface.shape)
    factor = np.ones(surface.shape, np.float32)
    low, high, weights = season_poles(plan, season)
    sample = noise[0, ::16, ::16] + 0.6 * noise[1, ::16, ::16] + 0.3 * noise[2, ::16, ::16]
    limit = np.quantile(sample, 1 - np.clip(plan.patch_share, 0, 1)) if plan.patch_share > 0 else np.inf
    _paint_base(surface.material, noise, plan.ground, plan.patches, np.float32(limit))
    _paint_areas(surface.material, factor, noise, plan.areas, np.float32(surface.gsd_m))
    _colour(surface.albedo, surface.material, factor, noise, low, high - low, weights)


def season_poles(plan: Plan, season: WorldSeason) -> tuple[Floats, Floats, Floats]:
    """Return the display colours of both poles of each material, two (M, 4), and the weights (M, 3) of its texture;
    grass and crops lie between straw and fresh green, and the poles of the plan replace those of `materials`."""
    low, high, weights = (table.copy() for table in material_poles())
    for name, two in plan.poles.items():
        low[CODE[name]], high[CODE[name]] = np.asarray(two, np.float32)
    straw = low[CODE["dry_grass"]].copy(), high[CODE["dry_grass"]].copy()
    for name, fresh in FRESH.items():
        green = season.greenness
        pair = plan.poles.get(name, fresh)
        for table, side in ((low, 0), (high, 1)):
            table[CODE[name]] = straw[side] + (np.asarray(pair[side], np.float32) - straw[side]) * np.float32(green)
    for table, side in ((low, 0), (high, 1)):
        fresh_side = np.asarray(FRESH["grass"][side], np.float32)
        table[CODE["dry_grass"]] += (fresh_side - straw[side]) * np.float32(0.4 * season.greenness)
    return low, high, weights


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_base(material, noise, base, patches, limit):  # type: ignore[no-untyped-def]
    """Base material, and the patches' where the noise is above a limit."""
    height, width = material.shape
    for row in range(height):
        for col in range(width):
            value = noise[0, row, col] + np.float32(0.6) * noise[1, row, col] + np.float32(0.3) * noise[2, row, col]
            material[row, col] = patches if value > limit else base


@njit(cache=True, nogil=True, error_model="numpy")
def _pattern_tone(area, a, b, middle, period, fade, gsd_m):  # type: ignore[no-untyped-def]
    """Brightness of an area at a position in its frame: rows of crops, joints of paving."""
    one = np.float32(1)
    if area.pattern == CROP_ROWS:
        wave = sine_of_turns((b + np.float32(0.12) * middle) / period)
        return area.tone * (one + np.float32(0.3) * area.strength * fade * wave)
    if area.pattern == PAVING_JOINTS and (abs(a) % period < gsd_m or abs(b) % period < gsd_m):
        return area.tone * (one - np.float32(0.35) * area.strength * min(np.float32(0.14) / gsd_m, one))
    return area.tone


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_area(material, factor, noise, area, gsd_m):  # type: ignore[no-untyped-def]
    rows, cols = material.shape
    cos, sin = np.float32(np.cos(area.angle)), np.float32(np.sin(area.angle))
    half_a, half_b = np.float32(0.5) * area.length, np.float32(0.5) * area.width
    smaller = max(min(half_a, half_b), np.float32(0.05))
    swing = area.rough * min(np.float32(0.3) * smaller, np.float32(6.0))
    reach_a, reach_b = half_a + np.float32(1.5) * swing, half_b + np.float32(1.5) * swing
    round_shape, patterned, code, tone = area.shape == ELLIPSE, area.pattern != NO_ROWS, area.material, area.tone
    period = max(area.period_m, np.float32(0.2))
    fade = min(max(period / gsd_m / 2 - np.float32(0.6), np.float32(0)), np.float32(1))
    top, bottom = rows_of(cos, sin, reach_a, reach_b, area.y, gsd_m, rows)
    for row in range(top, bottom):
        y = (np.float32(row) + np.float32(0.5)) * gsd_m - area.y
        left, right = columns_of(cos, sin, reach_a, reach_b, area.x, y, gsd_m, cols)
        for col in range(left, right):
            x = (np.float32(col) + np.float32(0.5)) * gsd_m - area.x
            a, b = cos * x + sin * y, cos * y - sin * x
            if round_shape:
                u, v = a / half_a, b / half_b
                inward = (np.float32(1) - np.sqrt(u * u + v * v)) * smaller
            else:
                inward = min(half_a - abs(a), half_b - abs(b))
            if swing > 0:
                inward += swing * np.float32(0.45) * (noise[1, row, col] + np.float32(0.5) * noise[2, row, col])
            if inward > 0:
                material[row, col], factor[row, col] = code, tone
                if patterned:
                    factor[row, col] = _pattern_tone(area, a, b, noise[1, row, col], period, fade, gsd_m)


@njit(cache=True, nogil=True, error_model="numpy")
def _paint_areas(material, factor, noise, areas, gsd_m):  # type: ignore[no-untyped-def]
    """Areas in their order; `factor` (H, W) is the brightness by tone and rows."""
    for index in range(len(areas)):
        _paint_area(material, factor, noise, areas[index], gsd_m)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _colour(albedo, material, factor, noise, low, span, weights):  # type: ignore[no-untyped-def]
    """Display colours between the poles of each material, `span` apart."""
    height, width = material.shape
    least, most = np.float32(2), np.float32(255)
    for row in range(height):
        for col in range(width):
            code, tone = material[row, col], factor[row, col]
            mix = np.float32(0.5) + weights[code, 0] * noise[0, row, col] + weights[code, 1] * noise[1, row, col]
            mix = min(max(mix + weights[code, 2] * noise[2, row, col], np.float32(-0.35)), np.float32(1.35))
            red, green = low[code, 0] + span[code, 0] * mix, low[code, 1] + span[code, 1] * mix
            blue, infrared = low[code, 2] + span[code, 2] * mix, low[code, 3] + span[code, 3] * mix
            albedo[row, col, 0] = min(max(red * tone, least), most)
            albedo[row, col, 1] = min(max(green * tone, least), most)
            albedo[row, col, 2] = min(max(blue * tone, least), most)
            albedo[row, col, 3] = min(max(infrared * tone, least), most)
