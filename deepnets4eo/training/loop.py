"""The one optimisation loop, for any network and any loss: epochs, schedule, validation, checkpoints, resumption.

Takes a network, `step(network, batch) -> loss`, batches, and `validate(network) -> scores`; assumes no task.
Everything random is drawn anew from (seed, epoch), so a resumed training ends in the same bits as one that ran through.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.training.curves import draw_curves, write_log
from deepnets4eo.training.progress import EpochProgress
from deepnets4eo.training.recipe import TrainSection
from deepnets4eo.training.schedules import LR_FACTOR, build_optimizer, lr_factor
from deepnets4eo.training.state import load_state, read_scalars, save_state

log = logging.getLogger(__name__)

Batch = dict[str, Any]
Step = Callable[[nn.Module, Batch], Tensor]
Validate = Callable[[nn.Module], dict[str, float]]

CHECKPOINTS = "checkpoints"
REDRAW_S = 30.0  # a figure costs a third of a second: not after every short epoch
LAST, BEST = "last.safetensors", "best.safetensors"
LIGHTNING_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed"}

ERROR_HINTS = {  # torch's message for windows or batches that a network cannot take → what to do
    "more than 1 value per channel": "a batch of one window gives batch normalisation a single value to normalise. "
    "Set train.batch_size to 2 or more, or data.tile_px larger.",
    "Output size is too small": "the windows are too small for this network, whose coarsest maps vanish. "
    "Set data.tile_px larger, e.g. to 256.",
}


class Loader(Protocol):
    """Batches of one epoch; when it has `set_epoch(epoch)`, what it yields must follow from that number alone."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Fit:
    """How to fit: the train section, where to write, the recipe's identity, device ("cpu", "cuda"), precision."""

    train: TrainSection
    out: Path
    identity: str
    device: str = "cpu"
    precision: str = "float32"
    resume: bool = False

    def path(self, name: str) -> Path:
        """Where a checkpoint lies."""
        return self.out / CHECKPOINTS / name


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
        """The monitored score of an epoch; an undefined one counts as the worst."""
        value = self.history[epoch].get(monitor, math.nan) if epoch >= 0 else math.nan
        return -math.inf if math.isnan(value) else value


def fit_network(network: nn.Module, step: Step, loader: Loader, validate: Validate, fit: Fit) -> Progress:
    """Train `network` in place; returns the history. Afterwards it has the best (or last) epoch's weights.

    A row of the history has the epoch, the learning rate, the mean loss, the scores, `seconds`, validation included,
    and `busy`, the share of the training's seconds in which the network did not wait for data.
    Writes checkpoints/last.safetensors and best.safetensors, log.csv and curves.png under `fit.out` after each epoch.
    Errors: InputError for a loader without batches, RunError for a loss that is not finite or a foreign checkpoint.
    """
    if len(loader) == 0:
        raise InputError("the training data make no full batch. Lower train.batch_size or give more windows.")
    train, display = fit.train, EpochProgress(fit.train.epochs, fit.train.monitor)
    module = _Loop(network, step, loader, validate, fit, display)
    progress = module.progress
    if fit.resume and fit.path(LAST).exists():
        module.load_checkpoint(fit.path(LAST))
    left = 0 if _stops_early(progress, train) else train.epochs - progress.epochs_done
    if left > 0:
        with _quiet_lightning(), torch.random.fork_rng(devices=_gpus(fit.device)):
            network.train()
            _run(_trainer(fit, left, display), module)
    _draw(fit, progress)
    load_state(fit.path(BEST if train.keep == "best" else LAST), network)
    network.eval()
    return progress


