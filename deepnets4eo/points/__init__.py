"""Point clouds: files, ground, views, SnapNet, features of neighbourhoods, RGB-D frames, rubble."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "PointCloud": "deepnets4eo.points.cloud",
    "HeightGrid": "deepnets4eo.points.height_grid",
    "RubbleMap": "deepnets4eo.points.rubble.rubble_map",
    "RubbleOptions": "deepnets4eo.points.rubble.options",
    "debris_volumes": "deepnets4eo.points.rubble.job",
    "RUBBLE_CLASS": "deepnets4eo.points.rubble.vocabulary",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
