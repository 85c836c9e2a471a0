"""From pixels to one row per polygon: sums and counts, outlines as pixels."""

from deepnets4eo.zonal.outlines import Outlines, patch_centres
from deepnets4eo.zonal.statistics import band_sums, class_counts, known_shares, sum_bands, sums_by_share

__all__ = ["Outlines", "band_sums", "class_counts", "known_shares", "patch_centres", "sum_bands", "sums_by_share"]
