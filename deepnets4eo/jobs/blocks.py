"""Blocks of a job that other processes do (selected by `jobs.executors`).

A block has a name, its result goes into a file (`jobs.journal`), a small receipt comes back: a lost block is done again,
and no result depends on workers or their order.
"""

from __future__ import annotations

import atexit
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any, Protocol, TypeAlias, runtime_checkable

from deepnets4eo.errors import BlockError, DeepNets4EOError, OutputError, RunError
from deepnets4eo.jobs.parts import Progress
from deepnets4eo.plugins import foreign_versions
from deepnets4eo.version import code_version

TRIES = 3  # of a block that raises an error
MAX_DEATHS = 10  # of workers that had a block, or at which it was waiting
MAX_FAILED, MIN_FAILED = 0.1, 3  # share of a step's blocks, or number, that may fail: more are no accident
POLL_S = 0.5  # between two looks at whether the executor works
LOST = (futures.BrokenExecutor, futures.CancelledError)  # errors of blocks whose executor is gone
AHEAD = 4  # blocks a worker that are handed out before the first of them is needed
SHAPING = ("numpy", "scipy", "shapely", "rasterio", "torch", "numba")  # whose versions shape the bytes of a result

DoBlock: TypeAlias = Callable[[str], object]
# who does the unfinished blocks of a step: its name, all blocks, what does one here, finished ones, progress; block → why it cannot be had
FinishBlocks: TypeAlias = Callable[[str, Sequence[str], DoBlock, Iterable[str], Progress | None], dict[str, str]]


class WorkerRefusedError(RunError):
    """A worker cannot do blocks of this job at all: it has other versions, or does not see the files."""


@dataclass(frozen=True)
class BlockWork:
    """Blocks of a step for any process: with the picklable `arguments`, `open` yields the function that does a block."""

    open: Callable[..., AbstractContextManager[DoBlock]]
    arguments: tuple[Any, ...]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Receipt:
    """Receipt from a worker. failure : why the block could not be done, "" if its result is kept."""

    block: str
    failure: str = ""


@runtime_checkable
class Executor(Protocol):
    """Does blocks somewhere."""

    def run(self, work: BlockWork, blocks: Iterable[str]) -> Iterator[Receipt]:
        """Yield the receipts in the order of the blocks; RunError and OutputError if the job cannot continue."""


@dataclass(frozen=True)
class RemoteSteps:
    """Steps of a job whose blocks an executor does. open : with the arguments and the name of a step, as in `BlockWork`."""

    executor: Executor
    open: Callable[..., AbstractContextManager[DoBlock]]
    arguments: tuple[Any, ...]
    failures: dict[str, dict[str, str]] = field(default_factory=dict)  # step → block → reason

    def finish(
        self, step: str, blocks: Sequence[str], _do: DoBlock, finished: Iterable[str], progress: Progress | None
    ) -> dict[str, str]:
        """See `FinishBlocks`. Errors: RunError where too many failed."""
        kept = set(finished)
        missing = [block for block in blocks if block not in kept]
        work, failed = BlockWork(self.open, (*self.arguments, step)), dict[str, str]()
        for done, receipt in enumerate(self.executor.run(work, missing), start=len(blocks) - len(missing) + 1):
            if receipt.failure:
                failed[receipt.block] = receipt.failure
            if progress is not None:
                progress(done / len(blocks))
        if len(failed) > max(MAX_FAILED * len(blocks), MIN_FAILED):
            raise BlockError(
                f"{len(failed)} of {len(blocks)} blocks of the step {step} could not be done, the first of them because: "
                f"{next(iter(failed.values()))}. Remove the cause."
            )
        self.failures[step] = failed
        return failed


def block_of_step(job: Callable[[FinishBlocks], object], step: str) -> DoBlock:
    """Return, in a worker, the function that does the blocks of a step; the job continues as if no block could be done.

    Errors: WorkerRefusedError if it does not reach the step."""
    table = dict[str, DoBlock]()

    def note(name: str, blocks: Sequence[str], do: DoBlock, _finished: object, _progress: object) -> dict[str, str]:
        table[name] = do
        return dict.fromkeys(blocks, "done by others")

    job(note)
    if step not in table:
        raise WorkerRefusedError(
            f"the job has no step {step} here. Give all workers the same versions and files as the job."
        )
    return table[step]


@cache
def versions() -> dict[str, str]:
    """Versions of the code and of the packages that shape results, "" if not installed."""
    return {"deepnets4eo": code_version(), **{name: _version(name) for name in SHAPING}, **foreign_versions()}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


