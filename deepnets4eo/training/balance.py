"""How the losses of two tasks that share a network become one: alike, by learnt variances, or by the size of their gradients.

Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty (CVPR 2018); Chen et al., GradNorm (ICML 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.units import InUnits, TaskNumbers

Balance = Literal["equal", "log_variance", "gradnorm"]
ASYMMETRY = 1.5  # GradNorm's alpha: how strongly the slower task is furthered


def balance_losses(losses: Tensor, network: nn.Module, balance: Balance) -> Tensor:
    """Return the loss () of two tasks (2,); the numbers that weigh them are parts of the network and learn with it.

    Errors: InputError for GradNorm with a network that has no part named decoder."""
    if balance == "equal":
        return losses.sum()
    assert isinstance(network, InUnits)
    assert network.tasks is not None
    if balance == "log_variance":
        return (losses * torch.exp(-network.tasks.numbers) + network.tasks.numbers / 2).sum()
    return _by_gradients(losses, network.tasks, last_shared_weight(network.network))


def _by_gradients(losses: Tensor, tasks: TaskNumbers, shared: Tensor) -> Tensor:
    """Losses weighed so that their gradients at the last shared layer get sizes by how fast each task learns; the weights sum up to 2."""
    weights = 2 * tasks.numbers.softmax(dim=0)
    if not bool(tasks.first_losses.any()):
        tasks.first_losses.copy_(losses.detach())
    gradients = [torch.autograd.grad(loss, shared, retain_graph=True)[0].norm() for loss in losses]
    sizes = weights * torch.stack(gradients).detach()
    rates = losses.detach() / tasks.first_losses.clamp_min(torch.finfo(losses.dtype).tiny)
    aims = (sizes.mean() * (rates / rates.mean()) ** ASYMMETRY).detach()
    return (weights.detach() * losses).sum() + (sizes - aims).abs().sum()


def last_shared_weight(network: nn.Module) -> Tensor:
    """The last convolution's weights (…, 4 axes) of the part that the tasks share. Errors: InputError where there is none."""
    decoder = getattr(network, "decoder", None)
    kernels = [] if decoder is None else [weight for weight in decoder.parameters() if weight.ndim == 4]
    if not kernels:
        raise InputError(
            f"{type(network).__name__} has no part named decoder, at which GradNorm compares gradients. Set "
            "train.balance=log_variance or equal, or choose another network."
        )
    return kernels[-1]
