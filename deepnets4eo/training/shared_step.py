"""The training step of one process of several: gradients are averaged over all of them, as if it were one batch.

Takes a network on its device and `step(network, batch) -> loss`. On GPUs batch normalisation takes the statistics of the
whole batch; on CPUs those of each process's share, and the first process's running statistics are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from deepnets4eo.training.batches import Batch

NEEDLESS = "(?s).*(find_unused_parameters=True|Grad strides do not match)"  # warnings of it that are of speed alone


class _Step(nn.Module):
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
        _Step(network, step),
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=True,  # some encoders have weights that no output depends on
    )

    def loss_of_batch(batch: Batch) -> Tensor:
        loss: Tensor = shared(batch)
        return loss

    return loss_of_batch


@contextmanager
def synchronised_normalisation(network: nn.Module, *, shared: bool) -> Iterator[None]:
    """Let batch normalisation count the windows of all processes within the context, where `shared`. Afterwards the
    network has its own modules again, whose running statistics come from a checkpoint."""
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