class _Opened:
    """The work that this process has opened last. One block at a time: networks and GDAL have settings of the process."""

    def __init__(self) -> None:
        self._lock, self._key, self._stack = threading.Lock(), "", ExitStack()
        self._do: DoBlock | None = None

    def do(self, work: BlockWork, block: str) -> None:
        """Do a block of some work. Errors: WorkerRefusedError if the work cannot be opened."""
        with self._lock:
            if self._do is None or self._key != work.key:
                self.leave()
                try:
                    self._do, self._key = self._stack.enter_context(work.open(*work.arguments)), work.key
                except Exception as error:
                    raise WorkerRefusedError(f"a worker cannot open the job: {_cause(error)}") from None
            self._do(block)

    def leave(self) -> None:
        """Leave the work. In another thread than that which entered it this may fail."""
        self._do = None
        with suppress(Exception):
            self._stack.close()


_opened = _Opened()
leave_work = _opened.leave
atexit.register(leave_work)  # before the interpreter takes apart what the work needs


def do_block(work: BlockWork, block: str, expected: dict[str, str]) -> Receipt:
    """In a worker: do a block. Errors: WorkerRefusedError where versions differ; whatever the block raises."""
    own = versions()
    differing = [f"{name} {own[name] or 'missing'}, not {text or 'missing'}" for name, text in expected.items()
                 if own.get(name) != text]  # fmt: skip
    if differing:
        raise WorkerRefusedError(
            f"a worker has other versions than the job: {'; '.join(differing)}. Install the same there, and start it again."
        )
    _opened.do(work, block)
    return Receipt(block)


class Workplace(Protocol):
    """Place where blocks are done, by a `concurrent.futures.Executor` that may have to be restarted."""

    killed: tuple[type[Exception], ...]  # errors of a block whose worker has died, while the others go on

    @property
    def workers(self) -> int:
        """Return the number of blocks that are done at the same time."""

    def start(self) -> futures.Executor:
        """Start the executor, also after it was lost. Errors: RunError if it cannot be started."""

    def works(self) -> bool:
        """Return whether the executor still works; checked from time to time. Errors: RunError if no worker is left."""


class BlockPool:
    """Hands out blocks and collects receipts: `TRIES` after errors; after lost workers again, at most `MAX_DEATHS` times."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace, self._expected = workplace, versions()
        self._executor = workplace.start()
        self._pending: dict[futures.Future[Receipt], str] = {}
        self._errors, self._deaths = Counter[str](), Counter[str]()

    def run(self, work: BlockWork, blocks: Iterable[str]) -> Iterator[Receipt]:
        """See `Executor.run`."""
        waiting, order, done = iter(blocks), deque[str](), dict[str, Receipt]()
        try:
            while True:
                for block in list(islice(waiting, max(AHEAD * self._workplace.workers - len(order), not order))):
                    order.append(block)
                    self._submit(work, block)
                if not order:
                    return
                while order[0] not in done:
                    done |= {receipt.block: receipt for receipt in self._collect(work)}
                yield done.pop(order.popleft())
        finally:
            for future in self._pending:
                future.cancel()
            for kept in (self._pending, self._errors, self._deaths):
                kept.clear()  # blocks of other steps may have the same names

    def _submit(self, work: BlockWork, block: str) -> None:
        try:
            future = self._executor.submit(do_block, work, block, self._expected)
        except LOST:
            future = futures.Future()
            future.set_exception(futures.BrokenExecutor())
        self._pending[future] = block

    def _collect(self, work: BlockWork) -> list[Receipt]:
        """Return the receipts of blocks that have finished; wait for a receipt if there is none."""
        ended = futures.wait(self._pending, POLL_S, futures.FIRST_COMPLETED).done
        again, receipts, lost = list[str](), list[Receipt](), not self._workplace.works()
        for future in ended:
            block = self._pending.pop(future)
            error = futures.CancelledError() if future.cancelled() else future.exception()
            if error is None:
                receipts.append(future.result())
            elif isinstance(error, (*LOST, *self._workplace.killed)):
                lost = lost or isinstance(error, LOST)
                again.append(block)
            else:
                self._errors[block] += 1
                receipts += failed_receipt(block, error, last=self._errors[block] >= TRIES)
                if self._errors[block] < TRIES:
                    self._submit(work, block)
        if lost:
            again += self._pending.values()
            self._pending.clear()
            self._executor = self._workplace.start()
        for block in again:
            self._deaths[block] += 1
            if self._deaths[block] > MAX_DEATHS:
                reason = f"its worker ended without a word more than {MAX_DEATHS} times, as where memory runs out"
                receipts.append(Receipt(block, reason))
            else:
                self._submit(work, block)
        return receipts


def failed_receipt(block: str, error: BaseException, *, last: bool) -> list[Receipt]:
    """Return the receipt of a failed block, none before another try; raise errors that stop any worker, such as a full disk."""
    if isinstance(error, ImportError):
        raise WorkerRefusedError(
            f"a worker cannot import the code of the job: {error}. Install the same version there."
        )
    if isinstance(error, (OutputError, WorkerRefusedError)):
        raise error
    return [Receipt(block, f"{_cause(error)} ({TRIES} times)")] * last


def _cause(error: BaseException) -> str:
    """Return an error in one line: the text of the toolbox's own errors, other errors with their type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DeepNets4EOError) else f"{type(error).__name__}: {text}"
