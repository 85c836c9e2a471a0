"""Tasks that can be trained, by name, through the entry points group `deepnets4eo.training.tasks` (see `plugins`).

So the core trains what branches add without importing a branch. Refuses names that no installed package provides.
How a task is added: `deepnets4eo.training.fit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.training.recipe import Recipe


@dataclass(frozen=True)
class TrainOptions:
    """Options for running a training on this machine; they do not change what is learned, except for the device's rounding.

    Errors: InputError (`finish` without `resume`).

    Parameters
    ----------
    device : "auto" (CUDA if available), "cpu", "cuda" or "cuda:N"
    resume : whether to continue from the run folder: from the last complete epoch, or the last step before Ctrl-C
    overwrite : whether to replace a run that is in the folder
    online : whether to download what the recipe names: first weights ("imagenet"), rasters at web addresses
    devices : GPUs (on a CPU: processes) that train one network together, each with its share of every batch
    minutes, epochs : limits after which the training ends, over all resumptions; the learning rate falls as without them. None: no limit
    finish : with `resume`: train no more, and write the run with the best weights so far
    followed : whether the task trains once more afterwards, so that all of several processes return

    Examples
    --------
    >>> TrainOptions(device="cpu", resume=True).overwrite
    False
    """

    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    online: bool = False
    devices: int = 1
    minutes: float | None = None
    epochs: int | None = None
    finish: bool = False
    followed: bool = False

    def __post_init__(self) -> None:
        if self.finish and not self.resume:
            raise InputError("finish (--finish) ends a training that was stopped. Give resume (--resume) as well.")

    @property
    def is_limited(self) -> bool:
        """Return whether the training may end before the recipe's last epoch, to be resumed later."""
        return not self.finish and (self.minutes is not None or self.epochs is not None)


Trainer = Callable[[Any, Path, TrainOptions], Path]


@dataclass(frozen=True)
class Task:
    """A task, as an entry point of `deepnets4eo.training.tasks` names it.

    Parameters
    ----------
    train : function `train(recipe, out, options)` that writes the run folder `out` and returns it
    recipe : the class of its recipes: `Recipe`, or a subclass with further sections

    Examples
    --------
    >>> Task(lambda recipe, out, options: out).recipe.__name__
    'Recipe'
    """

    train: Trainer
    recipe: type[Recipe] = Recipe


def load_task(name: str) -> Task:
    """Load the task of that name. Errors: InputError with the names of all tasks."""
    tasks = plugins_of("training.tasks")
    if name not in tasks:
        raise InputError(
            f"task {name!r} is unknown. Choose from {', '.join(sorted(tasks))}, or install the package that adds it: "
            "those of the miniature world are found with experiments, a folder of the source, in PYTHONPATH."
        )
    loaded = load_plugin(tasks[name])
    return loaded if isinstance(loaded, Task) else Task(loaded)
