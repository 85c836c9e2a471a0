"""Optimisation of weights: the learning rate of each step, the optimiser, and the running mean of weights (Polyak and Juditsky 1992).

The rate follows only from the step and earlier scores; the statistics of batch normalisation are averaged in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.units import InUnits
from deepnets4eo.training.recipe import TrainSection

LR_FACTOR = "lr_factor"  # key of an optimiser's group
MEAN = "mean_"  # before the name of what is averaged, in the optimiser's state
FIRST_STEPS = 40  # without a mean: statistics of normalisation follow 10 steps late while weights still change fast
PARTS = 10  # the mean is over a tenth of the steps after these at most


def lr_factor(train: TrainSection, step: int, steps_per_epoch: int, scores: Sequence[float] = ()) -> float:
    """Return the factor 0–1 on the learning rate at a step from 0.

    poly: (1 - s)^power (Liu 2015); one_cycle: a cosine to 1/100 000 (Smith 2018); cosine: cos(7/16 π s) (Sohn 2020).
    """
    total = train.epochs * steps_per_epoch
    if train.schedule == "step":
        falls = train.step_epochs or (round(train.epochs * 0.6), round(train.epochs * 0.85))
        return train.step_factor ** sum(step // steps_per_epoch >= epoch for epoch in falls)
    if train.schedule == "plateau":
        return train.step_factor ** _plateaus(train, scores)
    if train.schedule == "exponential":
        return train.step_factor ** (step // steps_per_epoch)
    warmup = round(train.warmup_share * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(total - warmup, 1)
    if train.schedule == "poly":
        return (1 - done) ** train.poly_power
    if train.schedule == "one_cycle":
        return max(0.5 * (1 + math.cos(math.pi * done)), 1e-5)
    if train.schedule == "cosine":
        return math.cos(7 / 16 * math.pi * done)
    return 1.0


def _plateaus(train: TrainSection, scores: Sequence[float]) -> int:
    """Count how often the score did not rise for longer than the patience; epochs with undefined scores (−inf) are skipped."""
    patience = train.epochs // 4 if train.plateau_epochs is None else train.plateau_epochs
    best, waited, falls = -math.inf, 0, 0
    for score in scores:
        if not math.isfinite(score):
            continue
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited > patience:
            falls, waited = falls + 1, 0
    return falls


def build_optimizer(network: nn.Module, train: TrainSection) -> Optimizer:
    """Build the recipe's optimiser; the encoder's groups have "lr_factor" if its rate differs; InputError without encoder.

    Weights that are pulled to their start are not pulled to 0 as well.
    """
    slower = encoder_parameters(network, "encoder_lr_factor", 1) if train.encoder_lr_factor != 1 else set()
    pulled = set(pulled_weights(network)) if train.pull_to_start else set()
    groups = [
        {"params": params, "weight_decay": decay, "lr": train.lr * factor, LR_FACTOR: factor}
        for factor, of_encoder in ((1.0, False), (train.encoder_lr_factor, True))
        for decay, decayed in ((train.weight_decay, True), (0.0, False))
        if (params := [
            value
            for value in network.parameters()
            if value.requires_grad and (value in slower) == of_encoder
            and ((value.ndim > 1 or train.decay == "all") and value not in pulled) == decayed
        ])
    ]  # fmt: skip
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=train.lr, momentum=train.momentum)
    kinds = {
        "adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad,
        "adadelta": torch.optim.Adadelta,
    }  # fmt: skip
    return kinds[train.optimizer](groups, lr=train.lr)


def encoder_parameters(network: nn.Module, key: str, usual: object) -> set[nn.Parameter]:
    """Return the parameters of the network's encoder: from `encoder_parameters()`, else all of its part `encoder`.

    key : of the section train, which has no effect without an encoder. usual : its value in that case."""
    network = network.network if isinstance(network, InUnits) else network
    named = getattr(network, "encoder_parameters", None) or getattr(
        getattr(network, "encoder", None), "parameters", None
    )
    if named is None:
        raise InputError(
            f"{type(network).__name__} has no part named encoder, so train.{key} means nothing to it. Set it to {usual}."
        )
    return set(named())


def pulled_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the trainable weights of the encoder, in the order of the network."""
    encoder = encoder_parameters(network, "pull_to_start", 0)
    return [value for value in network.parameters() if value in encoder and value.requires_grad]


def keep_statistics(network: nn.Module) -> None:
    """Set batch normalisation of the encoder so that it takes the means and variances it has, and leaves them as they are."""
    encoder = encoder_parameters(network, "keep_statistics", "false")
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.weight in encoder:
            module.eval()


class PullToStart:
    """Pulls the weights of the encoder back to those it starts with: L2-SP (Li et al. 2018).

    The penalty strength / 2 · Σ (w − w₀)² of the loss, as what it adds to the gradients.

    network : as it starts; a training that continues builds it from the same first weights, before it reads its
        checkpoint
    """

    def __init__(self, network: nn.Module, strength: float) -> None:
        self.weights, self.strength = pulled_weights(network), strength
        self.starts = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add the gradient of the penalty to those that the weights have; those without one do not move."""
        for weight, start in zip(self.weights, self.starts, strict=True):
            if weight.grad is not None:
                weight.grad.add_(weight - start, alpha=self.strength)


class _Averaged(NamedTuple):
    """A tensor of the network, and where its mean is kept."""

    value: Tensor
    state: dict[str, Any]
    key: str


@torch.no_grad()
def update_mean_weights(network: nn.Module, optimizer: Optimizer, keep: float, steps: int) -> None:
    """Move the mean of every learnt weight towards its value, `keep` of the mean staying; up to `FIRST_STEPS` it is the weights."""
    later = max(steps - FIRST_STEPS, 0)
    keep = min(keep, later / (later + PARTS))
    averaged = _averaged(network, optimizer)
    means = [state.setdefault(key, value.detach().clone()) for value, state, key in averaged]
    torch._foreach_lerp_(means, [weight.value for weight in averaged], 1 - keep)


@contextmanager
def mean_weights(network: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Give the network its mean weights within the context, or keep its own if there are no means."""
    averaged = _averaged(network, optimizer)
    own = [weight.value.detach().clone() for weight in averaged]
    set_mean_weights(network, optimizer)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(averaged, own, strict=True):
                weight.value.copy_(value)


@torch.no_grad()
def set_mean_weights(network: nn.Module, optimizer: Optimizer) -> None:
    """Set the weights of a network to their means if there are any."""
    for value, state, key in _averaged(network, optimizer):
        if key in state:
            value.copy_(state[key])


def _averaged(network: nn.Module, optimizer: Optimizer) -> list[_Averaged]:
    """Weights that had a step, and the statistics of normalisation with such weights."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"] if _had_step(weight, optimizer)]
    averaged = [_Averaged(weight, optimizer.state[weight], f"{MEAN}weight") for weight in weights]
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.weight is not None and _had_step(module.weight, optimizer):
            state = optimizer.state[module.weight]
            for name in ("running_mean", "running_var"):
                statistic = getattr(module, name)
                averaged += [] if statistic is None else [_Averaged(statistic, state, MEAN + name)]
    return averaged


def _had_step(weight: Tensor, optimizer: Optimizer) -> bool:
    """Return whether a weight takes part; others have neither state nor gradient, and SGD without momentum keeps no state."""
    return bool(optimizer.state.get(weight)) or weight.grad is not None
