"""Learning rates and optimisers: the rate is a pure function of the step and of the scores of the epochs before.

So a resumed training needs no state but its log.

Takes the train section of a recipe; numbers only, no torch until an optimiser is built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepnets4eo.errors import InputError
from deepnets4eo.training.recipe import TrainSection

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


LR_FACTOR = "lr_factor"  # key of an optimiser's group


def lr_factor(train: TrainSection, step: int, steps_per_epoch: int, scores: Sequence[float] = ()) -> float:
    """Return the factor 0–1 on the learning rate at a step from 0. step falls by step_factor at step_epochs,
    exponential after each epoch, plateau where `scores` were not better for plateau_epochs; poly is (1 - s)^power
    (Liu 2015), one_cycle a cosine to 1/100 000 (Smith 2018), both and constant after a warm-up."""
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
    return 1.0


def _plateaus(train: TrainSection, scores: Sequence[float]) -> int:
    """How often the score did not rise for longer than the patience; undefined scores (−inf) count as no epoch."""
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
    """Return the optimiser of the recipe; biases and normalisation weights are not decayed unless `decay` is "all", and
    the encoder has groups of its own with "lr_factor" where its rate differs. Raises InputError where the network
    then has no encoder."""
    import torch

    slower = _encoder_parameters(network) if train.encoder_lr_factor != 1 else set()
    groups = [
        {"params": params, "weight_decay": decay, "lr": train.lr * factor, LR_FACTOR: factor}
        for factor, of_encoder in ((1.0, False), (train.encoder_lr_factor, True))
        for decay, decayed in ((train.weight_decay, True), (0.0, False))
        if (params := [
            value
            for value in network.parameters()
            if value.requires_grad and (value.ndim > 1 or train.decay == "all") == decayed and (value in slower) == of_encoder
        ])
    ]  # fmt: skip
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=train.lr, momentum=train.momentum)
    kinds = {
        "adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad,
        "adadelta": torch.optim.Adadelta,
    }  # fmt: skip
    return kinds[train.optimizer](groups, lr=train.lr)


def _encoder_parameters(network: nn.Module) -> set[nn.Parameter]:
    """What the network names as its encoder: by `encoder_parameters()`, else all of its part `encoder`."""
    named = getattr(network, "encoder_parameters", None) or getattr(
        getattr(network, "encoder", None), "parameters", None
    )
    if named is None:
        raise InputError(
            f"{type(network).__name__} has no part named encoder, so train.encoder_lr_factor means nothing to it. "
            "Set it to 1."
        )
    return set(named())
