"""The one optimisation loop, for any network and loss: epochs, schedule, validation, checkpoints, resumption.

Everything random follows from (seed, epoch, step), so a resumed training ends in the same bits. Several processes
(`training.ranks`) average their gradients; only the first writes.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from deepnets4eo.device import cudnn_settings, keep_freed_memory
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.segmenters import RunFolder
from deepnets4eo.segmenters.history import draw_curves, write_log
from deepnets4eo.training.batches import Batch, EpochBatches, Loader
from deepnets4eo.training.epochs import WITHHELD_LOSS, Checkpoint, Fit, Progress, say_how_far, stops_early
from deepnets4eo.training.optimization import (
    LR_FACTOR,
    PullToStart,
    build_optimizer,
    keep_statistics,
    lr_factor,
    mean_weights,
    set_mean_weights,
    update_mean_weights,
)
from deepnets4eo.training.progress import EpochProgress, open_logger, quiet_processes
from deepnets4eo.training.state import load_state, read_scalars, save_state

log = logging.getLogger(__name__)
Step = Callable[[nn.Module, Batch], Tensor]
Validate = Callable[[nn.Module], dict[str, float]]
NOTHING = "nothing yet"  # kept of a training that has just begun
REDRAW_S = 30.0  # a figure costs a third of a second: not after every short epoch
ERROR_HINTS = {  # torch's message for windows or batches that a network cannot take → what to do
    "more than 1 value per channel": "a batch of one window gives batch normalisation a single value to normalise. "
    "Set train.batch_size to 2 or more, or data.tile_px larger.",
    "Output size is too small": "the windows are too small for this network, whose coarsest maps vanish. "
    "Set data.tile_px larger, e.g. to 256.",
}


def fit_network(network: nn.Module, step: Step, loader: Loader, validate: Validate, fit: Fit) -> Progress:
    """Train `network` in place to its best (or last) epoch's weights; return the history, one row per epoch.

    After each epoch checkpoints, log.csv and curves.png are written under `fit.out`, by the first process, which is the only one to
    validate.
    """
    if len(loader) == 0:
        raise InputError("the training data make no full batch. Lower train.batch_size or give more windows.")
    train, loop = fit.train, _Loop(network, step, loader, validate, fit)
    progress = loop.progress
    if fit.resume and fit.path(Checkpoint.last).exists():
        loop.load_checkpoint(fit.path(Checkpoint.last))
    elif fit.finish:
        raise RunError(f"{fit.out} has no checkpoint: there is nothing to finish. Train it with --resume alone.")
    left = 0 if fit.finish or stops_early(progress, fit) else fit.last_epoch - progress.epochs_done
    if left > 0:
        deterministic = cudnn_settings(deterministic=train.deterministic)
        normalisation = synchronised_normalisation(network, shared=fit.rank.count > 1 and fit.device.startswith("cuda"))
        gpus = [torch.device(fit.device).index or 0] if fit.device.startswith("cuda") else []
        draws = torch.random.fork_rng(devices=gpus)
        with quiet_processes(), draws, deterministic, normalisation, keep_freed_memory():
            loop.run(left)
    if fit.rank.is_first:
        kept = fit.choose_weights(progress)
        if progress.history:
            _draw(fit, progress)
        if how_far := say_how_far(progress, fit):
            of_epoch = f"of epoch {progress.best_epoch}, the best" if kept == "best" else "the last ones"
            log.warning("finished after %s (kept: %s); the weights are %s.", how_far, loop.kept, of_epoch)
        load_state(fit.path(Checkpoint.best if kept == "best" else Checkpoint.last), network)
        if train.average and kept == "last":
            set_mean_weights(network, loop.optimizer)
    network.eval()
    return progress


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the CPU and the GPU that is trained on; `torch.manual_seed` would seed all other devices too (2 ms)."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


class _Loop:
    """A training that runs: epochs are counted over all resumptions."""

    def __init__(self, network: nn.Module, step: Step, loader: Loader, validate: Validate, fit: Fit) -> None:
        self.device = torch.device(fit.device)
        self.network, self.step, self.validate, self.loader = network.to(self.device), step, validate, loader
        self.learner = cast(nn.Module, torch.compile(network)) if fit.train.compile else network  # the same weights
        self.loss_of_batch: Callable[[Batch], Tensor] = partial(step, self.learner)
        if fit.memory is not None:
            fit.memory.count_together(fit.rank.mean)
        self.plan, self.progress = fit, Progress()
        self.display = EpochProgress(fit.last_epoch, fit.train.monitor, visible=fit.rank.is_first)
        self.optimizer, self.scaler = build_optimizer(network, fit.train), _scaler(fit)
        self.pull = PullToStart(network, fit.train.pull_to_start) if fit.train.pull_to_start else None
        self.started_s, self.drawn_s, self.loss_sum = 0.0, time.monotonic(), torch.zeros(())
        self.batches = EpochBatches(loader, self)
        self.interruption, self.kept = Interruption(), NOTHING
        self.steps, self.steps_before = 0, 0  # of this epoch: done, and of these before this training was resumed
        self.within: dict[str, Any] = {}  # what an interrupted epoch goes on with

    @property
    def epoch(self) -> int:
        """The epoch now, counted from 0 over all resumptions."""
        return self.progress.epochs_done

    def run(self, epochs: int) -> None:
        """Train for that many epochs, or fewer if training ends early; raise KeyboardInterrupt on Ctrl-C."""
        if self.plan.rank.count > 1:
            self.loss_of_batch = share_step(self.learner, self.step, self.device)
        if self.scaler is not None and "scaler" in self.within:
            self.scaler.load_state_dict(self.within["scaler"])
        logger = open_logger(self.plan.train.logger, self.plan.out) if self.plan.rank.is_first else nullcontext(None)
        with self.interruption.watch(), self.display, logger as log_row:
            try:
                for _ in range(epochs):
                    row = self._run_epoch()
                    if log_row:
                        log_row(row, self.progress.epochs_done - 1)
                    if reason := stops_early(self.progress, self.plan):
                        log.info("%s: stopped", reason)
                        break
            except KeyboardInterrupt:
                how = "" if self.plan.resume else " with --resume"
                flags = "--finish" if self.plan.resume else "--resume --finish"
                end = "" if self.kept == NOTHING else f" To end here and use what was learnt: with {flags}."
                log.warning("training stopped; kept: %s. To go on: the same command%s.%s", self.kept, how, end)
                raise

    def _run_epoch(self) -> dict[str, float]:
        self._begin_epoch()
        for batch in self.batches:
            self._learn(batch)
            self.steps += 1
            self.display.step_done(self.steps, self.loss_sum)
            if self.plan.train.average:
                done = self.epoch * len(self.loader) + self.steps
                update_mean_weights(self.network, self.optimizer, self.plan.train.average, done)
            self._stop_if_requested()
        return self._end_epoch()

    def load_checkpoint(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe."""
        scalars = read_scalars(path)
        if scalars.get("identity") != self.plan.identity:
            raise RunError(
                f"{path} was made by another recipe ({scalars.get('identity')}, not {self.plan.identity}). "
                "Resume with the recipe it was started with (with train.batch_size=0 on the same kind of device), or train "
                "into another --out."
            )
        load_state(path, self.network, self.optimizer)
        self.progress.history.extend(
            {key: math.nan if value is None else value for key, value in row.items()} for row in scalars["history"]
        )
        self.progress.best = scalars["best"]
        self.within = scalars.get("within", {})
        if self.plan.memory is not None and "criterion" in scalars:
            self.plan.memory.restore(scalars["criterion"])
        self.steps_before = self.steps = self.within.get("steps", 0)
        self.kept = self._describe()

    def _begin_epoch(self) -> None:
        """Begin an epoch, or continue one that was interrupted."""
        within, self.within = self.within, {}
        if self.steps:
            self._set_rate(self.steps - 1)
        self.network.train()
        if self.plan.train.keep_statistics:
            keep_statistics(self.network)
        self.started_s = time.perf_counter() - within.get("seconds", 0.0)
        self.loss_sum = torch.tensor(within.get("loss_sum", 0.0), device=self.device)
        self.batches.waited_s = within.get("waited_s", 0.0)
        self.display.begin_epoch(self.epoch + 1, len(self.loader), self.steps_before)

    def _learn(self, batch: Batch) -> None:
        """One step; the learning rate and everything random are functions of its number."""
        numbers = self.plan.train.seed, self.epoch, self.steps, self.plan.rank.index
        seed_torch(int(np.random.SeedSequence(numbers).generate_state(1)[0]), self.device)
        self._set_rate(self.steps)
        with self._precision():
            loss = self._loss(batch)
        self.optimizer.zero_grad()
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.pull is not None:
            self.pull.add_gradient()
        if self.plan.train.clip_norm:
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.plan.train.clip_norm)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def _precision(self) -> AbstractContextManager[Any]:
        """Without a cache: gradients of a weight that is used twice are added in float32."""
        if self.plan.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.plan.precision), cache_enabled=False)

    def _set_rate(self, step: int) -> None:
        done = self.epoch * len(self.loader) + step
        scores = [self.progress.score(epoch, self.plan.train.monitor) for epoch in range(self.epoch)]
        for group in self.optimizer.param_groups:
            factor = lr_factor(self.plan.train, done, len(self.loader), scores)
            group["lr"] = self.plan.train.lr * group[LR_FACTOR] * factor

    def _loss(self, batch: Batch) -> Tensor:
        try:
            loss = self.loss_of_batch(batch)
        except (ValueError, RuntimeError) as error:
            for message, hint in ERROR_HINTS.items():
                if message in str(error):
                    raise InputError(hint) from error
            raise
        self.loss_sum += self.plan.rank.mean(loss.detach())
        return loss

    def _end_epoch(self) -> dict[str, float]:
        """Validate, record, save; returns the row for loggers."""
        loss = float(self.loss_sum) / len(self.loader)  # on a GPU this waits for the last step
        busy = 1 - self.batches.waited_s / max(time.perf_counter() - self.started_s, 1e-9)
        if not math.isfinite(loss):
            raise RunError(
                f"the loss became {loss} in epoch {self.epoch + 1}. Lower train.lr, or set train.clip_norm=1."
            )
        scores = self._scores()
        row = {"epoch": self.epoch + 1, "lr": self.optimizer.param_groups[0]["lr"], "loss": loss, **scores}
        seconds = time.perf_counter() - self.started_s
        self.progress.history.append(row | {"busy": round(busy, 4), "seconds": round(seconds, 3)})
        self.steps = self.steps_before = 0
        self._save()
        self.display.epoch_done(self.progress.history[-1])
        return row

    def _kept_weights(self) -> AbstractContextManager[None]:
        return mean_weights(self.network, self.optimizer) if self.plan.train.average else nullcontext()

    def _scores(self) -> dict[str, float]:
        """Return the scores of the epoch; only the deciding scores if another process validates."""
        rank, monitor = self.plan.rank, str(self.plan.train.monitor)
        scores = self._validate_epoch() if rank.is_first else {monitor: math.nan}
        if monitor not in scores:
            raise InputError(
                f"validation has the scores {', '.join(scores)}; train.monitor={monitor} is none of them. Choose one of them."
            )
        shared = {
            name: rank.from_first(scores.get(name, math.nan), self.plan.device) for name in (monitor, WITHHELD_LOSS)
        }
        if len(scores) > 1 and math.isnan(shared[monitor]) and not self.progress.lacks(monitor):
            by = "the last epoch" if math.isnan(shared[WITHHELD_LOSS]) else "the epoch of the lowest loss there"
            log.warning(
                "%s is undefined: what is withheld shows nothing that it counts, so %s is kept. Withhold some of it: "
                "data.val_share, data.val_scenes, or another data.split_seed.", monitor, by,
            )  # fmt: skip
        return scores | {name: value for name, value in shared.items() if name in scores or not rank.is_first}

    def _validate_epoch(self) -> dict[str, float]:
        """Compute the scores of the epoch's weights; each forward pass shows progress and may end the training."""

        def after_pass(*_: object) -> None:
            self.display.show_validation()
            if self._stops:
                raise KeyboardInterrupt

        self.network.eval()
        hook = self.network.register_forward_hook(after_pass)
        try:
            with self._kept_weights(), torch.no_grad(), self._precision():
                return self.validate(self.network)
        except KeyboardInterrupt:
            self._stop_if_requested()  # here the network has the weights that go on learning again, not their mean
            raise
        finally:
            hook.remove()

    @property
    def _stops(self) -> bool:
        return self.interruption.requested and self.plan.rank.is_first

    def _stop_if_requested(self) -> None:
        if not self._stops:
            return
        within = {
            "steps": self.steps,
            "loss_sum": float(self.loss_sum),
            "seconds": time.perf_counter() - self.started_s,
            "waited_s": self.batches.waited_s,
        }
        self._save_last(within)
        raise KeyboardInterrupt

    def _save(self) -> None:
        progress, monitor = self.progress, self.plan.train.monitor
        now = progress.epochs_done - 1
        if progress.last_is_best(monitor):
            progress.best = now
            if self.plan.rank.is_first:
                with self._kept_weights():
                    save_state(
                        self.plan.path(Checkpoint.best),
                        self.network,
                        None,
                        {"epoch": now, "identity": self.plan.identity},
                    )
        if not self.plan.rank.is_first:
            return
        self._save_last({})
        write_log(RunFolder(self.plan.out).log, progress.history)
        if time.monotonic() - self.drawn_s > REDRAW_S:
            _draw(self.plan, progress)
            self.drawn_s = time.monotonic()

    def _save_last(self, within: dict[str, Any]) -> None:
        if self.scaler is not None:
            within = within | {"scaler": self.scaler.state_dict()}
        scalars = {"identity": self.plan.identity, "history": self.progress.history, "best": self.progress.best}
        if self.plan.memory is not None:
            scalars["criterion"] = self.plan.memory.state()
        save_state(self.plan.path(Checkpoint.last), self.network, self.optimizer, scalars | {"within": within})
        self.kept = self._describe()

    def _describe(self) -> str:
        """Describe in words the content of the last checkpoint."""
        done = self.progress.epochs_done
        if self.steps:
            return f"everything up to step {self.steps} of {len(self.loader)} in epoch {done + 1}"
        return f"epochs 1 to {done}" if done > 1 else "epoch 1"


