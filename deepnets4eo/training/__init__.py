"""A recipe and scenes in, a sealed run out."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "load_recipe": "deepnets4eo.training.job",
    "train": "deepnets4eo.training.job",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
