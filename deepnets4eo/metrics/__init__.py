"""Scores from one confusion matrix, eroded borders, boundary scores, intervals, area estimates, scores of detections, and Platt's sigmoid."""

from deepnets4eo.metrics.accuracy import (
    AreaEstimate,
    Interval,
    area_adjusted,
    bootstrap,
    stratified_count,
    wilson_interval,
)
from deepnets4eo.metrics.boundaries import BoundaryScores, erode_boundaries
from deepnets4eo.metrics.confusion import ConfusionMatrix
from deepnets4eo.metrics.detections import (
    DetectionScores,
    InstanceScores,
    area_scores,
    evaluate_detections,
    score_instances,
)
from deepnets4eo.metrics.sigmoid import fit_sigmoid

__all__ = [
    "AreaEstimate",
    "BoundaryScores",
    "ConfusionMatrix",
    "DetectionScores",
    "InstanceScores",
    "Interval",
    "area_adjusted",
    "area_scores",
    "bootstrap",
    "erode_boundaries",
    "evaluate_detections",
    "fit_sigmoid",
    "score_instances",
    "stratified_count",
    "wilson_interval",
]
