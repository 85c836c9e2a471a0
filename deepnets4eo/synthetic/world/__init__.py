"""The miniature world: made-up places of many building styles and hazards, before and after, with their truth.

A style (`styles/*.yaml`) is laid out as a plan and planted; people and a hazard (`hazards/*.yaml`) change the plan; both
dates are painted and seen by a sensor. `draw_pair` and `pair_stream` take all these steps; each is a function of its own, too.
Needs the extra `world`.

>>> import numpy as np
>>> from deepnets4eo.synthetic.world import Hazard, WorldStyle, draw_outcome, lay_out
>>> plan = lay_out(WorldStyle.load("village"), (200.0, 200.0), np.random.default_rng(1))
>>> struck, outcome = draw_outcome(plan, Hazard.load("tornado"), np.random.default_rng(2))
>>> len(outcome.grades) == len(plan.buildings)
True
"""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Hazard": "deepnets4eo.synthetic.world.hazard",
    "Outcome": "deepnets4eo.synthetic.world.outcome",
    "PairSample": "deepnets4eo.synthetic.world.pair",
    "Plan": "deepnets4eo.synthetic.world.plan",
    "RadarLook": "deepnets4eo.synthetic.world.radar",
    "RadarView": "deepnets4eo.synthetic.world.radar",
    "WorldSeason": "deepnets4eo.synthetic.world.style",
    "WorldStyle": "deepnets4eo.synthetic.world.style",
    "WorldSurface": "deepnets4eo.synthetic.world.surface",
    "change": "deepnets4eo.synthetic.world.harmless",
    "draw_outcome": "deepnets4eo.synthetic.world.outcome",
    "draw_pair": "deepnets4eo.synthetic.world.pair",
    "draw_radar_flood": "deepnets4eo.synthetic.world.radar",
    "hazard_names": "deepnets4eo.synthetic.world.hazard",
    "lay_out": "deepnets4eo.synthetic.world.layouts",
    "paint": "deepnets4eo.synthetic.world.paint_world",
    "pair_stream": "deepnets4eo.synthetic.world.pair",
    "plant": "deepnets4eo.synthetic.world.vegetation",
    "render_pair": "deepnets4eo.synthetic.world.pair",
    "see_by_radar": "deepnets4eo.synthetic.world.radar",
    "style_names": "deepnets4eo.synthetic.world.style",
    "surface_of": "deepnets4eo.synthetic.world.surface",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
