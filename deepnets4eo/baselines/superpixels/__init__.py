"""Superpixels: of one image, of a whole scene without seams, and the statistics of each region."""

from deepnets4eo.baselines.superpixels.scene import segment_scene
from deepnets4eo.baselines.superpixels.segmenting import METHODS, Superpixels
from deepnets4eo.baselines.superpixels.statistics import (
    RegionSums,
    majority,
    pool,
    pool_stack,
    pooled_columns,
    region_means,
    region_ranges,
    region_sums,
)  # fmt: skip
from deepnets4eo.baselines.superpixels.table import region_table

__all__ = [
    "METHODS",
    "RegionSums",
    "Superpixels",
    "majority",
    "pool",
    "pool_stack",
    "pooled_columns",
    "region_means",
    "region_ranges",
    "region_sums",
    "region_table",
    "segment_scene",
]
