"""Tasks that can be trained: segmentation here, others through the entry points group `deepnets4eo.training.tasks`.

So the core trains what branches add without importing a branch. Refuses names that nobody provides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError
from deepnets4eo.recipe import Recipe

GROUP = "deepnets4eo.training.tasks"
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
    if name == SEGMENTATION:
        from deepnets4eo.training.segmentation import train_segmentation

        return Task(train_segmentation)
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        names = ", ".join([SEGMENTATION, *sorted(found)])
        raise InputError(f"task {name!r} is unknown. Choose from {names}, or install the package that adds it.")
    loaded = found[name].load()
    return loaded if isinstance(loaded, Task) else Task(loaded)
