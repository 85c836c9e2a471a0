"""A run and a scene in, label rasters out: streamed, resumable, in bounded memory."""

from deepnets4eo.prediction.job import Prediction, PredictOptions, describe, open_scene, predict

__all__ = [
    "PredictOptions",
    "Prediction",
    "describe",
    "open_scene",
    "predict",
]
