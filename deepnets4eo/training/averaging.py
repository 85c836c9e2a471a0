"""The running mean of the weights over the steps of a training (Polyak and Juditsky 1992), kept with the optimiser's state.

Takes a network and its optimiser; what is kept is written and read with checkpoints, as the optimiser's moments are.
The statistics of batch normalisation are averaged likewise: those of the last weights do not fit the mean ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

MEAN = "mean_"  # before the name of what is averaged, in the optimiser's state
FIRST_STEPS = 40  # without a mean: statistics of normalisation follow 10 steps late while weights still change fast
PARTS = 10  # the mean is over a tenth of the steps after these at most


class _Averaged(NamedTuple):
    """A tensor of the network, and where its mean is kept."""

    value: Tensor
    state: dict[str, Any]
    key: str


@torch.no_grad()
def update_mean_weights(network: nn.Module, optimizer: Optimizer, keep: float, steps: int) -> None:
    """Move the mean of every learnt weight towards its value now: `keep` of the mean stays at each step, so it covers
    about 1 / (1 - keep) steps, and fewer while few steps are done; up to `FIRST_STEPS` it is the weights themselves."""
    later = max(steps - FIRST_STEPS, 0)
    keep = min(keep, later / (later + PARTS))
    averaged = _averaged(network, optimizer)
    means = [state.setdefault(key, value.detach().clone()) for value, state, key in averaged]
    torch._foreach_lerp_(means, [each.value for each in averaged], 1 - keep)


@contextmanager
def mean_weights(network: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Give the network its mean weights within the context, or those it has where there is no mean."""
    averaged = _averaged(network, optimizer)
    own = [each.value.detach().clone() for each in averaged]
    set_mean_weights(network, optimizer)
    try:
        yield
    finally:
        with torch.no_grad():
            for each, value in zip(averaged, own, strict=True):
                each.value.copy_(value)


@torch.no_grad()
def set_mean_weights(network: nn.Module, optimizer: Optimizer) -> None:
    """Set the weights of a network to their means, where there are any."""
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
    """Others have no state and no gradient; SGD without momentum keeps no state of its own."""
    return bool(optimizer.state.get(weight)) or weight.grad is not None
