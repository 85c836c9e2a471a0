"""SnapNet: points are labelled in snapshots of their surface, by networks for images.

`SnapNetUNet` and `SnapNetFusion` are built by `create_model` and in recipes of the task `snapnet`; `SnapNetLabeller` labels
points with a run of that task."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .labeller import SnapNetLabeller as SnapNetLabeller
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".labeller": ["SnapNetLabeller"],
        },
    )
