"""The batches of the epoch that runs, timed, and on a GPU copied there while the network computes.

Takes a loader and the number of batches of the epoch that are done already; returns the others in order.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

Batch = dict[str, Any]


@runtime_checkable
class Loader(Protocol):
    """Batches of one epoch, the same number in each. With `set_epoch(epoch)`, what it yields follows from that number
    alone; with `first_batch`, it leaves out the batches before, which are read and dropped of other loaders."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


class Position(Protocol):
    """Where a training is: the epoch, the steps of it that were done before, and the device of the network."""

    @property
    def epoch(self) -> int: ...

    @property
    def steps_before(self) -> int: ...

    @property
    def device(self) -> torch.device: ...


class EpochBatches:
    """Sets the epoch of the loader as late as possible, since Lightning makes its iterators before the epoch begins;
    `waited_s` are the seconds that the network waited for batches."""

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
    """The same batches on a GPU, copied from pinned memory on a stream of their own while the network computes."""
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
