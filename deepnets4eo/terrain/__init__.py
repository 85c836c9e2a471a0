"""Heights above ground, slopes, and the layers that are made of them."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .composites import composite_raster as composite_raster
    from .further_rasters import open_further, place_further, unknown_share, without_usual_nodata
    from .ground_filter import ground as ground, without_gaps
    from .heights import (
        check_above_ground,
        impossible,
        ndsm as ndsm,
        slope_deg as slope_deg,
        surface_gradient as surface_gradient,
        warn_of_impossible,
    )
    from .units import SAME, check_ground_metres, check_metres, check_same_datum
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".composites": ["composite_raster"],
            ".ground_filter": ["ground"],
            ".heights": ["ndsm", "slope_deg", "surface_gradient"],
        },
        internal={
            ".further_rasters": ["open_further", "place_further", "unknown_share", "without_usual_nodata"],
            ".ground_filter": ["without_gaps"],
            ".heights": ["check_above_ground", "impossible", "warn_of_impossible"],
            ".units": ["SAME", "check_ground_metres", "check_metres", "check_same_datum"],
        },
    )
