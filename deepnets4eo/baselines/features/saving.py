"""Features in a run: by name where the name is enough, with their files where they have learned weights.

Takes features; returns plain values and file names, and makes the features again from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from deepnets4eo.baselines.features import Feature, build_features
from deepnets4eo.errors import RunError

LEARNED = {  # kind → class
    "deep": "deepnets4eo.baselines.features.deep:DeepFeatures",
    "extended_profile": "deepnets4eo.baselines.features.extended_profile:ExtendedProfile",
}


@runtime_checkable
class LearnedFeature(Feature, Protocol):
    """A feature whose values depend on weights as well as on its name, e.g. those of a frozen network."""

    kind: str

    def describe(self) -> dict[str, Any]:
        """Return plain values from which the class method `restore(folder, description)` makes it again."""

    def save(self, folder: Path) -> list[str]:
        """Write the weights; returns the files' names."""


def describe_features(features: Sequence[Feature]) -> list[str | dict[str, Any]]:
    """Return names, and for learned features descriptions with their kind."""
    return [
        {"kind": feature.kind} | feature.describe() if isinstance(feature, LearnedFeature) else feature.name
        for feature in features
    ]


def save_features(features: Sequence[Feature], folder: Path) -> list[str]:
    """Write the files of learned features; returns their names."""
    return [name for feature in features if isinstance(feature, LearnedFeature) for name in feature.save(folder)]


def restore_features(described: Sequence[str | Mapping[str, Any]], folder: Path) -> tuple[Feature, ...]:
    """Make the features that were described and saved. Errors: RunError for a kind that this version does not have."""
    return tuple(_restore(one, folder) for one in described)


def _restore(described: str | Mapping[str, Any], folder: Path) -> Feature:
    if isinstance(described, str):
        return build_features([described])[0]
    description = dict(described)
    kind = description.pop("kind")
    if kind not in LEARNED:
        raise RunError(f"{folder} needs features of kind {kind!r}; this version knows {sorted(LEARNED)}. Update it.")
    module, name = LEARNED[kind].split(":")
    feature: Feature = getattr(import_module(module), name).restore(folder, description)
    return feature
