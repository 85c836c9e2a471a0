"""Superpixels: of one image, of a whole scene without seams, and the statistics of each region."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .scene import segment_scene as segment_scene
    from .segmenting import METHODS as METHODS, Superpixels as Superpixels
    from .statistics import (
        majority as majority,
        pool as pool,
        pool_stack as pool_stack,
        pooled_columns as pooled_columns,
        region_deviations as region_deviations,
        region_means as region_means,
        region_ranges as region_ranges,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".scene": ["segment_scene"],
            ".segmenting": ["METHODS", "Superpixels"],
            ".statistics": [
                "majority",
                "pool",
                "pool_stack",
                "pooled_columns",
                "region_deviations",
                "region_means",
                "region_ranges",
            ],
        },
    )
