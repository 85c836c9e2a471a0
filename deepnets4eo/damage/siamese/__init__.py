"""A Siamese network that grades buildings from an image before and one after, and its evidence for the main job.

`train` a run with `deepnets4eo train damage-siamese`; give the run to `deepnets4eo damage --model RUN`.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "SiameseNet": "deepnets4eo.damage.siamese.network",
    "SiameseRecipe": "deepnets4eo.damage.siamese.recipe",
    "LabelledPair": "deepnets4eo.damage.siamese.pairs",
    "read_pairs": "deepnets4eo.damage.siamese.datasets",
    "NetworkGrader": "deepnets4eo.damage.siamese.evidence",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepnets4eo.damage.siamese' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
