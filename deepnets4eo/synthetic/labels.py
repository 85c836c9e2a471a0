"""Semantic classes of the surface as seen from above, in the miniature city's legend."""

from __future__ import annotations

import numpy as np

from deepnets4eo.cards.legend import Legend
from deepnets4eo.synthetic.materials import KIND
from deepnets4eo.synthetic.surface import OPAQUE, Surface

STANDING_M = 1.6  # a lower building is rubble
BAND_ROWS = 512


def class_map(surface: Surface, legend: Legend) -> np.ndarray:
    """Return (H, W) uint8 class values: crowns first, then standing buildings, then materials. A destroyed building is
    clutter; parts of a damaged building that are still high enough are building."""
    lookup = np.array([legend.value(kind) for kind in KIND], np.uint8)
    building, clutter, tree = (legend.value(name) for name in ("building", "clutter", "tree"))
    out = np.empty(surface.shape, np.uint8)
    for top in range(0, surface.shape[0], BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        values = lookup[surface.material[rows]]
        own = surface.building[rows] > 0
        standing = surface.height[rows] >= STANDING_M
        values[own & standing] = building
        values[own & ~standing] = np.where(values[own & ~standing] == building, clutter, values[own & ~standing])
        values[surface.cover[rows] > OPAQUE] = tree
        out[rows] = values
    return out
