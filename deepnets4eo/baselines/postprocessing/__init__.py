"""Post-processing of label maps: votes of windows and superpixels, a minimum area, a conditional random field."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .crf import CrfSettings as CrfSettings, mean_field as mean_field
    from .segmenter import PostProcessed as PostProcessed, build_steps as build_steps
    from .votes import (
        majority_filter as majority_filter,
        minimum_area as minimum_area,
        superpixel_vote as superpixel_vote,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".crf": ["CrfSettings", "mean_field"],
            ".segmenter": ["PostProcessed", "build_steps"],
            ".votes": ["majority_filter", "minimum_area", "superpixel_vote"],
        },
    )
