"""Paints a plan of one date: ground, areas, boxes, roofs, what the hazard did, trees, snow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepnets4eo.synthetic.world.paint_boxes import paint_boxes
from deepnets4eo.synthetic.world.paint_ground import paint_ground
from deepnets4eo.synthetic.world.paint_roofs import paint_roofs
from deepnets4eo.synthetic.world.paint_snow import paint_snow
from deepnets4eo.synthetic.world.paint_trees import paint_trees
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.season import WorldSeason
from deepnets4eo.synthetic.world.surface import WorldSurface

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
        Of one date, see `Plan.at`.
    gsd_m
        Side of a pixel, metres.
    shape
        (rows, columns) of the surface; its upper left corner is the plan's origin.
    season
        Grass, leaves and snow.
    outcome
        What a hazard did; None before it.
    seed
        Of the noise; the same at both dates of a world.

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
