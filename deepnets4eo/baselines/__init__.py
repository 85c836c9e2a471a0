"""Classical baselines: rules, and classifiers over pixels, superpixels, patches and parts.

Each of them is a `Segmenter`: training, files, prediction and scores are as for a network.
"""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "BaselineRecipe": "deepnets4eo.baselines.recipe",
    "BaselineSection": "deepnets4eo.baselines.recipe",
    "ExpertRules": "deepnets4eo.baselines.rules",
    "FrozenEncoder": "deepnets4eo.baselines.features.encoders",
    "SelfOrganizingMap": "deepnets4eo.baselines.som",
    "PartDetector": "deepnets4eo.baselines.parts",
    "PixelClassifier": "deepnets4eo.baselines.pixel_classifier",
    "fit_baseline": "deepnets4eo.baselines.training",
    "PostProcessed": "deepnets4eo.baselines.postprocessing.segmenter",
    "SuperpixelClassifier": "deepnets4eo.baselines.superpixel_classifier",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
