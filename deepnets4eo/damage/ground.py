"""Areas and neighbourhoods of buildings on the ground, from their outlines.

Takes outlines in any CRS, or in plain pixels without one: their area is then not known, and a pixel counts as a metre.
"""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.products.counting import blocks_of
from deepnets4eo.damage.site_estimates import BuildingGround
from deepnets4eo.footprints.outlines import centres_m, outline_areas_m2


def building_ground(outlines: NDArray[np.object_], crs: Any) -> BuildingGround:
    """Area and block of each of N outlines. crs : of the outlines, None for plain pixels."""
    frame = gpd.GeoDataFrame(geometry=outlines, crs=None if crs is None else crs.to_wkt())
    if len(frame) == 0:
        return BuildingGround(np.zeros(0), np.zeros(0, np.intp))
    return BuildingGround(outline_areas_m2(frame), blocks_of(np.nan_to_num(centres_m(frame)))[0])
