"""From pixels to one row per polygon: sums and counts, outlines as pixels, patches in block order."""

from deepnets4eo.zonal.outlines import Outlines
from deepnets4eo.zonal.patches import PatchBatch, cut_patches, patch_centres, resample_patches
from deepnets4eo.zonal.shares import sums_by_share
from deepnets4eo.zonal.statistics import band_sums, class_counts, sum_bands

__all__ = [
    "Outlines",
    "PatchBatch",
    "band_sums",
    "class_counts",
    "cut_patches",
    "patch_centres",
    "resample_patches",
    "sum_bands",
    "sums_by_share",
]
