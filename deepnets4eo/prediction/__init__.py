"""A run and a scene in, label rasters out: streamed, resumable, in bounded memory."""

from deepnets4eo.prediction.job import Prediction, PredictOptions, check_outputs, describe, predict
from deepnets4eo.prediction.opening import open_scene

__all__ = [
    "PredictOptions",
    "Prediction",
    "check_outputs",
    "describe",
    "open_scene",
    "predict",
]
