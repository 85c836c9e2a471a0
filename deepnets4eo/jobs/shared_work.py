"""Blocks whose results are arrays, each in a file of a shared folder, taken in order; finished ones are not computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from deepnets4eo.errors import BlockError, OutputError
from deepnets4eo.jobs.blocks import BlockWork, DoBlock, Executor
from deepnets4eo.jobs.journal import Journal

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
ComputeBlock: TypeAlias = Callable[[str], Arrays]


@dataclass(frozen=True)
class SharedWork:
    """Who computes the blocks of a job (None: this process), and the folder that all processes share."""

    executor: Executor | None
    folder: Path

    def results(
        self,
        open: Callable[..., AbstractContextManager[ComputeBlock]],
        arguments: tuple[Any, ...],
        names: Sequence[str],
    ) -> Iterator[Arrays]:
        """Yield the arrays of every block in order; BlockError names a block that failed."""
        journal, work = Journal(self.folder), (open, arguments, self.folder)
        kept = set(journal.names())
        if self.executor is None:
            with open(*arguments) as compute:
                for name in names:
                    done = journal.get(name) if name in kept else None
                    if done is None:
                        journal.put(name, computed := compute(name))
                    yield computed if done is None else done
            return
        receipts = self.executor.run(BlockWork(_open_kept, work), [name for name in names if name not in kept])
        for name in names:
            if name not in kept and (receipt := next(receipts)).failure:
                raise BlockError(f"the block {name} could not be computed: {receipt.failure}. Remove the cause.")
            arrays = journal.get(name)
            if arrays is None:  # damaged since it was kept
                with _open_kept(*work) as do:
                    do(name)
                arrays = journal.get(name)
            if arrays is None:
                raise OutputError(f"{self.folder / name}.npz cannot be read. Start the job again.")
            yield arrays


@contextmanager
def _open_kept(
    open: Callable[..., AbstractContextManager[ComputeBlock]], arguments: tuple[Any, ...], folder: Path
) -> Iterator[DoBlock]:
    """In a worker: yields what computes the block of a name and keeps its result, if it is not there."""
    journal = Journal(folder)
    with open(*arguments) as compute:

        def do(name: str) -> None:
            if journal.get(name) is None:
                journal.put(name, compute(name))

        yield do
