"""The workers of a Dask cluster as an executor (`jobs.blocks`); a scheduler unpickles code, so it is on this computer or behind TLS."""

from __future__ import annotations

import ipaddress
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepnets4eo.errors import BlockError, InputError
from deepnets4eo.jobs.blocks import POLL_S, BlockPool
from deepnets4eo.lazy import name_missing_extra

if TYPE_CHECKING:
    from distributed import Client
    from distributed.cfexecutor import ClientExecutor

log = logging.getLogger(__name__)

PATIENCE_S = 300.0  # without a scheduler, or without any worker
WARN_S = 5.0
COUNT_S = 1.0  # between two looks at how many workers there are


def check_address(address: str) -> str:
    """Return the address of a scheduler on this computer or behind TLS, else InputError."""
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


class DaskCluster:
    """The workers of a scheduler as a workplace; one that is restarted is connected to again, after a wait."""

    def __init__(self, address: str) -> None:
        with name_missing_extra():
            from distributed import Client, KilledWorker
        for chatty in ("distributed", "tornado.application"):  # what concerns the user is said here
            logging.getLogger(chatty).setLevel(logging.CRITICAL)
        self.killed: tuple[type[Exception], ...] = (KilledWorker,)
        self._address, self._client_type = address, Client
        self._client: Client | None = None
        self._counted, self._workers, self._seen, self._warned = 0.0, 1, time.monotonic(), False

    def __enter__(self) -> BlockPool:
        return BlockPool(self)

    def __exit__(self, *_error: object) -> None:
        self._close()

    @property
    def workers(self) -> int:
        """See `Workplace.workers`."""
        return max(self._workers, 1)

    def start(self) -> ClientExecutor:
        """See `Workplace.start`: connect to the scheduler, which may have to be started yet."""
        if self._client is not None:
            log.warning("the Dask scheduler at %s was lost; waiting for it …", self._address)
            self._close()
        began = time.monotonic()
        while True:
            try:
                self._client = self._client_type(self._address, timeout=min(5.0, PATIENCE_S), set_as_default=False)
                break
            except (OSError, TimeoutError) as error:
                if time.monotonic() - began > PATIENCE_S:
                    raise BlockError(f"no Dask scheduler answers at {self._address}: {error}. Start one.") from error
                time.sleep(POLL_S)
        self._seen = time.monotonic()
        return self._client.get_executor(pure=False)

    def works(self) -> bool:
        """See `Workplace.works`: looks now and then how many workers there are."""
        assert self._client is not None
        now = time.monotonic()
        if now - self._counted < COUNT_S:
            return self._client.status == "running"
        self._counted = now
        try:
            self._workers = sum(self._client.nthreads().values())
        except (OSError, TimeoutError):  # lost
            return False
        missing_s = 0.0 if self._workers else now - self._seen
        if not missing_s:
            self._seen, self._warned = now, False
        elif missing_s > PATIENCE_S:
            raise BlockError(
                f"the scheduler at {self._address} had no worker for {PATIENCE_S:.0f} s. Start some (dask worker {self._address})."
            )
        elif missing_s > WARN_S and not self._warned:
            left_s = PATIENCE_S - missing_s
            log.warning("the scheduler at %s has no worker; the job waits %.0f s for one …", self._address, left_s)
            self._warned = True
        return self._client.status == "running"

    def _close(self) -> None:
        with suppress(OSError, TimeoutError):
            if self._client is not None:
                self._client.close(timeout=2)
