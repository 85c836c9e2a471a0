"""Classical baselines: rules, and classifiers over pixels, superpixels, patches and parts.

Each of them is a `Segmenter`: it trains, is saved, predicts whole scenes and is scored as a network is.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "ExpertRules": "deepnets4eo.baselines.rules",
    "SelfOrganizingMap": "deepnets4eo.baselines.som",
    "PartDetector": "deepnets4eo.baselines.parts",
    "PixelClassifier": "deepnets4eo.baselines.pixel_classifier",
    "PostProcessed": "deepnets4eo.baselines.postprocessing.segmenter",
    "SuperpixelClassifier": "deepnets4eo.baselines.superpixel_classifier",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepnets4eo.baselines' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
