"""Paints a plan of one date: ground, areas, boxes, roofs, what the hazard did, trees, snow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE, KIND
from deepnets4eo.synthetic.world.noise import hash_unit, noise_fields
from deepnets4eo.synthetic.world.paint_ground import paint_ground
from deepnets4eo.synthetic.world.paint_roofs import paint_roofs
from deepnets4eo.synthetic.world.paint_trees import paint_trees
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.season import WorldSeason
from deepnets4eo.synthetic.world.surface import WorldSurface, columns_of, rows_of

WHITE = (226, 229, 235, 214)

if TYPE_CHECKING:
    from deepnets4eo.synthetic.world.outcome import Outcome


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
    plan
        The plan of one date, see `Plan.at`.
    gsd_m
        Side of a pixel, metres.
    shape
        (rows, columns) of the surface; its upper left corner is the plan's origin.
    season
        Grass, leaves and snow.
    outcome
        What a hazard did; None before it.
    seed
        The seed of the noise; the same at both dates of a world.

    Returns
    -------
    WorldSurface of that shape.
    """
    surface = WorldSurface.bare(gsd_m, seed, shape)
    paint_ground(surface, plan, season)
    if outcome is not None:
        from deepnets4eo.synthetic.world.ground_effects import paint_ground_effects

        paint_ground_effects(surface, plan, outcome)
    on_roof = plan.boxes["on_roof"] > 0
    paint_boxes(surface, plan.boxes[~on_roof])
    paint_roofs(surface, plan)
    if outcome is not None:
        from deepnets4eo.synthetic.world.damage_buildings import paint_building_damage

        paint_building_damage(surface, plan, outcome)
    paint_boxes(surface, plan.boxes[on_roof])
    if outcome is not None:
        from deepnets4eo.synthetic.world.water_paint import paint_water

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
