"""Work whose blocks write their names into a folder, which workers import from here; and an executor that does blocks in this process."""

import os
import pickle
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.jobs import DoBlock
from deepnets4eo.jobs.blocks import BlockWork, Receipt, do_block, leave_work, versions

CLUSTER = {  # settings of Dask for the clusters of tests
    "distributed.scheduler.allowed-failures": 0,  # `jobs.blocks` says what is tried again
    "distributed.scheduler.worker-ttl": "30 minutes",
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.http.routes": [],  # no pages
    "distributed.worker.http.routes": [],
}


@contextmanager
def open_blocks(folder: Path, faults: dict[str, str]) -> Iterator[DoBlock]:
    """Blocks that note each time they are begun, and keep a result. faults : block → what happens in it."""

    def do(block: str) -> None:
        if (folder / f"{block}.done").exists():
            return
        with open(folder / "begun.txt", "a", encoding="utf-8") as begun:
            begun.write(f"{block}\n")
        fault = faults.get(block, "")
        if fault == "raise":
            raise ValueError("no such luck")
        if fault == "die once" and begun_blocks(folder).count(block) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.startswith("sleep"):
            time.sleep(float(fault.partition(" ")[2]))
        (folder / f"{block}.done").write_text(f"result of {block}", encoding="utf-8")

    yield do


@contextmanager
def open_nothing(folder: Path) -> Iterator[DoBlock]:
    """A job that this machine cannot open."""
    if folder.name:
        raise InputError(f"{folder} does not exist")
    yield str


def begun_blocks(folder: Path) -> list[str]:
    """Names of the blocks in the order in which they were begun."""
    text = folder / "begun.txt"
    return text.read_text(encoding="utf-8").split() if text.exists() else []


def results(folder: Path) -> dict[str, str]:
    """Block → its result."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.done"))}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing in the package catches it."""


class OneByOne:
    """Does blocks in this process as a worker would, each step with what is opened anew, and notes them.

    stop : blocks after which the job is killed. failing : the one that cannot be done.
    """

    def __init__(self, stop: int = 10**6, failing: str = "") -> None:
        self.stop, self.failing, self.done = stop, failing, list[tuple[str, str]]()

    def run(self, work: BlockWork, blocks: Iterable[str]) -> Iterator[Receipt]:
        work = pickle.loads(pickle.dumps(work))  # noqa: S301 - as it is sent to a worker
        try:
            for block in blocks:
                if len(self.done) == self.stop:
                    raise KilledError
                self.done.append((str(work.arguments[-1]), block))
                if self.failing in (block, f"{work.arguments[-1]} {block}"):
                    yield Receipt(block, "ValueError: no such luck (3 times)")
                else:
                    yield do_block(work, block, versions())
        finally:
            leave_work()  # before the job in this process leaves what it was opened in
