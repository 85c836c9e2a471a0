"""Live progress of a training on stderr: a bar on a terminal, log lines elsewhere.

Off a terminal there is a line per epoch, and within an epoch one after at most 30 s, once the step that runs has ended;
`heartbeat` logs one per minute if a step takes longer."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsFloat

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deepnets4eo.outputs import duration_text
from deepnets4eo.training.heartbeat import progress_drawn

log = logging.getLogger("deepnets4eo.training.job")

NEEDLESS = "(?s).*(find_unused_parameters=True|Grad strides do not match)"  # warnings of it that are of speed alone
LINE_S = 30.0  # off a terminal: longest silence
TIMED = (1, 3)  # steps between which the first estimate is measured: the first one is slower
WORTH_SAYING_S = 60.0


class EpochProgress:
    """A bar of each epoch's batches on the terminal, then its loss and its monitored score."""

    def __init__(
        self, epochs: int, monitor: str, clock: Callable[[], float] = time.monotonic, *, visible: bool = True
    ) -> None:
        self.epochs, self.monitor, self.clock, self.visible = epochs, monitor, clock, visible
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), console=Console(stderr=True), disable=not (visible and sys.stderr.isatty()),
        )  # fmt: skip
        self.task = self.bar.add_task("training", total=None)
        self.started_s = self.shown_s = self.timed_s = clock()
        self.steps, self.epoch, self.of = 0, 0, 0

    def __enter__(self) -> EpochProgress:
        self.bar.start()
        self.started_s = self.shown_s = self.clock()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def begin_epoch(self, epoch: int, steps: int, done: int) -> None:
        """Start the bar of an epoch, from 1, with `steps` steps; `done` of them were done before."""
        self.epoch, self.of = epoch, steps
        self.bar.reset(self.task, total=steps, completed=done, description=f"epoch {epoch}/{self.epochs}")

    def step_done(self, step: int, loss_sum: SupportsFloat) -> None:
        """Advance the bar by one batch, or log a line if the last one is old."""
        self.steps += 1
        left = (self.epochs - self.epoch) * self.of + self.of - step
        seconds = (self.clock() - self.started_s) / self.steps * left
        in_all = f", about {duration_text(seconds)} left in all" if self.steps >= TIMED[1] else ""
        self.bar.update(self.task, advance=1, description=f"epoch {self.epoch}/{self.epochs}{in_all}")
        if not self.bar.disable:
            progress_drawn()
        self._estimate(left, loss_sum)
        if not self._is_due():
            return
        loss = float(loss_sum) / step  # on a GPU this waits for the step
        self._log(f"step {step}/{self.of}: loss {loss:.4f}, about {duration_text(seconds)} left")

    def show_validation(self) -> None:
        """Log during validation that it continues, if the last line is old."""
        if self._is_due():
            self._log("validation")

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Loss and score of the epoch that just ended."""
        if not self.visible:
            return
        score = row.get(self.monitor, math.nan)
        line = f"epoch {row['epoch']:.0f}/{self.epochs}: loss {row['loss']:.4f}, "
        line += f"no {self.monitor}" if math.isnan(score) else f"{self.monitor} {score:.4f}"
        self._print(line)
        self.shown_s = self.clock()

    def _estimate(self, left: int, loss_sum: SupportsFloat) -> None:
        """Report early how long the whole training takes, if it takes long."""
        if self.steps not in TIMED or not self.visible:
            return
        float(loss_sum)  # on a GPU this waits for the step
        before, self.timed_s = self.timed_s, self.clock()
        seconds = (self.timed_s - before) / (TIMED[1] - TIMED[0]) * left
        if self.steps == TIMED[1] and seconds >= WORTH_SAYING_S:
            self._print(
                f"{left:,} more steps: about {duration_text(seconds)} on this computer, without validation. For fewer: --set "
                f"train.epochs={max(self.epochs // 2, 1)}, or data.windows_per_epoch."
            )

    def _print(self, line: str) -> None:
        if self.bar.disable:
            log.info(line)
        else:
            self.bar.console.print(line)

    def _is_due(self) -> bool:
        return self.visible and self.bar.disable and self.clock() - self.shown_s >= LINE_S

    def _log(self, text: str) -> None:
        log.info(f"epoch {self.epoch}/{self.epochs}, {text}")
        self.shown_s = self.clock()


@contextmanager
def quiet_processes() -> Iterator[None]:
    """Suppress warnings of several processes that only concern speed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NEEDLESS)
        yield


LogRow = Callable[[Mapping[str, float], int], object]


@contextmanager
def open_logger(name: str, out: Path) -> Iterator[LogRow | None]:
    """Open the logger with this recipe name, which keeps (row, epoch from 0) in a folder of the run; None for "csv"."""
    openers = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb-offline": _wandb}
    if name not in openers:
        yield None
        return
    with contextmanager(openers[name])(out) as log_row:
        yield log_row


def _tensorboard(out: Path) -> Iterator[LogRow]:
    from tensorboardX import SummaryWriter

    def log_row(row: Mapping[str, float], epoch: int) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, epoch)

    with SummaryWriter(str(out / "tensorboard")) as writer:
        yield log_row


def _mlflow(out: Path) -> Iterator[LogRow]:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(f"sqlite:///{(out / 'mlflow.db').resolve()}")
    known = client.get_experiment_by_name(out.name)
    run = client.create_run(known.experiment_id if known else client.create_experiment(out.name)).info.run_id

    def log_row(row: Mapping[str, float], epoch: int) -> None:
        now_ms = int(1000 * time.time())
        client.log_batch(run, metrics=[Metric(name, value, now_ms, epoch) for name, value in row.items()])

    ended = "FAILED"
    try:
        yield log_row
        ended = "FINISHED"
    finally:
        client.set_terminated(run, ended)


def _wandb(out: Path) -> Iterator[LogRow]:
    import wandb

    with wandb.init(project="deepnets4eo", name=out.name, dir=str(out), mode="offline") as run:
        yield lambda row, epoch: run.log(dict(row), step=epoch)
