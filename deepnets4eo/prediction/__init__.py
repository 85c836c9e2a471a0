"""A run and a scene in, label rasters out: streamed, resumable, in bounded memory."""

from deepnets4eo.jobs.parts import Part
from deepnets4eo.prediction.job import Prediction, check_outputs, describe, predict
from deepnets4eo.prediction.outputs import PredictOptions
from deepnets4eo.prediction.preparation import open_scene

__all__ = [
    "Part",
    "PredictOptions",
    "Prediction",
    "check_outputs",
    "describe",
    "open_scene",
    "predict",
]
