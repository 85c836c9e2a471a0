"""SnapNet: points are labelled in snapshots of their surface, by networks for images.

`SnapNetUNet` and `SnapNetFusion` are built by `create_model` and in recipes of the task `snapnet`.
"""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "SnapNetFusion": "deepnets4eo.points.snapnet.networks",
    "SnapNetUNet": "deepnets4eo.points.snapnet.networks",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
