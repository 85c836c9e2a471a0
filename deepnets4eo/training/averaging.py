"""The running mean of the weights over the steps of a training (Polyak and Juditsky 1992), kept beside the optimiser's state.

Takes an optimiser; what it keeps is written and read with checkpoints, as its moments are. Statistics of normalisation
are running means already and stay those of the last steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

MEAN = "mean_weight"
FAST_STEPS = 10  # so long the mean follows the first weights fast, which are far from any later ones


@torch.no_grad()
def update_mean_weights(optimizer: Optimizer, keep: float, steps: int) -> None:
    """Move the mean of every learnt weight towards its value now.

    Parameters
    ----------
    optimizer
        After its step.
    keep
        Share of the mean that is kept at each step, 0–1; the mean is over about 1 / (1 - keep) steps.
    steps
        Steps done in all, at least 1; the mean of the first ones is over fewer.
    """
    keep = min(keep, steps / (steps + FAST_STEPS))
    weights = _learnt(optimizer)
    for weight in weights:
        optimizer.state[weight].setdefault(MEAN, weight.detach().clone())
    torch._foreach_lerp_(_means(optimizer, weights), weights, 1 - keep)


@contextmanager
def mean_weights(optimizer: Optimizer) -> Iterator[None]:
    """Within the context the network has its mean weights; without any mean, those it has."""
    weights = [weight for weight in _learnt(optimizer) if MEAN in optimizer.state[weight]]
    own = [weight.detach().clone() for weight in weights]
    set_mean_weights(optimizer)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, own, strict=True):
                weight.copy_(value)


@torch.no_grad()
def set_mean_weights(optimizer: Optimizer) -> None:
    """Give the network its mean weights, where there are any."""
    for weight in _learnt(optimizer):
        if MEAN in optimizer.state[weight]:
            weight.copy_(optimizer.state[weight][MEAN])


def _learnt(optimizer: Optimizer) -> list[Tensor]:
    """Weights that had a step; others have no state."""
    return [weight for group in optimizer.param_groups for weight in group["params"] if optimizer.state.get(weight)]


def _means(optimizer: Optimizer, weights: list[Tensor]) -> list[Tensor]:
    return [optimizer.state[weight][MEAN] for weight in weights]
