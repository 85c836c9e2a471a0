"""The damage network, which grades buildings from an image before and one after, and its training."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".architecture": "DamageNet",
        ".recipe": "DamageRecipe",
        ".pairs": "LabelledPair",
        ".datasets": "read_pairs",
        ".grader": "NetworkGrader",
    },
)
