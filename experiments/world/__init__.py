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

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .harmless import change as change
    from .hazard import Hazard as Hazard, hazard_names as hazard_names
    from .layouts import lay_out as lay_out
    from .outcome import Outcome as Outcome, draw_outcome as draw_outcome
    from .paint_world import paint as paint
    from .pair import (
        PairSample as PairSample,
        draw_pair as draw_pair,
        pair_stream as pair_stream,
        render_pair as render_pair,
    )
    from .plan import Plan as Plan
    from .radar import (
        RadarLook as RadarLook,
        RadarView as RadarView,
        draw_radar_flood as draw_radar_flood,
        see_by_radar as see_by_radar,
    )
    from .style import WorldSeason as WorldSeason, WorldStyle as WorldStyle, style_names as style_names
    from .surface import WorldSurface as WorldSurface, surface_of as surface_of
    from .vegetation import plant as plant
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".harmless": ["change"],
            ".hazard": ["Hazard", "hazard_names"],
            ".layouts": ["lay_out"],
            ".outcome": ["Outcome", "draw_outcome"],
            ".paint_world": ["paint"],
            ".pair": ["PairSample", "draw_pair", "pair_stream", "render_pair"],
            ".plan": ["Plan"],
            ".radar": ["RadarLook", "RadarView", "draw_radar_flood", "see_by_radar"],
            ".style": ["WorldSeason", "WorldStyle", "style_names"],
            ".surface": ["WorldSurface", "surface_of"],
            ".vegetation": ["plant"],
        },
    )
