"""One network trained by several processes: which of them this one is, and what they exchange beside gradients.

Takes the environment variables that `torchrun` and `training.launch` set. Each process learns from its share of every
batch; the first one alone validates and writes. Trusts that a batch can be shared evenly (`training.job` checks it).
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LAUNCHED = "TORCHELASTIC_RUN_ID"  # without it, the others may be of another program, such as a queue of jobs
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
PATIENCE = timedelta(days=7)  # the others wait while the first one validates


@dataclass(frozen=True)
class Rank:
    """One of the processes that train a network together, by number from 0 and count, in all and on this computer (and
    so of its GPU); without arguments, the only one.

    >>> Rank(1, 4).share(8)
    range(2, 4)
    """

    index: int = 0
    count: int = 1
    local_index: int = 0
    local_count: int = 1

    @classmethod
    def current(cls) -> Rank:
        """The rank of this process."""
        return cls(*(int(os.environ[name]) for name in VARIABLES)) if LAUNCHED in os.environ else cls()

    @property
    def is_first(self) -> bool:
        """Whether this process validates and writes."""
        return self.index == 0

    def share(self, batch_size: int) -> range:
        """Which windows of a batch this process learns from: positions in the batch."""
        size = batch_size // self.count
        return range(self.index * size, (self.index + 1) * size)

    def own_device(self, device: str) -> str:
        """The device of this process: each has a GPU of its own.

        >>> Rank(1, 2, 1, 2).own_device("cuda"), Rank(1, 2, 1, 2).own_device("cpu"), Rank().own_device("cuda")
        ('cuda:1', 'cpu', 'cuda')
        """
        return f"cuda:{self.local_index}" if self.count > 1 and device == "cuda" else device

    @contextmanager
    def group(self, device: str) -> Iterator[None]:
        """Connect the processes within the context: by NCCL for GPUs, by Gloo on CPUs, whose cores they share. They
        stay connected until they end, since a second connection would find the addresses of the first."""
        if self.count == 1:
            yield
            return
        import torch
        from torch import distributed

        own = None
        if device.startswith("cuda"):
            own = torch.device(device)
            torch.cuda.set_device(own)
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // self.local_count))
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if own else "gloo", timeout=PATIENCE, device_id=own)
            atexit.register(distributed.destroy_process_group)
        yield
        torch.set_num_threads(threads)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the processes, () as `value`; on a GPU without waiting for it."""
        if self.count == 1:
            return value
        from torch import distributed

        total = value.clone()
        distributed.all_reduce(total)
        return total / self.count

    def from_first(self, value: float, device: str) -> float:
        """The first process's number, in all processes."""
        if self.count == 1:
            return value
        import torch
        from torch import distributed

        number = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.broadcast(number, src=0)
        return float(number)

    def end_unless_first(self) -> None:
        """Ends this process, its work done, unless it is the first one. Raises SystemExit."""
        if not self.is_first:
            sys.exit(0)
