"""Who does the blocks of a job: threads of this process, processes of this computer, or the workers of a Dask cluster.

Takes `4`, `processes:4`, or the address of a scheduler. No process is forked; they end with the job.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from deepnets4eo.errors import InputError
from deepnets4eo.jobs.blocks import BlockPool
from deepnets4eo.jobs.dask_cluster import DaskCluster, check_address
from deepnets4eo.system import spare_collections


def _begin_process() -> None:
    """In a worker process: end with the process that started it, and at Ctrl-C, without a trace."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    spare_collections()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class LocalProcesses:
    """Processes of this computer as a workplace; none is forked, those that died are replaced."""

    killed: tuple[type[Exception], ...] = ()

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> BlockPool:
        return BlockPool(self)

    def __exit__(self, *_error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    @property
    def workers(self) -> int:
        """See `Workplace.workers`."""
        return self._count

    def start(self) -> ProcessPoolExecutor:
        """See `Workplace.start`."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._pool = ProcessPoolExecutor(self._count, multiprocessing.get_context("spawn"), _begin_process)
        return self._pool

    def works(self) -> bool:
        """Return True, see `Workplace.works`: if the executor does not work, blocks raise an error."""
        return True


@dataclass(frozen=True)
class Workers:
    """Who works: `threads` of this process, or also `count` "processes", or a "scheduler" at an `address`.

    >>> Workers.parse("4").threads, Workers.parse("processes:4").count
    (4, 4)
    """

    threads: int = 2
    kind: str = "threads"
    count: int = 1
    address: str = ""

    @classmethod
    def parse(cls, text: str) -> Workers:
        """Parse `4`, `processes:4` or `tcp://127.0.0.1:8786`; InputError for addresses open to others."""
        if (match := re.fullmatch(r"(processes:)?(\d{1,6})", text.strip())) and int(match[2]):
            return cls(kind="processes", count=int(match[2])) if match[1] else cls(int(match[2]))
        if re.fullmatch(r"(tcp|tls)://\S+:\d+", text.strip()):
            return cls(kind="scheduler", address=check_address(text.strip()))
        raise InputError(
            f"--workers {text} is no number of threads. Give one, such as 4; or processes:4, or the address of a Dask scheduler, such as "
            "tcp://127.0.0.1:8786."
        )

    def executor(self) -> AbstractContextManager[BlockPool | None]:
        """Return a context of the pool that does blocks in other processes; None if this process does all."""
        if self.kind == "processes":
            return LocalProcesses(self.count)
        return DaskCluster(self.address) if self.kind == "scheduler" else nullcontext()
