"""The batches of the epoch that runs: how many windows each has, timed, and copied to a GPU while the network computes.

Sizes that the GPU decides follow from its whole memory, not from what is free, so that weights stay the same.
"""

from __future__ import annotations

import copy
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deepnets4eo.device import Compute, bytes_taken, memory_bytes
from deepnets4eo.training.recipe import Recipe

if TYPE_CHECKING:
    from deepnets4eo.training.data import Samples

Batch = dict[str, Any]
log = logging.getLogger(__name__)
MIN_WINDOWS, MAX_WINDOWS = 2, 128  # windows; batch normalisation needs two where maps are a single pixel
MIN_STEPS = 8  # of an epoch: a few huge batches teach less than many
SHARE = 0.5  # of the GPU's memory; the optimiser's state and validation need some as well


@runtime_checkable
class Loader(Protocol):
    """Batches of one epoch, always as many; `set_epoch` decides what they are, `first_batch` leaves out those before."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


class Position(Protocol):
    """Position of a training: the epoch, the steps of this epoch done before, and the device of the network."""

    @property
    def epoch(self) -> int: ...

    @property
    def steps_before(self) -> int: ...

    @property
    def device(self) -> torch.device: ...


class EpochBatches:
    """The loader's batches of the epoch where a training is; `waited_s` are the seconds that it waited for them."""

    def __init__(self, loader: Loader, position: Position) -> None:
        self.loader, self.position, self.waited_s = loader, position, 0.0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(self.position.epoch)
        batches: Iterable[Batch] = self._left()
        if self.position.device.type == "cuda":
            batches = copy_to_gpu(batches, self.position.device)
        batches = iter(batches)
        while (batch := self._next(batches)) is not None:
            yield batch

    def _left(self) -> Iterator[Batch]:
        done = self.position.steps_before
        if hasattr(self.loader, "first_batch"):
            self.loader.first_batch = done
            return iter(self.loader)
        return itertools.islice(iter(self.loader), done, None)

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        started = time.perf_counter()
        batch = next(batches, None)
        self.waited_s += time.perf_counter() - started
        return batch


def copy_to_gpu(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches on a GPU, copied from pinned memory on a separate stream while the network computes."""
    stream = torch.cuda.Stream(device)
    for batch in batches:
        with torch.cuda.stream(stream):
            moved = {name: _copy(value, device) for name, value in batch.items()}
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(stream)
        for value in moved.values():
            if isinstance(value, Tensor):
                value.record_stream(computing)  # its memory is free again only after the network has used it
        yield moved


def _copy(value: Any, device: torch.device) -> Any:
    return value.pin_memory().to(device, non_blocking=True) if isinstance(value, Tensor) else value


def with_batch_size(
    recipe: Recipe,
    network: nn.Module,
    criterion: Callable[[nn.Module, Batch], Tensor],
    samples: Samples,
    compute: Compute,
) -> Recipe:
    """Return the recipe with its windows per step; for `train.batch_size` 0 as many as the device can compute, 8 on a CPU."""
    train = recipe.train
    if train.batch_size:
        return recipe
    chosen = train.usual_batch_size
    if compute.device.startswith("cuda"):
        most = min(MAX_WINDOWS, max(recipe.data.windows_per_epoch // MIN_STEPS, MIN_WINDOWS))
        step = _Trial(network, criterion, samples.read(samples.windows(0)[0]), compute)
        chosen = largest_batch(step.bytes_of, int(SHARE * memory_bytes(compute.device)), most)
    log.info("train.batch_size=0: %d windows a step on %s", chosen, compute.device)
    return recipe.model_copy(update={"train": train.model_copy(update={"batch_size": chosen})})


def largest_batch(bytes_of: Callable[[int], int], limit_bytes: int, most: int) -> int:
    """Return the largest power of two of windows, 2 to `most`, whose step keeps within the limit."""
    count = MIN_WINDOWS
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
        kind, precision = torch.device(self.compute.device).type, self.compute.precision
        batch = {
            name: torch.from_numpy(array).expand(windows, *array.shape).to(self.compute.device, copy=True)
            for name, array in self.sample.items()
        }
        with torch.autocast(kind, getattr(torch, precision), enabled=precision != "float32"):
            loss = self.criterion(self.network, batch)
        loss.backward()
        self.network.zero_grad()
