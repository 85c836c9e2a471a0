"""Detectors of small objects: a mixture of part templates over HOG, and its detections."""

from deepnets4eo.baselines.parts.detector import PartDetector
from deepnets4eo.baselines.parts.references import reference_polygons
from deepnets4eo.baselines.parts.templates import PartSettings

__all__ = ["PartDetector", "PartSettings", "reference_polygons"]
