"""Learning rates and optimisers: the rate is a pure function of the step, so a resumed training needs no state.

Takes the train section of a recipe; numbers only, no torch until an optimiser is built.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from deepnets4eo.recipe import TrainSection

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def lr_factor(train: TrainSection, step: int, steps_per_epoch: int) -> float:
    """The factor 0–1 on the learning rate at a step counted from 0.

    step: falls by step_factor at step_epochs. poly: (1 - s)^power (Liu 2015). one_cycle: cosine to 1/100 000 after
    the warm-up (Smith 2018). Poly, one_cycle and constant rise linearly over the first warmup_share of the steps.
    """
    total = train.epochs * steps_per_epoch
    if train.schedule == "step":
        falls = train.step_epochs or (round(train.epochs * 0.6), round(train.epochs * 0.85))
        return train.step_factor ** sum(step // steps_per_epoch >= epoch for epoch in falls)
    warmup = round(train.warmup_share * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(total - warmup, 1)
    if train.schedule == "poly":
        return (1 - done) ** train.poly_power
    if train.schedule == "one_cycle":
        return max(0.5 * (1 + math.cos(math.pi * done)), 1e-5)
    return 1.0


def build_optimizer(network: nn.Module, train: TrainSection) -> Optimizer:
    """SGD or AdamW over all parameters; biases and normalisation weights are not decayed."""
    import torch

    groups = [
        {"params": list(_parameters(network, decayed=True)), "weight_decay": train.weight_decay},
        {"params": list(_parameters(network, decayed=False)), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=train.lr, momentum=train.momentum)
    return torch.optim.AdamW(groups, lr=train.lr)


def _parameters(network: nn.Module, *, decayed: bool) -> Iterable[nn.Parameter]:
    return (value for value in network.parameters() if value.requires_grad and (value.ndim > 1) == decayed)
