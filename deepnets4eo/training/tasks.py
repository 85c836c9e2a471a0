"""Tasks that can be trained, by name, through the entry points group `deepnets4eo.training.tasks` (see `plugins`).

So the core trains what branches add without importing a branch. Refuses names that nobody provides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError
from deepnets4eo.plugins import TASKS, load_plugin, plugins_of
from deepnets4eo.training.recipe import Recipe

SEGMENTATION = "segmentation"


@dataclass(frozen=True)
class TrainOptions:
    """How a training runs on this machine; nothing here changes what is learned, but for the device's rounding.

    online : whether to download what the recipe names: first weights ("imagenet"), rasters at web addresses.
    """

    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    online: bool = False


Trainer = Callable[[Any, Path, TrainOptions], Path]


@dataclass(frozen=True)
class Task:
    """What an entry point gives: `train(recipe, out, options) -> run folder`, and the recipe's own sections."""

    train: Trainer
    recipe: type[Recipe] = Recipe


def load_task(name: str) -> Task:
    """The task of that name; InputError lists those there are."""
    found = plugins_of(TASKS)
    if name not in found:
        raise InputError(
            f"task {name!r} is unknown. Choose from {', '.join(sorted(found))}, or install the package that adds it."
        )
    loaded = load_plugin(found[name])
    return loaded if isinstance(loaded, Task) else Task(loaded)
