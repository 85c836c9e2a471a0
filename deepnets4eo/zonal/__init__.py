"""From pixels to one row per polygon: sums and counts, outlines as pixels."""

from .fine_pixels import FinePixels
from .outline_points import OutlinePoints, Sides
from .outline_sides import inverse_geotransform, to_pixels
from .outlines import CHUNK, Outlines, chunks, groups, patch_centres
from .statistics import (
    band_sums,
    class_counts,
    known_shares,
    sum_bands,
    sums_by_share,
)

__all__ = ["Outlines", "band_sums", "class_counts", "known_shares", "patch_centres", "sum_bands", "sums_by_share"]
