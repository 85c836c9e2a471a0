"""RGB-D frames: SnapNet-R, networks that learn from resampled views of frames, and views that vote for their pixels.

`RgbdRecipe` is the recipe of the task `snapnet-r`; `FrameLabeller` labels frames with a run of that task."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .frame import Frame as Frame
    from .labeller import FrameLabeller as FrameLabeller, score_frames as score_frames
    from .layouts import find_frames as find_frames
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".frame": ["Frame"],
            ".labeller": ["FrameLabeller", "score_frames"],
            ".layouts": ["find_frames"],
        },
    )
