"""A run and a scene in, label rasters out: streamed, resumable, in bounded memory."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Adaptation": "deepnets4eo.prediction.click_session",
    "ClickSession": "deepnets4eo.prediction.click_session",
    "Part": "deepnets4eo.jobs.parts",
    "PredictOptions": "deepnets4eo.prediction.options",
    "Prediction": "deepnets4eo.prediction.job",
    "check_outputs": "deepnets4eo.prediction.job",
    "show_clicks": "deepnets4eo.prediction.clicked_scene",
    "describe": "deepnets4eo.prediction.job",
    "next_click": "deepnets4eo.prediction.click_session",
    "open_scene": "deepnets4eo.prediction.preparation",
    "predict": "deepnets4eo.prediction.job",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
