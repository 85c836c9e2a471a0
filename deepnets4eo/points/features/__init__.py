"""Features of neighbourhoods of points, labellers that learn from them, and rules that need no training."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "BuildingValidation": "deepnets4eo.points.features.building_validation",
    "Decision": "deepnets4eo.points.features.building_validation",
    "FeatureLabeller": "deepnets4eo.points.features.labeller",
    "FeatureOptions": "deepnets4eo.points.features.options",
    "FeatureRecipe": "deepnets4eo.points.features.training",
    "RuleLabeller": "deepnets4eo.points.features.rules",
    "RuleOptions": "deepnets4eo.points.features.rules",
    "ValidationOptions": "deepnets4eo.points.features.building_validation",
    "neighbourhood_features": "deepnets4eo.points.features.eigenfeatures",
    "feature_names": "deepnets4eo.points.features.options",
    "point_features": "deepnets4eo.points.features.point_table",
    "smooth_scores": "deepnets4eo.points.features.neighbourhoods",
    "validate_buildings": "deepnets4eo.points.features.building_validation",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
