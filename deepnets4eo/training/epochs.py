"""Settings of a training, its progress, and early stopping; names of its checkpoints.

Takes no network and no batch: plain values, for the loop and its callers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import TrainSection

if TYPE_CHECKING:
    from torch import Tensor

WITHHELD_LOSS = "val_loss"


class Checkpoint:
    """Names of the checkpoints of a training, and their folder in the run."""

    folder: ClassVar[str] = "checkpoints"
    last: ClassVar[str] = "last.safetensors"
    best: ClassVar[str] = "best.safetensors"


def checkpoint(folder: Path, name: str = Checkpoint.last) -> Path:
    """Return the path of a checkpoint of a training into a folder."""
    return folder / Checkpoint.folder / name


class Remembering(Protocol):
    """A criterion whose loss depends on earlier batches: plain values that a checkpoint keeps."""

    def count_together(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Remember the mean over all processes, so that their values are equal and all processes can use the checkpoint of one."""

    def state(self) -> Any:
        """Return what is kept of earlier batches."""

    def restore(self, values: Any) -> None:
        """Continue with what was kept."""


@dataclass(frozen=True)
class Fit:
    """Settings of a fit, and its output. `minutes` and `epochs` limit all resumptions together; `finish`: only take earlier weights; `memory`: a criterion that remembers."""

    train: TrainSection
    out: Path
    identity: str
    device: str = "cpu"
    precision: str = "float32"
    resume: bool = False
    rank: Rank = Rank()
    minutes: float | None = None
    epochs: int | None = None
    finish: bool = False
    memory: Remembering | None = None

    @property
    def last_epoch(self) -> int:
        """The epoch that the training ends with, counted from 1."""
        return min(self.train.epochs, self.epochs or self.train.epochs)

    def path(self, name: str) -> Path:
        """Return the path of a checkpoint."""
        return checkpoint(self.out, name)

    def choose_weights(self, progress: Progress) -> str:
        """Return which weights a training ends with, "best" or "last": the last ones also if no epoch was scored yet."""
        return self.train.keep if progress.epochs_done else "last"


@dataclass
class Progress:
    """One row of numbers per epoch so far, and the index of the best of them (-1: none yet)."""

    history: list[dict[str, float]] = field(default_factory=list)
    best: int = -1

    @property
    def best_epoch(self) -> int:
        """The epoch that scored best, counted from 1 as in the log; 0: none yet."""
        return self.best + 1

    @property
    def epochs_done(self) -> int:
        """Epochs completed, over all resumptions."""
        return len(self.history)

    def score(self, epoch: int, monitor: str) -> float:
        """Return the monitored score of an epoch, -inf if it is undefined."""
        value = self.history[epoch].get(monitor, math.nan)
        return -math.inf if math.isnan(value) else value

    def lacks(self, monitor: str) -> bool:
        """Return whether an epoch lacks the score: the withheld part then lacks the class, and other zeros are false alarms."""
        return any(math.isnan(row.get(monitor, math.nan)) for row in self.history)

    def last_is_best(self, monitor: str) -> bool:
        """Return whether to keep the epoch that just ended: by its score, else by the withheld loss, else always.

        An epoch is not kept if it lacks a loss that the best epoch has."""
        if self.best < 0:
            return True
        last, best = len(self.history) - 1, self.best
        loss, least = (self.history[epoch].get(WITHHELD_LOSS, math.nan) for epoch in (last, best))
        if math.isnan(loss) and not math.isnan(least):
            return False
        if self.lacks(monitor) and not math.isnan(loss):
            return not loss >= least
        score, highest = self.score(last, monitor), self.score(best, monitor)
        undefined_is_no_worse = highest in (0, -math.inf)  # a zero beside undefined scores is of false alarms
        return score > highest or (score == -math.inf and undefined_is_no_worse)


def say_how_far(progress: Progress, fit: Fit) -> str:
    """Describe in words how far a training came that was finished before its time; "" for a complete one."""
    if not fit.finish or progress.epochs_done >= fit.last_epoch or stops_early(progress, fit):
        return ""
    return f"{progress.epochs_done} of {fit.last_epoch} epochs"


def stops_early(progress: Progress, fit: Fit) -> str:
    """Return the reason why a training ends before its last epoch; "" if it does not."""
    train, without_gain = fit.train, progress.epochs_done - progress.best_epoch
    if not progress.epochs_done:
        return ""
    if fit.minutes is not None and sum(row["seconds"] for row in progress.history) >= 60 * fit.minutes:
        return f"{fit.minutes:g} minutes are over"
    if train.patience > 0 and without_gain >= train.patience:
        return f"no better {train.monitor} for {train.patience} epochs"
    return ""
