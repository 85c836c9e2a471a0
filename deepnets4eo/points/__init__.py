"""Point clouds: files, ground, views, SnapNet, features of neighbourhoods, a look at them, RGB-D frames, rubble."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".files.cloud_file": "CloudFile",
        ".label_options": "LabelOptions LabelResult",
        ".labelling": "describe_labelling label_cloud",
        ".colourise": "Orthophoto colourise_cloud",
        ".cloud": "PointCloud legend_codes",
        "deepnets4eo.outputs.event": "EventInfo",
        ".height_grid": "HeightGrid heights_above_ground",
        ".rubble.rubble_map": "RubbleMap RubbleOptions RUBBLE_CLASS",
        ".rubble.surfaces": "HeightSource",
        ".rubble.job": "check_heights debris_volumes",
        ".rubble.products": "save_rubble",
        ".rubble.history": "debris_history",
        ".labeller": "PointLabeller load_labeller",
        ".evaluation": "evaluate_cloud",
        ".files.opening": "open_cloud",
        ".open3d_bridge": "from_open3d to_open3d",
        ".look.window": "draw show_cloud",
        ".look.page": "PointLook",
        ".look.flight": "fly_around",
    },
)
