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

__getattr__ = lazy_names(
    __name__,
    {
        ".hazard": "Hazard hazard_names",
        ".outcome": "Outcome draw_outcome",
        ".pair": "PairSample draw_pair pair_stream render_pair",
        ".plan": "Plan",
        ".radar": "RadarLook RadarView draw_radar_flood see_by_radar",
        ".style": "WorldSeason WorldStyle style_names",
        ".surface": "WorldSurface surface_of",
        ".harmless": "change",
        ".layouts": "lay_out",
        ".paint_world": "paint",
        ".vegetation": "plant",
    },
)
