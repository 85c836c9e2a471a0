"""Registration of two images of one site: only coordinates move, the pixels stay.

`register` measures the offset between the images and how reliable it is; `on_post_grid` resamples one image to the other.
`ImagePair` is the pair that jobs open, check and register.
"""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .align import assume_registered as assume_registered, register as register
    from .matchers import disk_lightglue as disk_lightglue, superpoint as superpoint, xfeat as xfeat
    from .options import AssumeRegistered, MaxRotation, MaxShift, Motion, PixelSize, RegisterOptions, SearchLimits
    from .pair import (
        UNMOVED,
        ImagePair as ImagePair,
        MotionMatrix,
        RegisteredPair,
        Role,
        grid_in_pre as grid_in_pre,
        on_post_grid as on_post_grid,
    )
    from .result import Registration as Registration, RegistrationQuality
    from .tiepoints import gradient_floor, orientation_field
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".align": ["assume_registered", "register"],
            ".matchers": ["disk_lightglue", "superpoint", "xfeat"],
            ".pair": ["ImagePair", "grid_in_pre", "on_post_grid"],
            ".result": ["Registration"],
        },
        internal={
            ".options": [
                "AssumeRegistered",
                "MaxRotation",
                "MaxShift",
                "Motion",
                "PixelSize",
                "RegisterOptions",
                "SearchLimits",
            ],
            ".pair": ["UNMOVED", "MotionMatrix", "RegisteredPair", "Role"],
            ".result": ["RegistrationQuality"],
            ".tiepoints": ["gradient_floor", "orientation_field"],
        },
    )
