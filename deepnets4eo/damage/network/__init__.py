"""The damage network, which grades buildings from an image before and one after, and its training."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "DamageNet": "deepnets4eo.damage.network.architecture",
    "DamageRecipe": "deepnets4eo.damage.network.recipe",
    "LabelledPair": "deepnets4eo.damage.network.pairs",
    "read_pairs": "deepnets4eo.damage.network.datasets",
    "NetworkGrader": "deepnets4eo.damage.network.grader",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
