"""Post-processing of label maps: votes of windows and superpixels, a minimum area, a conditional random field.

Pure functions on labels or probabilities, and `PostProcessed`, a segmenter that applies them after another segmenter.
"""

from deepnets4eo.baselines.postprocessing.crf import CrfSettings, mean_field
from deepnets4eo.baselines.postprocessing.majority import majority_filter
from deepnets4eo.baselines.postprocessing.minimum_area import minimum_area
from deepnets4eo.baselines.postprocessing.segmenter import PostProcessed
from deepnets4eo.baselines.postprocessing.steps import build_steps
from deepnets4eo.baselines.postprocessing.superpixel_vote import superpixel_vote

__all__ = [
    "CrfSettings",
    "PostProcessed",
    "build_steps",
    "majority_filter",
    "mean_field",
    "minimum_area",
    "superpixel_vote",
]
