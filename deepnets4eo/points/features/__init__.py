"""Features of neighbourhoods of points, labellers that learn from them, and rules that need no training."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".labeller": "FeatureLabeller",
        ".options": "FeatureOptions feature_names",
        ".rules": "RuleLabeller",
        ".eigenfeatures": "point_features",
    },
)
