"""Live progress of a training on stderr: a bar on a terminal, log lines elsewhere.

Off a terminal there is a line per epoch, and within an epoch one after at most 30 s, once the step that runs has ended."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deepnets4eo.outputs.findings import duration_text

log = logging.getLogger("deepnets4eo.training.job")

NEEDLESS = "(?s).*(find_unused_parameters=True|Grad strides do not match)"  # warnings of it that are of speed alone
LINE_S = 30.0  # off a terminal: longest silence


class EpochProgress(lightning.Callback):
    """Shows the batches of each epoch as they pass, then its loss and its monitored score."""

    def __init__(self, epochs: int, monitor: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.epochs, self.monitor, self.clock = epochs, monitor, clock
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), console=Console(stderr=True), disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self.task = self.bar.add_task("training", total=None)
        self.started_s = self.shown_s = clock()
        self.steps, self.epoch = 0, 0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Shows the bar."""
        self.bar.start()
        self.started_s = self.shown_s = self.clock()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Starts the bar of an epoch."""
        self.epoch = pl_module.epoch + 1
        description = f"epoch {self.epoch}/{self.epochs}"
        total, done = trainer.num_training_batches, pl_module.steps_before
        self.bar.reset(self.task, total=total, completed=done, description=description)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves the bar by one batch, or logs a line where the last one is old."""
        self.bar.advance(self.task)
        self.steps += 1
        if not self._is_due():
            return
        step, of = pl_module.steps_before + batch_idx + 1, trainer.num_training_batches
        left = (self.epochs - self.epoch) * of + of - step
        seconds = (self.clock() - self.started_s) / self.steps * left
        loss = float(pl_module.loss_sum) / step  # on a GPU this waits for the step
        self._log(f"step {step}/{of}: loss {loss:.4f}, about {duration_text(seconds)} left")

    def show_validation(self) -> None:
        """Logs during validation that it goes on, where the last line is old."""
        if self._is_due():
            self._log("validation")

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Loss and score of the epoch that just ended."""
        score = row.get(self.monitor, math.nan)
        line = f"epoch {row['epoch']:.0f}/{self.epochs}: loss {row['loss']:.4f}, "
        line += f"no {self.monitor}" if math.isnan(score) else f"{self.monitor} {score:.4f}"
        if self.bar.disable:
            log.info(line)
            self.shown_s = self.clock()
        else:
            self.bar.console.print(line)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Removes the bar, however the training ended."""
        self.bar.stop()

    def _is_due(self) -> bool:
        return self.bar.disable and self.clock() - self.shown_s >= LINE_S

    def _log(self, text: str) -> None:
        log.info(f"epoch {self.epoch}/{self.epochs}, {text}")
        self.shown_s = self.clock()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's notes on hardware and workers, which do not concern the user of a verb."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", NEEDLESS)
            yield
    finally:
        logger.setLevel(level)
