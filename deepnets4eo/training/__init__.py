"""A recipe and scenes in, a sealed run out."""

from deepnets4eo.training.job import load_recipe, train

__all__ = [
    "load_recipe",
    "train",
]
