"""Heights above ground, slopes, and the layers that are made of them."""

from .composites import composite_raster
from .further_rasters import assess_further, open_further, place_further, unknown_share
from .ground_filter import ground, without_gaps
from .heights import (
    check_above_ground,
    impossible,
    ndsm,
    slope_deg,
    surface_gradient,
    warn_of_impossible,
)

__all__ = ["composite_raster", "ground", "ndsm", "slope_deg", "surface_gradient"]
