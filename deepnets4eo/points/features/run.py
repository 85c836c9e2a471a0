"""Runs of labellers that learned from features of points: written and read as all runs, sealed, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.points.features.labeller import FeatureLabeller
from deepnets4eo.segmenters.checksums import open_sealed, seal
from deepnets4eo.segmenters.run import LEGEND, RECIPE, UNFIT, versions
from deepnets4eo.training.recipe import Recipe


def save_feature_labeller(labeller: FeatureLabeller, folder: Path, recipe: Recipe, notes: Mapping[str, Any]) -> Path:
    """Write a fitted labeller with its recipe and notes for the card into a folder, which may hold logs and metrics
    already; the card is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / LEGEND, labeller.legend.to_dict())
    recipe.save(folder / RECIPE)
    card = {
        "kind": labeller.kind,
        "labeller": labeller.describe(),
        "legend": labeller.legend.name,
        "recipe_sha256": recipe.hash,
        "seed": recipe.train.seed,
        "versions": versions(),
        "notes": {"task": recipe.task, **notes},
    }
    seal(folder, card, [*labeller.save(folder), LEGEND, RECIPE])
    return folder


def load_feature_labeller(folder: Path) -> FeatureLabeller:
    """Read the labeller of a run after checking every file against its card. Raises RunError where the folder is no
    such run, or is truncated or changed."""
    card = open_sealed(folder)
    if card.get("kind") != FeatureLabeller.kind or "labeller" not in card or LEGEND not in card["files"]:
        raise RunError(
            f"{folder} holds a run of the kind {card.get('kind')}, expected {FeatureLabeller.kind} with a legend. "
            "Give a run that was trained on features of points."
        )
    try:
        return FeatureLabeller.restore(folder, card["labeller"], Legend.from_dict(read_yaml(folder / LEGEND)))
    except RunError:
        raise
    except UNFIT as error:
        raise RunError(
            f"{folder} cannot be rebuilt: {error if isinstance(error, InputError) else repr(error)}"
        ) from error
