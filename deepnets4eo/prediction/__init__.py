"""A run and a scene in, label rasters out: streamed, resumable, in bounded memory."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.jobs.parts import Part as Part

    from .checks import check_outputs as check_outputs
    from .click_page import ClickServer
    from .click_review import ClickReview
    from .click_session import Adaptation as Adaptation, ClickSession as ClickSession, next_click as next_click
    from .clicked_scene import show_clicks as show_clicks
    from .dry_run import describe as describe
    from .file_job import PredictJob
    from .job import Prediction as Prediction, predict as predict
    from .options import Measure, PredictOptions as PredictOptions, VoteOptions
    from .preparation import named_layers, open_scene as open_scene
    from .tile_reader import ReadTile, TileReader
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            "deepnets4eo.jobs.parts": ["Part"],
            ".checks": ["check_outputs"],
            ".click_session": ["Adaptation", "ClickSession", "next_click"],
            ".clicked_scene": ["show_clicks"],
            ".dry_run": ["describe"],
            ".job": ["Prediction", "predict"],
            ".options": ["PredictOptions"],
            ".preparation": ["open_scene"],
        },
        internal={
            ".click_page": ["ClickServer"],
            ".click_review": ["ClickReview"],
            ".file_job": ["PredictJob"],
            ".options": ["Measure", "VoteOptions"],
            ".preparation": ["named_layers"],
            ".tile_reader": ["ReadTile", "TileReader"],
        },
    )
