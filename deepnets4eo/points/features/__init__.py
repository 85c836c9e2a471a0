"""Features of neighbourhoods of points, labellers that learn from them, and rules that need no training."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "FeatureLabeller": "deepnets4eo.points.features.labeller",
    "FeatureOptions": "deepnets4eo.points.features.options",
    "RuleLabeller": "deepnets4eo.points.features.rules",
    "feature_names": "deepnets4eo.points.features.options",
    "point_features": "deepnets4eo.points.features.eigenfeatures",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