def _draw(fit: Fit, progress: Progress) -> None:
    kept = progress.best_epoch if fit.train.keep == "best" else None
    draw_curves(fit.out / "curves.png", progress.history, kept)


def _scaler(fit: Fit) -> torch.amp.GradScaler | None:
    """Return the scaler that keeps gradients of float16 within its range; None for other precisions."""
    return torch.amp.GradScaler(torch.device(fit.device).type) if fit.precision == "float16" else None


class Interruption:
    """Stop signal of a training: `requested` is True once Ctrl-C was pressed within `watch`."""

    def __init__(self) -> None:
        self.requested = False

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Note the first Ctrl-C within the context, in the main thread; the second raises KeyboardInterrupt."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        with contextlib.suppress(RuntimeError):  # the signal came while another line was being written
            log.warning("interrupted: the step is finished and saved first. Press Ctrl-C again to stop at once.")


class _StepModule(nn.Module):
    """A step as a module, so that everything it computes is seen, whichever methods of the network it calls."""

    def __init__(self, network: nn.Module, step: Callable[[nn.Module, Batch], Tensor]) -> None:
        super().__init__()
        self.network, self.step = network, step

    def forward(self, batch: Batch) -> Tensor:
        return self.step(self.network, batch)


def share_step(
    network: nn.Module, step: Callable[[nn.Module, Batch], Tensor], device: torch.device
) -> Callable[[Batch], Tensor]:
    """batch → loss of this process's share; its backward pass leaves the mean gradient of all processes."""
    shared = DistributedDataParallel(
        _StepModule(network, step),
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=True,  # some encoders have weights that no output depends on
    )

    def loss_of_batch(batch: Batch) -> Tensor:
        loss: Tensor = shared(batch)
        return loss

    return loss_of_batch


@contextmanager
def synchronised_normalisation(network: nn.Module, *, shared: bool) -> Iterator[None]:
    """Let batch normalisation count the windows of all processes within the context, where `shared`."""
    modules = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    if shared:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    try:
        yield
    finally:
        for name, module in modules.items() if shared else ():
            parent, _, child = name.rpartition(".")
            owner: Any = network.get_submodule(parent)
            owner._modules[child] = module
