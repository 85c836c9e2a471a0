"""The rows of log.csv a second time, for programs that compare trainings; nothing goes online."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LogRow = Callable[[Mapping[str, float], int], object]


@contextmanager
def open_logger(name: str, out: Path) -> Iterator[LogRow | None]:
    """What keeps (row, epoch from 0) in a folder of the run, by the name in the recipe; None for "csv"."""
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
