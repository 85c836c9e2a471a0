"""From pixels to one row per polygon: sums and counts, outlines as pixels."""

from deepnets4eo.zonal.outlines import Outlines, patch_centres
from deepnets4eo.zonal.shares import sums_by_share
from deepnets4eo.zonal.statistics import band_sums, class_counts, sum_bands

__all__ = [
    "Outlines",
    "band_sums",
    "class_counts",
    "patch_centres",
    "sum_bands",
    "sums_by_share",
]
