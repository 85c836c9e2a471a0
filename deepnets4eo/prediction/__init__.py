"""A run and a scene in, label rasters out: streamed, resumable, in bounded memory."""

from deepnets4eo.jobs.parts import Part
from deepnets4eo.prediction.job import Prediction, check_outputs, describe, predict
from deepnets4eo.prediction.opening import open_scene
from deepnets4eo.prediction.options import PredictOptions

__all__ = [
    "Part",
    "PredictOptions",
    "Prediction",
    "check_outputs",
    "describe",
    "open_scene",
    "predict",
]
