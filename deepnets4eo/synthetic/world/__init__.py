"""The miniature world: made-up places of many building styles and hazards, before and after, with their truth.

A style (`styles/*.yaml`) is laid out as a plan, a hazard changes the plan, both dates are painted and seen by a sensor.
"""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "PairSample": "deepnets4eo.synthetic.world.pair",
    "Plan": "deepnets4eo.synthetic.world.plan",
    "WorldStyle": "deepnets4eo.synthetic.world.style",
    "draw_pair": "deepnets4eo.synthetic.world.stream",
    "pair_stream": "deepnets4eo.synthetic.world.stream",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
