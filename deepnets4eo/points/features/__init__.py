"""Features of neighbourhoods of points, labellers that learn from them, and rules that need no training."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .eigenfeatures import point_features as point_features
    from .labeller import FeatureLabeller as FeatureLabeller
    from .options import FeatureOptions as FeatureOptions, feature_names as feature_names
    from .rules import RuleLabeller as RuleLabeller
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".eigenfeatures": ["point_features"],
            ".labeller": ["FeatureLabeller"],
            ".options": ["FeatureOptions", "feature_names"],
            ".rules": ["RuleLabeller"],
        },
    )
