"""RGB-D frames: SnapNet-R, networks that learn from resampled views of frames, and views that vote for their pixels.

`RgbdRecipe` is the recipe of the task `snapnet-r`; `FrameLabeller` labels frames with a run of that task."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__, {".frame": "Frame", ".labeller": "FrameLabeller score_frames", ".layouts": "find_frames"}
)
