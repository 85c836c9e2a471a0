"""How many windows a network learns from at each step, where the recipe leaves that to the memory of the GPU.

Takes a network, its criterion and its samples; steps with ever more windows are tried on a copy of the network. What is
chosen follows from the GPU's whole memory, not from what is free now, so that the same training gives the same weights.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deepnets4eo.device import Compute
from deepnets4eo.gpu_memory import bytes_taken, memory_bytes
from deepnets4eo.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepnets4eo.training.batches import Batch
    from deepnets4eo.training.data import Samples

log = logging.getLogger(__name__)

FEWEST, MOST = 2, 128  # windows; batch normalisation needs two where maps are a single pixel
LEAST_STEPS = 8  # of an epoch: a few huge batches teach less than many
SHARE = 0.5  # of the GPU's memory; the optimiser's state and validation need some as well


def with_batch_size(
    recipe: Recipe,
    network: nn.Module,
    criterion: Callable[[nn.Module, Batch], Tensor],
    samples: Samples,
    compute: Compute,
) -> Recipe:
    """Return the recipe with its windows a step; where `train.batch_size` is 0, as many as the device computes, 8 on a
    CPU."""
    train = recipe.train
    if train.batch_size:
        return recipe
    chosen = train.usual_batch_size
    if compute.device.startswith("cuda"):
        most = min(MOST, max(recipe.data.windows_per_epoch // LEAST_STEPS, FEWEST))
        step = _Trial(network, criterion, samples.read(samples.windows(0)[0]), compute)
        chosen = largest_batch(step.bytes_of, int(SHARE * memory_bytes(compute.device)), most)
    log.info("train.batch_size=0: %d windows a step on %s", chosen, compute.device)
    return recipe.model_copy(update={"train": train.model_copy(update={"batch_size": chosen})})


def largest_batch(bytes_of: Callable[[int], int], limit_bytes: int, most: int) -> int:
    """Return the largest power of two of windows, 2 to `most`, whose step keeps within the limit; none beyond it is
    tried.

    >>> largest_batch(lambda windows: 100 + 10 * windows, 1000, 128)
    64
    """
    count = FEWEST
    while 2 * count <= most and 2 * bytes_of(count) <= limit_bytes:
        count *= 2
    return count


class _Trial:
    """Steps of a copy of the network with as many copies of one window, forward and backward."""

    def __init__(
        self, network: nn.Module, criterion: Callable[..., Tensor], sample: dict[str, Any], compute: Compute
    ) -> None:
        self.network = copy.deepcopy(network).to(compute.device).train()
        self.criterion, self.sample, self.compute = criterion, sample, compute

    def bytes_of(self, windows: int) -> int:
        """Memory that a step takes on the device."""
        return bytes_taken(self.compute.device, lambda: self._step(windows))

    def _step(self, windows: int) -> None:
        import torch

        kind, precision = torch.device(self.compute.device).type, self.compute.precision
        batch = {
            name: torch.from_numpy(array).expand(windows, *array.shape).to(self.compute.device, copy=True)
            for name, array in self.sample.items()
        }
        with torch.autocast(kind, getattr(torch, precision), enabled=precision != "float32"):
            loss = self.criterion(self.network, batch)
        loss.backward()
        self.network.zero_grad()
