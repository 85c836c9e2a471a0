"""Point clouds: files, ground, views, SnapNet, features of neighbourhoods, a look at them, RGB-D frames, rubble."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.outputs.event import EventInfo as EventInfo

    from .cloud import PointCloud as PointCloud, legend_codes as legend_codes
    from .colourise import Orthophoto as Orthophoto, colourise_cloud as colourise_cloud
    from .evaluation import evaluate_by_options, evaluate_cloud as evaluate_cloud
    from .files.cloud_file import CloudFile as CloudFile
    from .files.open3d_bridge import from_open3d as from_open3d, to_open3d as to_open3d
    from .files.opening import CloudRequest as CloudRequest, open_cloud as open_cloud
    from .height_grid import HeightGrid as HeightGrid, heights_above_ground as heights_above_ground
    from .label_options import LabelOptions as LabelOptions, LabelResult as LabelResult
    from .labeller import (
        LoadedLabeller as LoadedLabeller,
        PointLabeller as PointLabeller,
        load_labeller as load_labeller,
    )
    from .labelling import LabelJob as LabelJob, label_cloud as label_cloud
    from .look.flight import fly_around as fly_around
    from .look.page import PointLook as PointLook
    from .look.window import draw as draw, show_cloud as show_cloud
    from .rubble.history import debris_history as debris_history
    from .rubble.job import check_heights as check_heights, debris_volumes as debris_volumes
    from .rubble.products import save_rubble as save_rubble
    from .rubble.rubble_map import RUBBLE_CLASS as RUBBLE_CLASS, RubbleMap as RubbleMap, RubbleOptions as RubbleOptions
    from .rubble.surfaces import HeightSource as HeightSource
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            "deepnets4eo.outputs.event": ["EventInfo"],
            ".cloud": ["PointCloud", "legend_codes"],
            ".colourise": ["Orthophoto", "colourise_cloud"],
            ".evaluation": ["evaluate_cloud"],
            ".files.cloud_file": ["CloudFile"],
            ".files.open3d_bridge": ["from_open3d", "to_open3d"],
            ".files.opening": ["CloudRequest", "open_cloud"],
            ".height_grid": ["HeightGrid", "heights_above_ground"],
            ".label_options": ["LabelOptions", "LabelResult"],
            ".labeller": ["LoadedLabeller", "PointLabeller", "load_labeller"],
            ".labelling": ["LabelJob", "label_cloud"],
            ".look.flight": ["fly_around"],
            ".look.page": ["PointLook"],
            ".look.window": ["draw", "show_cloud"],
            ".rubble.history": ["debris_history"],
            ".rubble.job": ["check_heights", "debris_volumes"],
            ".rubble.products": ["save_rubble"],
            ".rubble.rubble_map": ["RUBBLE_CLASS", "RubbleMap", "RubbleOptions"],
            ".rubble.surfaces": ["HeightSource"],
        },
        internal={
            ".evaluation": ["evaluate_by_options"],
        },
    )
