"""Classical baselines: rules, and classifiers over pixels, superpixels, patches and parts; each is a `Segmenter`."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".training": "BaselineRecipe BaselineSection fit_baseline",
        ".estimators": "EstimatorOptions build_estimator fit_estimator",
        ".rules": "ExpertRules",
        ".features.encoders": "FrozenEncoder",
        ".som": "SelfOrganizingMap",
        ".parts": "PartDetector",
        ".pixel_classifier": "PixelClassifier",
        ".feature_classifier": "adjust_to_priors",
        ".estimator_file": "load_estimator save_estimator",
        ".postprocessing.segmenter": "PostProcessed",
        ".superpixel_classifier": "SuperpixelClassifier",
    },
)
