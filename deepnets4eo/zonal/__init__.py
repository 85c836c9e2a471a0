"""From pixels to one row per polygon: sums and counts, outlines as pixels."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .fine_pixels import FinePixels
    from .outline_points import OutlinePoints, Sides
    from .outline_sides import inverse_geotransform, to_pixels
    from .outlines import CHUNK, Outlines as Outlines, chunks, groups, patch_centres as patch_centres
    from .statistics import (
        band_sums as band_sums,
        class_counts as class_counts,
        known_shares as known_shares,
        sum_bands as sum_bands,
        sums_by_share as sums_by_share,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".outlines": ["Outlines", "patch_centres"],
            ".statistics": ["band_sums", "class_counts", "known_shares", "sum_bands", "sums_by_share"],
        },
        internal={
            ".fine_pixels": ["FinePixels"],
            ".outline_points": ["OutlinePoints", "Sides"],
            ".outline_sides": ["inverse_geotransform", "to_pixels"],
            ".outlines": ["CHUNK", "chunks", "groups"],
        },
    )
