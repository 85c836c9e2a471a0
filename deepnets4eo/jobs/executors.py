"""Who does the blocks of a job: threads of this process alone, processes of this computer, or the workers of a Dask cluster.

Takes one word, as of the command line: `4` threads, `processes:4`, `dask:4`, or the address of a scheduler. Processes are started
afresh, none is forked; one that dies is replaced, and they end when the job ends, however that is.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from deepnets4eo.errors import InputError
from deepnets4eo.jobs.blocks import (
    MOST_DEATHS,
    TRIES,
    BlockWork,
    Executor,
    Pool,
    Receipt,
    died_too_often,
    do_block,
    failed_receipt,
    versions,
)
from deepnets4eo.jobs.dask_cluster import DaskCluster, check_address, local_scheduler

WORKER_BYTES = 3_000_000_000  # of a worker at most where the job states no limit


def _end_with_parent() -> None:
    """In a worker process: end when the process that started it ends, however that is."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class LocalProcesses(Pool):
    """Processes of this computer, started afresh (none is forked); one that dies is replaced, and its block done again."""

    def __init__(self, count: int) -> None:
        self._count, self._expected = count, versions()
        self._running: dict[Future[Receipt], str] = {}
        self._tries: dict[str, int] = {}
        self._deaths: dict[str, int] = {}
        self._pool = self._start()

    def __enter__(self) -> LocalProcesses:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def workers(self) -> int:
        return self._count

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._count, multiprocessing.get_context("spawn"), _end_with_parent)

    def _submit(self, work: BlockWork, block: str) -> None:
        self._running[self._pool.submit(do_block, work, block, self._expected)] = block

    def _collect(self, work: BlockWork) -> list[Receipt]:
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        finished = [(self._running.pop(future), future) for future in done]
        receipts, again = [], []
        for block, future in finished:
            error = future.exception()
            if error is None:
                receipts.append(future.result())
            elif isinstance(error, BrokenProcessPool):
                again.append(block)
            else:
                self._tries[block] = self._tries.get(block, 0) + 1
                if (receipt := failed_receipt(block, error, last=self._tries[block] >= TRIES)) is not None:
                    receipts.append(receipt)
                else:
                    self._submit(work, block)
        return receipts + (self._restart(work, again) if again else [])

    def _restart(self, work: BlockWork, lost: list[str]) -> list[Receipt]:
        """Start new processes and hand out again what was lost; receipts of blocks whose processes died too often."""
        lost = [*lost, *self._running.values()]
        self._running.clear()
        self._pool.shutdown(wait=False)
        self._pool, receipts = self._start(), []
        for block in lost:
            self._deaths[block] = self._deaths.get(block, 0) + 1
            if self._deaths[block] > MOST_DEATHS:
                receipts.append(Receipt(block, died_too_often()))
            else:
                self._submit(work, block)
        return receipts

    def _forget(self) -> None:
        for future in self._running:
            future.cancel()
        for kept in (self._running, self._tries, self._deaths):
            kept.clear()  # blocks of other steps may have the same names


@dataclass(frozen=True)
class Workers:
    """Who works: threads of this process, or also other processes.

    Parameters
    ----------
    threads
        Threads that read and compute in this process.
    kind
        "threads" for none but these, "processes" or "dask" for `count` processes of this computer, "scheduler" for the workers of a
        Dask cluster.
    count
        Processes.
    address
        The scheduler of the cluster.

    Examples
    --------
    >>> Workers.parse("4").threads, Workers.parse("dask:4").count
    (4, 4)
    """

    threads: int = 2
    kind: str = "threads"
    count: int = 1
    address: str = ""

    @classmethod
    def parse(cls, text: str) -> Workers:
        """Return what `4`, `processes:4`, `dask:4` or `tcp://127.0.0.1:8786` says. Errors: InputError for other text, and for
        an address at which others could send code to the workers."""
        if match := re.fullmatch(r"(?:(processes|dask):)?(\d{1,6})", text.strip()):
            kind, count = match[1], int(match[2])
            if count >= 1:
                return cls(count) if kind is None else cls(kind=kind, count=count)
        if re.fullmatch(r"(tcp|tls)://\S+:\d+", text.strip()):
            return cls(kind="scheduler", address=check_address(text.strip()))
        raise InputError(
            f"--workers {text} is no number of threads. Give one, such as 4; or processes:4, dask:4, or the address of a Dask "
            "scheduler, such as tcp://127.0.0.1:8786."
        )

    @contextmanager
    def executor(self, memory_bytes: int = WORKER_BYTES) -> Iterator[Executor | None]:
        """Yield what does blocks in other processes; None where this process does all. memory_bytes : of one of them at most."""
        if self.kind == "threads":
            yield None
        elif self.kind == "processes":
            with LocalProcesses(self.count) as processes:
                yield processes
        else:
            with ExitStack() as stack:
                local = self.kind == "dask"
                address = stack.enter_context(local_scheduler(self.count, memory_bytes)) if local else self.address
                yield stack.enter_context(DaskCluster(address))
