"""The damage network, which grades buildings from an image before and one after, and its training."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .architecture import DamageNet as DamageNet
    from .datasets import read_pairs as read_pairs
    from .grader import NetworkGrader as NetworkGrader
    from .pairs import LabelledPair as LabelledPair
    from .recipe import DamageRecipe as DamageRecipe
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".architecture": ["DamageNet"],
            ".datasets": ["read_pairs"],
            ".grader": ["NetworkGrader"],
            ".pairs": ["LabelledPair"],
            ".recipe": ["DamageRecipe"],
        },
    )
