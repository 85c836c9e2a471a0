"""One confusion matrix and what follows from it: scores, eroded borders, intervals, area estimates."""

from deepnets4eo.metrics.accuracy import (
    AreaEstimate,
    Interval,
    area_adjusted,
    bootstrap,
    stratified_count,
    wilson_interval,
)
from deepnets4eo.metrics.boundaries import erode_boundaries
from deepnets4eo.metrics.confusion import ConfusionMatrix

__all__ = [
    "AreaEstimate",
    "ConfusionMatrix",
    "Interval",
    "area_adjusted",
    "bootstrap",
    "erode_boundaries",
    "stratified_count",
    "wilson_interval",
]
