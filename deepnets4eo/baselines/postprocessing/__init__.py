"""Post-processing of label maps: votes of windows and superpixels, a minimum area, a conditional random field."""

from deepnets4eo.baselines.postprocessing.crf import CrfSettings, mean_field
from deepnets4eo.baselines.postprocessing.segmenter import PostProcessed, build_steps
from deepnets4eo.baselines.postprocessing.votes import majority_filter, minimum_area, superpixel_vote

__all__ = [
    "CrfSettings",
    "PostProcessed",
    "build_steps",
    "majority_filter",
    "mean_field",
    "minimum_area",
    "superpixel_vote",
]
