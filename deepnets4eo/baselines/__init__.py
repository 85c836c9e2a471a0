"""Classical baselines: rules, and classifiers over pixels, superpixels, patches and parts; each is a `Segmenter`."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .estimator_file import load_estimator as load_estimator, save_estimator as save_estimator
    from .estimators import (
        EstimatorOptions as EstimatorOptions,
        build_estimator as build_estimator,
        fit_estimator as fit_estimator,
    )
    from .feature_classifier import adjust_to_priors as adjust_to_priors
    from .features.encoders import FrozenEncoder as FrozenEncoder
    from .parts import PartDetector as PartDetector
    from .pixel_classifier import PixelClassifier as PixelClassifier
    from .postprocessing.segmenter import PostProcessed as PostProcessed
    from .rules import ExpertRules as ExpertRules
    from .som import SelfOrganizingMap as SelfOrganizingMap
    from .superpixel_classifier import SuperpixelClassifier as SuperpixelClassifier
    from .training import (
        BaselineRecipe as BaselineRecipe,
        BaselineSection as BaselineSection,
        fit_baseline as fit_baseline,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".estimator_file": ["load_estimator", "save_estimator"],
            ".estimators": ["EstimatorOptions", "build_estimator", "fit_estimator"],
            ".feature_classifier": ["adjust_to_priors"],
            ".features.encoders": ["FrozenEncoder"],
            ".parts": ["PartDetector"],
            ".pixel_classifier": ["PixelClassifier"],
            ".postprocessing.segmenter": ["PostProcessed"],
            ".rules": ["ExpertRules"],
            ".som": ["SelfOrganizingMap"],
            ".superpixel_classifier": ["SuperpixelClassifier"],
            ".training": ["BaselineRecipe", "BaselineSection", "fit_baseline"],
        },
    )
