"""Detectors of small objects: a mixture of part templates over HOG, and its detections."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .detector import PartDetector as PartDetector
    from .references import reference_polygons as reference_polygons
    from .templates import PartSettings as PartSettings
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".detector": ["PartDetector"],
            ".references": ["reference_polygons"],
            ".templates": ["PartSettings"],
        },
    )
