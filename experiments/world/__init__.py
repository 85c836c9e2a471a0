"""The miniature world: made-up places of many building styles and hazards, before and after, with their truth.

A style (`styles/*.yaml`) is laid out as a plan and planted; people and a hazard (`hazards/*.yaml`) change the plan; both
dates are painted and seen by a sensor. `draw_pair` and `pair_stream` take all these steps; each is a function of its own, too.
Needs the extra `radar` (numba), and the folder `experiments` on the path of Python.

>>> import numpy as np
>>> from world import Hazard, WorldStyle, draw_outcome, lay_out
>>> plan = lay_out(WorldStyle.load("village"), (200.0, 200.0), np.random.default_rng(1))
>>> struck, outcome = draw_outcome(plan, Hazard.load("tornado"), np.random.default_rng(2))
>>> len(outcome.grades) == len(plan.buildings)
True
"""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Hazard": "world.hazard",
    "Outcome": "world.outcome",
    "PairSample": "world.pair",
    "Plan": "world.plan",
    "RadarLook": "world.radar",
    "RadarView": "world.radar",
    "WorldSeason": "world.style",
    "WorldStyle": "world.style",
    "WorldSurface": "world.surface",
    "change": "world.harmless",
    "draw_outcome": "world.outcome",
    "draw_pair": "world.pair",
    "draw_radar_flood": "world.radar",
    "hazard_names": "world.hazard",
    "lay_out": "world.layouts",
    "paint": "world.paint_world",
    "pair_stream": "world.pair",
    "plant": "world.vegetation",
    "render_pair": "world.pair",
    "see_by_radar": "world.radar",
    "style_names": "world.style",
    "surface_of": "world.surface",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
