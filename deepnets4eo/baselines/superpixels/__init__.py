"""Superpixels: of one image, of a whole scene without seams, and the statistics of each region."""

from deepnets4eo.baselines.superpixels.scene import segment_scene
from deepnets4eo.baselines.superpixels.segmenting import METHODS, Superpixels
from deepnets4eo.baselines.superpixels.statistics import (
    majority,
    pool,
    pool_stack,
    pooled_columns,
    region_deviations,
    region_means,
    region_ranges,
)  # fmt: skip

__all__ = [
    "METHODS",
    "Superpixels",
    "majority",
    "pool",
    "pool_stack",
    "pooled_columns",
    "region_deviations",
    "region_means",
    "region_ranges",
    "segment_scene",
]
