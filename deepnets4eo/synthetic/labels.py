"""Semantic classes of the surface as seen from above, in the miniature city's legend."""

from __future__ import annotations

import numpy as np

from deepnets4eo.cards.legend import Legend
from deepnets4eo.synthetic.materials import KIND
from deepnets4eo.synthetic.surface import OPAQUE, Surface

STANDING_M = 1.6  # a building lower than this everywhere around is rubble, not a building
BAND_ROWS = 512


def class_map(surface: Surface, legend: Legend) -> np.ndarray:
    """(H, W) uint8 class values: crowns first, then standing buildings, then materials.

    A destroyed building is clutter; what still stands of a damaged one stays building.
    """
    lookup = np.array([legend.value(kind) for kind in KIND], np.uint8)
    building, clutter, tree = (legend.value(name) for name in ("building", "clutter", "tree"))
    out = np.empty(surface.shape, np.uint8)
    for top in range(0, surface.shape[0], BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        part = lookup[surface.material[rows]]
        own = surface.building[rows] > 0
        standing = surface.height[rows] >= STANDING_M
        part[own & standing] = building
        part[own & ~standing] = np.where(part[own & ~standing] == building, clutter, part[own & ~standing])
        part[surface.cover[rows] > OPAQUE] = tree
        out[rows] = part
    return out
