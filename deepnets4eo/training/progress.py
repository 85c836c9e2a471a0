"""Live progress of a training on stderr: a bar on a terminal, a log line per epoch elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger("deepnets4eo.training.job")


class EpochProgress(lightning.Callback):
    """Shows the batches of each epoch as they pass, then its loss and its monitored score."""

    def __init__(self, epochs: int, monitor: str) -> None:
        self.epochs, self.monitor = epochs, monitor
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), console=Console(stderr=True), disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self.task = self.bar.add_task("training", total=None)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Shows the bar."""
        self.bar.start()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Starts the bar of an epoch."""
        description = f"epoch {pl_module.epoch + 1}/{self.epochs}"
        self.bar.reset(self.task, total=trainer.num_training_batches, description=description)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves the bar by one batch."""
        self.bar.advance(self.task)

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Loss and score of the epoch that just ended."""
        score = row.get(self.monitor, float("nan"))
        line = f"epoch {row['epoch']:.0f}/{self.epochs}: loss {row['loss']:.4f}, {self.monitor} {score:.4f}"
        if self.bar.disable:
            log.info(line)
        else:
            self.bar.console.print(line)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Removes the bar, however the training ended."""
        self.bar.stop()
