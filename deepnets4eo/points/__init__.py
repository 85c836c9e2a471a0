"""Point clouds: files, ground, views, SnapNet, features of neighbourhoods, RGB-D frames, rubble."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "CloudFile": "deepnets4eo.points.files.cloud_file",
    "LabelOptions": "deepnets4eo.points.labelling",
    "LabelResult": "deepnets4eo.points.labelling",
    "Orthophoto": "deepnets4eo.points.colourise",
    "PointCloud": "deepnets4eo.points.cloud",
    "EventInfo": "deepnets4eo.outputs.event",
    "HeightGrid": "deepnets4eo.points.height_grid",
    "RubbleMap": "deepnets4eo.points.rubble.rubble_map",
    "RubbleOptions": "deepnets4eo.points.rubble.rubble_map",
    "HeightSource": "deepnets4eo.points.rubble.surfaces",
    "check_heights": "deepnets4eo.points.rubble.job",
    "save_rubble": "deepnets4eo.points.rubble.products",
    "debris_history": "deepnets4eo.points.rubble.history",
    "debris_volumes": "deepnets4eo.points.rubble.job",
    "RUBBLE_CLASS": "deepnets4eo.points.rubble.rubble_map",
    "PointLabeller": "deepnets4eo.points.labeller",
    "colourise_cloud": "deepnets4eo.points.colourise",
    "describe_labelling": "deepnets4eo.points.labelling",
    "evaluate_cloud": "deepnets4eo.points.evaluation",
    "heights_above_ground": "deepnets4eo.points.height_grid",
    "label_cloud": "deepnets4eo.points.labelling",
    "legend_codes": "deepnets4eo.points.cloud",
    "load_labeller": "deepnets4eo.points.labeller",
    "open_cloud": "deepnets4eo.points.files.opening",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
