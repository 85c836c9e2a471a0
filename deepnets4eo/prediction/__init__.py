"""A run and a scene in, label rasters out: streamed, resumable, in bounded memory."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".click_session": "Adaptation ClickSession next_click",
        "deepnets4eo.jobs.parts": "Part",
        ".options": "PredictOptions",
        ".job": "Prediction predict",
        ".checks": "check_outputs",
        ".dry_run": "describe",
        ".clicked_scene": "show_clicks",
        ".preparation": "open_scene",
    },
)