def epoch_seed(seed: int, epoch: int) -> int:
    """An independent 32-bit seed for each epoch of a training."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


class _Loop(lightning.LightningModule):
    """Lightning's hooks around a network; epochs are counted over all resumptions."""

    def __init__(
        self, network: nn.Module, step: Step, loader: Loader, validate: Validate, fit: Fit, display: EpochProgress
    ) -> None:
        super().__init__()
        self.network, self.step, self.validate, self.loader = network, step, validate, loader
        self.learner = cast(nn.Module, torch.compile(network)) if fit.train.compile else network  # the same weights
        self.plan, self.display = fit, display
        self.progress = Progress()
        self.optimizer = build_optimizer(network, fit.train)
        self.first_epoch = 0
        self.started_s, self.drawn_s, self.loss_sum = 0.0, time.monotonic(), torch.zeros(())
        self.batches = _EpochBatches(loader, self)

    @property
    def epoch(self) -> int:
        """The epoch now, counted from 0 over all resumptions."""
        return self.first_epoch + int(self.current_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser; its rate is set at each step."""
        return self.optimizer

    def train_dataloader(self) -> Iterable[Batch]:
        """The batches of the epoch that runs when the first of them is read."""
        return self.batches

    def load_checkpoint(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe."""
        scalars = read_scalars(path)
        if scalars.get("identity") != self.plan.identity:
            raise RunError(
                f"{path} was made by another recipe ({scalars.get('identity')}, not {self.plan.identity}). "
                "Resume with the recipe it was started with, or train into another --out."
            )
        load_state(path, self.network, self.optimizer)
        self.progress.history.extend(
            {key: math.nan if value is None else value for key, value in row.items()} for row in scalars["history"]
        )
        self.progress.best = scalars["best"]
        self.first_epoch = self.progress.epochs_done

    def on_train_epoch_start(self) -> None:
        """Everything random in this epoch follows from (seed, epoch)."""
        torch.manual_seed(epoch_seed(self.plan.train.seed, self.epoch))
        self.network.train()
        self.started_s, self.loss_sum = time.perf_counter(), torch.zeros((), device=self.device)
        self.batches.waited_s = 0.0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """The learning rate is a function of the step."""
        done = self.epoch * len(self.loader) + batch_idx
        for group in self.optimizer.param_groups:
            factor = lr_factor(self.plan.train, done, len(self.loader))
            group["lr"] = self.plan.train.lr * group[LR_FACTOR] * factor

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        try:
            loss = self.step(self.learner, batch)
        except (ValueError, RuntimeError) as error:
            for message, hint in ERROR_HINTS.items():
                if message in str(error):
                    raise InputError(hint) from error
            raise
        self.loss_sum += loss.detach()
        return loss

    def on_train_epoch_end(self) -> None:
        """Validate, record, save; stop when patience ends."""
        loss = float(self.loss_sum) / len(self.loader)  # on a GPU this waits for the last step
        busy = 1 - self.batches.waited_s / max(time.perf_counter() - self.started_s, 1e-9)
        if not math.isfinite(loss):
            raise RunError(
                f"the loss became {loss} in epoch {self.epoch + 1}. Lower train.lr, or set train.clip_norm=1."
            )
        self.network.eval()
        with torch.no_grad(), self.trainer.precision_plugin.val_step_context():
            scores = self.validate(self.network)
        if self.plan.train.monitor not in scores:
            raise InputError(
                f"validation has the scores {', '.join(scores)}; train.monitor={self.plan.train.monitor} is none of them."
            )
        row = {"epoch": self.epoch + 1, "lr": self.optimizer.param_groups[0]["lr"], "loss": loss, **scores}
        seconds = time.perf_counter() - self.started_s
        self.progress.history.append(row | {"busy": round(busy, 4), "seconds": round(seconds, 3)})
        self._save()
        self.display.epoch_done(self.progress.history[-1])
        if _stops_early(self.progress, self.plan.train):
            log.info("no better %s for %d epochs: stopped", self.plan.train.monitor, self.plan.train.patience)
            self.trainer.should_stop = True

    def _save(self) -> None:
        progress, monitor = self.progress, self.plan.train.monitor
        now = progress.epochs_done - 1
        best = progress.score(progress.best, monitor)
        if best == -math.inf or progress.score(now, monitor) > best:
            progress.best = now
            save_state(self.plan.path(BEST), self.network, None, {"epoch": now, "identity": self._identity})
        scalars = {"identity": self._identity, "history": progress.history, "best": progress.best}
        save_state(self.plan.path(LAST), self.network, self.optimizer, scalars)
        write_log(self.plan.out / "log.csv", progress.history)
        if time.monotonic() - self.drawn_s > REDRAW_S:
            _draw(self.plan, progress)
            self.drawn_s = time.monotonic()

    @property
    def _identity(self) -> str:
        return self.plan.identity


def _draw(fit: Fit, progress: Progress) -> None:
    kept = progress.best_epoch if fit.train.keep == "best" else None
    draw_curves(fit.out / "curves.png", progress.history, kept)


class _EpochBatches:
    """Sets the epoch of the loader as late as possible: Lightning makes its iterators before the epoch begins.

    waited_s : seconds that the network had to wait for batches.
    """

    def __init__(self, loader: Loader, module: _Loop) -> None:
        self.loader, self.module, self.waited_s = loader, module, 0.0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(self.module.epoch)
        batches = iter(self.loader)
        while (batch := self._next(batches)) is not None:
            yield batch

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        started = time.perf_counter()
        batch = next(batches, None)
        self.waited_s += time.perf_counter() - started
        return batch


def _stops_early(progress: Progress, train: TrainSection) -> bool:
    without_gain = progress.epochs_done - progress.best_epoch
    return train.patience > 0 and progress.epochs_done > 0 and without_gain >= train.patience


def _run(trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
    """Raises KeyboardInterrupt on Ctrl-C: Lightning turns it into an exit of the process and ignores the next one."""
    main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module)
    except SystemExit as exit_:
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from exit_
    finally:
        if main_thread:
            signal.signal(signal.SIGINT, handler)


def _trainer(fit: Fit, epochs: int, display: EpochProgress) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="gpu" if fit.device.startswith("cuda") else fit.device,
        devices=_gpus(fit.device) or 1,
        precision=LIGHTNING_PRECISION[fit.precision],  # type: ignore[arg-type]
        max_epochs=epochs,
        gradient_clip_val=fit.train.clip_norm or None,
        callbacks=[display],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _gpus(device: str) -> list[int]:
    return [torch.device(device).index or 0] if device.startswith("cuda") else []


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's notes on hardware and workers, which do not concern the user of a verb."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(level)
