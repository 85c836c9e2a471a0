"""RGB-D frames: SnapNet-R, networks that learn from resampled views of frames, and views that vote for their pixels.

`RgbdRecipe` is the recipe of the task `snapnet-r`; `FrameLabeller` labels frames with a run of that task."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Frame": "deepnets4eo.points.rgbd.frame",
    "FrameLabeller": "deepnets4eo.points.rgbd.labeller",
    "find_frames": "deepnets4eo.points.rgbd.layouts",
    "score_frames": "deepnets4eo.points.rgbd.labeller",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
