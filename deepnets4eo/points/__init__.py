"""Point clouds: files, ground, views, SnapNet, features of neighbourhoods, RGB-D frames, rubble."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "PointCloud": "deepnets4eo.points.cloud",
    "PointLabeller": "deepnets4eo.points.labeller",
    "heights_above_ground": "deepnets4eo.points.ground",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
