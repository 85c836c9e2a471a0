"""The workers of a Dask cluster as an executor (`jobs.blocks`): futures alone, each a block by its name.

Takes the address of a scheduler, on this computer or behind TLS: a scheduler unpickles what it is sent, so that all who reach it
can run code. A scheduler that is restarted is connected to again, and is handed out what is not finished; without any worker the job
ends after a while, and goes on with --resume.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.jobs.blocks import (
    MOST_DEATHS,
    TRIES,
    BlockWork,
    Pool,
    Receipt,
    died_too_often,
    do_block,
    failed_receipt,
    versions,
)
from deepnets4eo.lazy import name_missing_extra

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

PATIENCE_S = 300.0  # without a scheduler, or without any worker
POLL_S = 0.05
COUNT_S = 1.0  # between two looks at how many workers there are
CLUSTER = {
    "distributed.scheduler.allowed-failures": MOST_DEATHS,
    "distributed.scheduler.worker-ttl": "30 minutes",  # native code holds the interpreter, so that a worker seems silent
    "distributed.scheduler.work-stealing": True,
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.worker.memory.target": False,  # nothing is kept in memory that could be spilled
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.http.routes": [],  # no pages
    "distributed.worker.http.routes": [],
}


def check_address(address: str) -> str:
    """Return the address of a scheduler that only this computer reaches, or that requires certificates. Errors: InputError."""
    parts = urlsplit(address)
    if parts.scheme == "tls" or parts.hostname == "localhost":
        return address
    with suppress(ValueError):
        if ipaddress.ip_address(parts.hostname or "").is_loopback:
            return address
    raise InputError(
        f"--workers {address} is neither on this computer nor behind TLS, and all who reach a Dask scheduler can run code on its "
        "workers. Start it with TLS and give tls://…, or open a tunnel (ssh -L 8786:localhost:8786 HOST) and give tcp://localhost:8786."
    )


@contextmanager
def local_scheduler(count: int, memory_bytes: int) -> Iterator[str]:
    """Start a scheduler with worker processes on this computer; yields its address. memory_bytes : of a worker at most."""
    with name_missing_extra():
        import dask
        from distributed import LocalCluster
    logging.getLogger("distributed").setLevel(logging.ERROR)
    # a worker that takes more than its limit is ended and its block done again; of what it holds Dask knows nothing, GDAL's cache and
    # networks: so no limit is near what the job itself keeps to
    with (
        dask.config.set(CLUSTER),
        LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
            memory_limit=2 * memory_bytes, silence_logs=logging.ERROR,
        ) as cluster,
    ):  # fmt: skip
        yield cluster.scheduler_address


class DaskCluster(Pool):
    """The workers of a scheduler."""

    def __init__(self, address: str) -> None:
        self._address, self._expected = address, versions()
        self._pending: dict[str, Future] = {}  # by block
        self._counted, self._workers, self._seen = 0.0, 1, time.monotonic()
        self._round = 0
        self._client = self._connect()

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    @property
    def workers(self) -> int:
        return max(self._workers, 1)

    def _connect(self) -> Client:
        """A client of the scheduler, which may have to be started yet. Errors: RunError where there is none for a while."""
        with name_missing_extra():
            from distributed import Client, as_completed
        logging.getLogger("distributed").setLevel(logging.ERROR)  # what concerns the user is said here
        began = time.monotonic()
        while True:
            try:
                client = Client(self._address, timeout=min(5.0, PATIENCE_S), set_as_default=False)
                break
            except (OSError, TimeoutError) as error:
                if time.monotonic() - began > PATIENCE_S:
                    raise RunError(
                        f"no Dask scheduler answers at {self._address}: {error}. Start one, and go on with --resume."
                    ) from error
                time.sleep(POLL_S)
        self._completed = as_completed(loop=client.loop, with_results=True, raise_errors=False)
        self._seen, self._round = time.monotonic(), self._round + 1
        return client

    def _submit(self, work: BlockWork, block: str) -> None:
        future = self._client.submit(
            do_block, work, block, self._expected, key=f"{work.key}-{self._round}-{block}", pure=False,
            retries=TRIES - 1,
        )  # fmt: skip
        self._pending[block] = future
        self._completed.add(future)

    def _collect(self, work: BlockWork) -> list[Receipt]:
        while True:
            batch = self._completed.next_batch(block=False)
            block_of = {future.key: block for block, future in self._pending.items()}
            if self._client.status != "running" or any(future.cancelled() for future, _ in batch):
                self._go_on(work)
                continue
            if batch:
                self._seen = time.monotonic()
                return [
                    self._receipt(block_of[future.key], result) for future, result in batch if future.key in block_of
                ]
            self._check_workers()
            time.sleep(POLL_S)

    def _receipt(self, block: str, result: Any) -> Receipt:
        """The receipt of a block that is done or was given up. Errors: of `failed_receipt`."""
        from distributed import KilledWorker

        del self._pending[block]
        if isinstance(result, Receipt):
            return result
        error = result[1] if isinstance(result, tuple) else result
        if isinstance(error, KilledWorker):
            return Receipt(block, died_too_often())
        receipt = failed_receipt(block, error, last=True)
        assert receipt is not None
        return receipt

    def _go_on(self, work: BlockWork) -> None:
        """Connect again to a scheduler that was lost, and hand out what is not finished."""
        log.warning("the Dask scheduler at %s was lost; waiting for it …", self._address)
        pending = list(self._pending)
        self._pending.clear()
        self._close()
        self._client = self._connect()
        for block in pending:
            self._submit(work, block)

    def _check_workers(self) -> None:
        """Look now and then how many workers there are. Errors: RunError where there is none for a while."""
        now = time.monotonic()
        if now - self._counted < COUNT_S:
            return
        self._counted = now
        try:
            self._workers = sum(self._client.nthreads().values())
        except (OSError, TimeoutError):  # lost, which the next look at the client shows
            return
        if self._workers:
            self._seen = now
        elif now - self._seen > PATIENCE_S:
            raise RunError(
                f"the scheduler at {self._address} had no worker for {PATIENCE_S:.0f} s. Start some (dask worker {self._address}); "
                "what is finished is kept: go on with --resume."
            )

    def _forget(self) -> None:
        pending = list(self._pending.values())
        self._pending.clear()
        self._completed.clear()
        if pending and self._client.status == "running":
            with suppress(OSError, TimeoutError):
                self._client.cancel(pending)

    def _close(self) -> None:
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=2)
