"""Scores from one confusion matrix, eroded borders, boundaries, intervals, areas, detections, continuous values, calibration."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .accuracy import (
        AreaEstimate as AreaEstimate,
        Interval as Interval,
        allocate_looks,
        area_adjusted as area_adjusted,
        bootstrap as bootstrap,
        sample_size as sample_size,
        wilson_interval as wilson_interval,
    )
    from .boundaries import BoundaryScores as BoundaryScores, erode_boundaries as erode_boundaries
    from .calibration import (
        calibration_error as calibration_error,
        check_same_number,
        fit_sigmoid as fit_sigmoid,
        temperature as temperature,
    )
    from .confusion import ConfusionMatrix as ConfusionMatrix
    from .detections import (
        DetectionScores as DetectionScores,
        InstanceScores as InstanceScores,
        Match,
        evaluate_detections as evaluate_detections,
        match,
        overlapping_pairs,
        score_instances as score_instances,
        scores_of,
    )
    from .deviations import DeviationScores as DeviationScores
    from .values import SCORES, ValueScores as ValueScores
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".accuracy": ["AreaEstimate", "Interval", "area_adjusted", "bootstrap", "sample_size", "wilson_interval"],
            ".boundaries": ["BoundaryScores", "erode_boundaries"],
            ".calibration": ["calibration_error", "fit_sigmoid", "temperature"],
            ".confusion": ["ConfusionMatrix"],
            ".detections": ["DetectionScores", "InstanceScores", "evaluate_detections", "score_instances"],
            ".deviations": ["DeviationScores"],
            ".values": ["ValueScores"],
        },
        internal={
            ".accuracy": ["allocate_looks"],
            ".calibration": ["check_same_number"],
            ".detections": ["Match", "match", "overlapping_pairs", "scores_of"],
            ".values": ["SCORES"],
        },
    )
