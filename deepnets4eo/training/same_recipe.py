"""Comparison of recipes: a training is the same if its requested values are, whichever way their paths are written.

Takes recipes; returns the names of the values that differ, and an identity that checkpoints keep.

A value that is requested as 0 or none, and that the data then choose, is compared as requested. Paths are compared from the root and
without links.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deepnets4eo.errors import RunError
from deepnets4eo.segmenters.checksums import hash_of, stored_recipe
from deepnets4eo.training.recipe import Recipe, RecipeType, read_recipe, resolve

PATH_KEYS = (
    "legend", "data.labels_legend", "data.scenes", "data.start", "data.train_list", "data.test_list", "data.pairs_folder",
    "model.encoder_weights", "model.start",
)  # fmt: skip
NOT_A_PATH = "name"  # of a scene


def check_same_recipe(path: Path, recipe: Recipe) -> None:
    """Refuse a run that was begun with other values; path : of its recipe. Errors: RunError with the keys."""
    if not path.exists():
        return
    begun = with_whole_paths(resolve(read_recipe(path), kind=type(recipe), where=str(path)))
    differing = differing_keys(begun, recipe)
    if differing:
        raise RunError(
            f"{path.parent} was started with other values of {', '.join(differing)}. "
            "Resume with the same recipe, or train into another --out."
        )


def recipe_identity(recipe: Recipe) -> str:
    """Return the SHA-256 of the values that `differing_keys` compares; a checkpoint is resumed by a recipe of the same identity."""
    return hash_of(_compared(recipe))


def differing_keys(first: Recipe, second: Recipe) -> list[str]:
    """Return the names of the differing values of two recipes, as `section.key`; addresses as runs store them, paths without links."""
    left, right = (_flat(_compared(recipe)) for recipe in (first, second))
    return sorted(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))


def with_whole_paths(recipe: RecipeType) -> RecipeType:
    """Return the recipe with the files and folders that exist by their absolute paths: it then means the same from every folder."""
    for name in PATH_KEYS:
        section, _, key = name.rpartition(".")
        owner = getattr(recipe, section) if section else recipe
        value = getattr(owner, key, None)
        if value and not isinstance(value, Mapping):  # a legend by its classes names no file
            located = owner.model_copy(update={key: _absolute(value)})
            recipe = recipe.model_copy(update={section: located}) if section else located
    return recipe


def as_requested(chosen: Recipe, requested: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a recipe as requested, and what the data chose for those that were requested as 0 or none."""
    before, after = _flat(stored_recipe(requested.to_dict())), _flat(stored_recipe(chosen.to_dict()))
    by_data = {key: value for key, value in after.items() if value and not before.get(key, value)}
    values = chosen.to_dict()
    for name in by_data:
        section, _, key = name.rpartition(".")
        (values[section] if section else values)[key] = before[name]
    return values, by_data


def _absolute(value: Any) -> Any:
    """Return the texts of a value that name existing files or folders as absolute paths, also in a list separated by commas."""
    if isinstance(value, Mapping):
        return {key: item if key == NOT_A_PATH else _absolute(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_absolute(item) for item in value)
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    if os.path.lexists(value) or not all(map(os.path.lexists, parts)):
        parts = [value]
    return ",".join(os.path.abspath(part) if _is_path(part) else part for part in parts)


def _is_path(text: str) -> bool:
    """Return whether a text is a path: it has a separator or an ending, as no name of a catalog has, and it exists."""
    return bool(Path(text).suffix or os.sep in text) and os.path.lexists(text)


def _compared(recipe: Recipe) -> Any:
    """Return the stored values of a recipe with its absolute paths free of links: of one file there are several spellings."""
    return _without_links(stored_recipe(recipe.to_dict()))


def _without_links(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_links(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_links(item) for item in value]
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else []
    return ",".join(map(os.path.realpath, parts)) if parts and all(map(os.path.isabs, parts)) else value


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    pairs: Iterable[tuple[str, Any]] = (
        (f"{section}.{key}", value)
        for section, inner in values.items()
        for key, value in (inner.items() if isinstance(inner, dict) else [("", inner)])
    )
    return {key.rstrip("."): value for key, value in pairs}
