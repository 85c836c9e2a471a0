"""Classical baselines: rules, and classifiers over pixels, superpixels, patches and parts; each is a `Segmenter`."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "BaselineRecipe": "deepnets4eo.baselines.training",
    "BaselineSection": "deepnets4eo.baselines.training",
    "EstimatorOptions": "deepnets4eo.baselines.estimators",
    "ExpertRules": "deepnets4eo.baselines.rules",
    "FrozenEncoder": "deepnets4eo.baselines.features.encoders",
    "SelfOrganizingMap": "deepnets4eo.baselines.som",
    "PartDetector": "deepnets4eo.baselines.parts",
    "PixelClassifier": "deepnets4eo.baselines.pixel_classifier",
    "adjust_to_priors": "deepnets4eo.baselines.feature_classifier",
    "build_estimator": "deepnets4eo.baselines.estimators",
    "fit_baseline": "deepnets4eo.baselines.training",
    "fit_estimator": "deepnets4eo.baselines.estimators",
    "load_estimator": "deepnets4eo.baselines.estimator_file",
    "PostProcessed": "deepnets4eo.baselines.postprocessing.segmenter",
    "SuperpixelClassifier": "deepnets4eo.baselines.superpixel_classifier",
    "save_estimator": "deepnets4eo.baselines.estimator_file",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
