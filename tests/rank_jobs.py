"""What the processes of tests of `training.ranks` do: in a module of its own, so that new processes can import it."""

import json
import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deepnets4eo.errors import InputError
from deepnets4eo.training import Recipe, Task, TrainOptions
from deepnets4eo.training.ranks import Rank

LONG_S = 300.0


def note_rank(folder: Path) -> None:
    """Writes which process this is; the first one also logs."""
    rank = Rank.current()
    partial = folder / f"{rank.index}.partial"
    partial.write_text(json.dumps([*vars(rank).values(), os.getpid()]))
    partial.rename(folder / f"{rank.index}.json")
    if rank.is_first:
        logging.getLogger("deepnets4eo.jobs").warning("%d processes", rank.count)


def fail_second(folder: Path, how: str) -> None:
    """The second process ends early, the first one would work for long."""
    note_rank(folder)
    if not Rank.current().is_first:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise InputError("no such file") if how == "input" else ZeroDivisionError("unexpected")
    time.sleep(LONG_S)


def work_until_interrupted(folder: Path) -> None:
    """Works for long; writes whether Ctrl-C was pressed."""
    note_rank(folder)
    try:
        time.sleep(LONG_S)
    except KeyboardInterrupt:
        (folder / f"interrupted-{Rank.current().index}").touch()
        raise


class Interrupted:
    """A step at which Ctrl-C is pressed, counted from 1; the other processes end before the next one, as if killed."""

    def __init__(self, step: Any, at: int) -> None:
        self.step, self.left = step, at

    def __call__(self, network: Any, batch: Any) -> Any:
        self.left -= 1
        if self.left == 0 and Rank.current().is_first:
            os.kill(os.getpid(), signal.SIGINT)
        elif self.left < 0:
            raise KeyboardInterrupt
        return self.step(network, batch)


def train_and_resume(recipe: Recipe, out: Path, options: TrainOptions) -> Path:
    """Trains as always, and writes beside `out` which windows each process read.

    After that, with dropout and in folders beside `out`: a whole training, one that is interrupted, and its resumption.
    """
    from torch import distributed, nn

    from deepnets4eo.training import SceneSamples, loop
    from deepnets4eo.training.epochs import Fit, Progress
    from deepnets4eo.training.segmentation import train_segmentation

    fit_network, read = loop.fit_network, SceneSamples.read
    windows: list[list[int]] = []

    def read_and_note(samples: SceneSamples, window: Any) -> Any:
        windows.append([window.scene, window.window.row, window.window.col])
        return read(samples, window)

    def fit_four_times(network: Any, step: Any, loader: Any, validate: Any, fit: Fit) -> Progress:
        if fit.out != out:  # once more, on everything
            return fit_network(network, step, loader, validate, fit)
        untrained = {name: value.clone() for name, value in network.state_dict().items()}
        progress = fit_network(network, step, loader, validate, fit)
        (out.parent / f"windows-{fit.rank.index}.json").write_text(json.dumps(windows))

        def again(name: str, one_step: Any, *, resume: bool = False) -> None:
            other = nn.Sequential(make_tiny(3, network[-1].out_channels), nn.Dropout(0.5))
            other[0].load_state_dict(untrained)
            fit_network(other, one_step, loader, validate, replace(fit, out=out.parent / name, resume=resume))

        again("whole", step)
        with suppress(KeyboardInterrupt):
            again("cut", Interrupted(step, 3))
        distributed.barrier()  # the checkpoint is written
        again("cut", step, resume=True)
        return progress

    loop.fit_network, SceneSamples.read = fit_four_times, read_and_note  # type: ignore[method-assign]
    loop.draw_curves = lambda path, *_: path.touch()  # type: ignore[assignment]
    register_tiny()
    return train_segmentation(recipe, out, options)


def make_tiny(in_channels: int, num_classes: int) -> Any:
    """A network without batch normalisation, so that it does not matter which windows are computed together."""
    from torch import nn

    return nn.Sequential(nn.Conv2d(in_channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, num_classes, 1))


def register_tiny() -> None:
    """Registers the tiny network in this process."""
    from deepnets4eo.segmenters import networks

    networks._registered = lambda: {
        "tiny": SimpleNamespace(name="tiny", value="tiny:make", group="deepnets4eo.networks", load=lambda: make_tiny)
    }  # type: ignore


TASK = Task(train_and_resume)
