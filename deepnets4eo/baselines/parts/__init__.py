"""Detectors of small things: a mixture of part templates over HOG, its detections and their scores."""

from deepnets4eo.baselines.parts.detector import PartDetector
from deepnets4eo.baselines.parts.references import reference_outlines, reference_polygons
from deepnets4eo.baselines.parts.scoring import DetectionScores, area_scores, evaluate_detections
from deepnets4eo.baselines.parts.settings import PartSettings

__all__ = [
    "DetectionScores",
    "PartDetector",
    "PartSettings",
    "area_scores",
    "evaluate_detections",
    "reference_outlines",
    "reference_polygons",
]
