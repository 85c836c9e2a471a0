"""Scores from one confusion matrix, eroded borders, boundaries, intervals, areas, detections, continuous values, calibration."""

from .accuracy import (
    AreaEstimate,
    Interval,
    allocate_looks,
    area_adjusted,
    bootstrap,
    sample_size,
    wilson_interval,
)
from .boundaries import BoundaryScores, erode_boundaries
from .calibration import (
    calibration_error,
    check_same_number,
    fit_sigmoid,
    temperature,
)
from .confusion import ConfusionMatrix
from .detections import (
    DetectionScores,
    InstanceScores,
    Match,
    evaluate_detections,
    match,
    overlapping_pairs,
    score_instances,
    scores_of,
)
from .deviations import DeviationScores
from .values import SCORES, ValueScores

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
    "sample_size",
    "score_instances",
    "temperature",
    "wilson_interval",
]
