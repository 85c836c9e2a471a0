"""The frame of every job that writes a map: lock, check, scratch, products, publish.

Hidden folders beside the output hold what an interrupted job has finished, and products until all of them are there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import PARTIAL, atomic_write, check_overwrite, check_own_folder, partial_path, remove, writing
from deepnets4eo.jobs.identities import identity_hash
from deepnets4eo.jobs.lock import output_lock, scratch_home
from deepnets4eo.jobs.parts import PART_MARK, Part
from deepnets4eo.outputs.findings import count_of, one_or_many
from deepnets4eo.outputs.input_files import check_not_inputs


@contextmanager
def new_output(*outputs: str | Path | None, overwrite: bool) -> Iterator[None]:
    """Lock outputs for this job, and refuse (OutputError) those that exist and may not be replaced."""
    with output_lock(*outputs):
        for out in outputs:
            if out is not None:
                check_overwrite(out, overwrite=overwrite)
        yield


@dataclass(frozen=True)
class Scratch:
    """What a job has finished, in a hidden folder beside its output."""

    folder: Path

    def of(self, *values: Any) -> Path:
        """The folder of what was finished for these inputs and options by this version of the code."""
        return self.folder / identity_hash(*values)


@dataclass(frozen=True)
class Products:
    """Products in a hidden `folder`, until they appear together in `out`."""

    folder: Path
    out: Path

    def publish(self, names: Sequence[str], known: Iterable[str] = ()) -> dict[str, Path]:
        """Move the products of these names to `out`, and remove others that are `known`, of an earlier map; name → file.

        At once where `out` is new; else the last name, which says that all are there, goes first and comes last."""
        for left in self.folder.glob(f"{PARTIAL}*"):  # half-written by a job that was killed
            left.unlink()
        paths = {name: self.out / name for name in names}
        if not self.out.exists():
            self.folder.rename(self.out)
            return paths
        for name in (names[-1], *(name for name in known if name not in paths)):
            (self.out / name).unlink(missing_ok=True)
        for name, path in paths.items():
            with atomic_write(path) as partial:
                shutil.move(self.folder / name, partial)  # copies where the folder is a volume of its own
        return paths


@dataclass(frozen=True)
class JobOutput:
    """Where a job writes, and what may happen to what is there.

    out : a folder of products, or one file
    resume, overwrite : go on with an interrupted job; replace products that exist
    part : whose share of the work is done and kept; None for the job that writes the products
    last : the product that is written last into a folder; "" where `out` is a file
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    part: Part | None = None
    last: str = "manifest.json"

    @property
    def replaces(self) -> bool:
        """Whether what is in `out` may be replaced."""
        return self.overwrite or (self._interrupted and (self.resume or self.part is not None))

    @property
    def _scratch(self) -> Path:
        return scratch_home(self.out) / f"{PARTIAL}scratch-{self.out.name}"

    @property
    def _interrupted(self) -> bool:
        """Whether a job was stopped before all its products were written."""
        return self._scratch.is_dir() and not self._is_written

    @property
    def _is_written(self) -> bool:
        """Whether the last product is there; a file shows not of which job it is."""
        return self.last != "" and (self.out / self.last).exists()

    def check_apart(self, names: Iterable[str], *read: Any) -> None:
        """Refuse products of these names that are inputs, which the job reads. Errors: OutputError."""
        check_not_inputs([self.out, *(self.out / name for name in names)], read)

    def check(self) -> None:
        """Refuse (OutputError) products that exist and may not be replaced; CompleteError where nothing is left to resume."""
        done = not self._scratch.is_dir() and (self._is_written or not self.last)
        go_on = False if self._interrupted else None  # is named where there is something to go on with
        check_overwrite(self.out, overwrite=self.replaces, resume=go_on, complete=self.resume and done)
        if self.last and self.out.is_file():
            raise OutputError(f"{self.out} is a file, expected a folder. Choose another --out.")

    @contextmanager
    def begin(self) -> Iterator[Scratch]:
        """Lock and check the output, and yield what is finished: nothing unless the job is resumed, or does a part.

        It is removed when the job is done, or the inputs of a new one are refused; parts stay for the job that resumes them."""
        with output_lock(self.out, shared=self.part is not None):
            if self.part is None:
                self._check_parts()
            self.check()
            if self.part is None and not self.resume:
                with writing(self._scratch):
                    remove(self._scratch)
            check_own_folder(self._scratch)
            with self._kept_on_failure():
                yield Scratch(self._scratch)
            if self.part is None:
                with suppress(OSError):
                    remove(self._scratch)

    @contextmanager
    def products(self, kept: Path | None = None) -> Iterator[Products]:
        """Lock and check the output, and yield a hidden folder for products; nothing of it stays on failure unless it is `kept`."""
        with output_lock(self.out):
            self.check()
            hidden = kept or partial_path(scratch_home(self.out) / self.out.name)
            try:
                with writing(self.out):
                    hidden.mkdir(parents=True, exist_ok=True)
                    yield Products(hidden, self.out)
            finally:
                if kept is None:
                    shutil.rmtree(hidden, ignore_errors=True)

    @contextmanager
    def _kept_on_failure(self) -> Iterator[None]:
        """Say of what cannot be written how to go on; a new job whose inputs are refused leaves nothing."""
        scratch, new = self._scratch, self.part is None and not self._scratch.exists()
        try:
            yield
        except InputError:
            if new:
                with suppress(OSError):
                    remove(scratch)
            raise
        except OutputError as error:
            if self.part is not None:
                raise OutputError(f"{error} What is done is kept: start the part again then.") from error
            if "--resume" in str(error) or not scratch.is_dir():
                raise
            raise OutputError(f"{error} What is done is kept: go on with --resume then.") from error

    def _check_parts(self) -> None:
        """Refuse (OutputError) a new job that would remove parts that are done or begun, or their map an older one."""
        done, begun = (list(self._scratch.glob(f"*/{names}")) for names in (f"{PART_MARK}*", f"{PARTIAL}rows-*-of-*"))
        number, state = len(done or begun), "done" if done else "begun"
        if not number or self.overwrite or (self.resume and self.replaces):
            return
        parts = f"{count_of(number, 'part')} of a job into {self.out} {one_or_many(number, 'is', 'are')} {state}"
        if self._is_written:
            raise OutputError(
                f"{self.out} exists already, and {parts}. Pass --resume --overwrite to replace it by their map."
            )
        raise OutputError(f"{parts}. Pass --resume to make the map of them, or --overwrite to begin again.")
