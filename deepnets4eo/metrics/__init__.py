"""Scores from one confusion matrix, eroded borders, boundaries, intervals, areas, detections, continuous values, calibration."""

from deepnets4eo.metrics.accuracy import AreaEstimate, Interval, area_adjusted, bootstrap, wilson_interval
from deepnets4eo.metrics.boundaries import BoundaryScores, erode_boundaries
from deepnets4eo.metrics.calibration import calibration_error, fit_sigmoid, temperature
from deepnets4eo.metrics.confusion import ConfusionMatrix
from deepnets4eo.metrics.detections import DetectionScores, InstanceScores, evaluate_detections, score_instances
from deepnets4eo.metrics.deviations import DeviationScores
from deepnets4eo.metrics.values import ValueScores

__all__ = [
    "AreaEstimate",
    "BoundaryScores",
    "ConfusionMatrix",
    "DetectionScores",
    "DeviationScores",
    "InstanceScores",
    "Interval",
    "ValueScores",
    "area_adjusted",
    "bootstrap",
    "calibration_error",
    "erode_boundaries",
    "evaluate_detections",
    "fit_sigmoid",
    "score_instances",
    "temperature",
    "wilson_interval",
]
