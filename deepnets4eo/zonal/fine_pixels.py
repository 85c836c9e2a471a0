"""Test of whether the pixels of an image are fine enough for buildings: the one list of limits, for jobs and for `check`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import Floats


@dataclass(frozen=True)
class FinePixels:
    """The limits, by which buildings are assessed."""

    min_building_m2: float = 8.0  # smaller outlines are sheds and slivers, which are not assessed at any pixel size
    min_building_px: int = 20  # smaller outlines show too little to be assessed
    max_too_small: float = 0.9  # share of the buildings that may have too few pixels
    enough_px: int = 70  # pixels of a roof whose structure shows: 156 m² at 1.5 m

    def problem(self, areas_m2: Floats, gsd_m: float) -> str:
        """Return why pixels of `gsd_m` are too coarse for nearly all buildings of these areas (N,), and which are not; "" if fine enough.

        >>> FinePixels().problem(np.array([150.0, 156, 160, 3]), 9.0)[:78]
        'too coarse for buildings of 156 m² (the median): they cover 2 pixels, expected'
        >>> FinePixels().problem(np.array([150.0, 156, 160, 3]), 1.0)
        ''
        """
        buildings = areas_m2[areas_m2 >= self.min_building_m2]
        if not len(buildings) or (buildings < self.min_building_px * gsd_m**2).mean() <= self.max_too_small:
            return ""
        area_m2 = float(np.median(buildings))
        return (
            f"too coarse for buildings of {area_m2:.0f} m² (the median): they cover {area_m2 / gsd_m**2:.0f} pixels, expected at least "
            f"{self.min_building_px}. Give an image with pixels of at most about {math.sqrt(area_m2 / self.enough_px):.1f} m."
        )
