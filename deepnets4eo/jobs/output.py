"""The frame of every job that writes a map: lock, check, scratch, products, publish.

Hidden folders next to the output contain what an interrupted job has finished, and products until all of them are there.
Both state which job they are of (`jobs.records`), so that no job continues or completes the work of another.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepnets4eo.errors import BlockError, CompleteError, OutputError, UnreadableError
from deepnets4eo.files import (
    PARTIAL,
    atomic_write,
    check_file_name,
    check_overwrite,
    check_own_folder,
    is_leftover,
    partial_path,
    read_json,
    remove,
    sync_file,
    write_json,
    writing,
)
from deepnets4eo.jobs.identities import identity_hash
from deepnets4eo.jobs.lock import output_lock, scratch_home
from deepnets4eo.jobs.parts import Part
from deepnets4eo.jobs.records import JobRecord
from deepnets4eo.outputs import check_not_inputs, count_of, one_or_many

log = logging.getLogger(__name__)

JOB = "job"  # key of the record in the product that is written last
RECORD = "job.json"  # in the scratch folder: the record, and whether its job may replace products
# Functions that users call as well, such as `DamageMap.save`, make an output of their own. Within a job of the same folder, their last
# product states the record of the job.
_begun: ContextVar[Mapping[Path, JobRecord]] = ContextVar("records of the jobs that this process does", default={})  # noqa: B039


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
    """Finished work of a job, in a hidden folder next to its output."""

    folder: Path

    def of(self, *values: Any) -> Path:
        """Return the folder of finished work for these inputs and options by this version of the code."""
        return self.folder / identity_hash(*values)


@dataclass(frozen=True)
class Products:
    """Products in a hidden `folder`, until they appear together in `out`. record : of the job, which the last of them states."""

    folder: Path
    out: Path
    record: JobRecord | None = None

    def publish(self, names: Sequence[str], known: Iterable[str] = ()) -> dict[str, Path]:
        """Move the products of these names to `out`, and remove others that are `known`, of an earlier map; return name → file.

        At once if `out` is new; else the last name, which marks the set as complete, is removed first and moved last."""
        for left in self.folder.glob(f"{PARTIAL}*"):  # half-written by a job that was killed, and notes on whole files
            left.unlink()
        if self.record is not None and (last := self.folder / names[-1]).suffix == ".json":
            write_json(last, read_json(last) | {JOB: self.record.with_content().to_dict()})
        paths = {name: self.out / name for name in names}
        if not self.out.exists():
            for name in names:
                sync_file(self.folder / name)
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
    """Output of a job, and the permitted treatment of existing files.

    out : a folder of products, or one file
    resume, overwrite : continue an interrupted job; replace existing products
    part : part of the work that is done and kept; None for the job that writes the products
    last : the product that is written last into a folder; "" if `out` is a file
    record : the job's inputs and options, see `for_job`; without it no finished work counts as the job's own
    recorded : reads the record of a finished file; in a folder, the last product has it
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    part: Part | None = None
    last: str = "manifest.json"
    record: JobRecord | None = field(default=None, compare=False)
    recorded: Callable[[Path], str | None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out))  # jobs of other packages give text
        if not self.last:
            check_file_name(self.out)

    def for_job(self, inputs: Mapping[str, Any], *groups: Any, **options: Any) -> JobOutput:
        """Return the output of a job that is known by its inputs and options, see `JobRecord.of`."""
        return replace(self, record=JobRecord.of(inputs, *groups, **options))

    @property
    def record_text(self) -> str:
        """The record as a product of one file keeps it, "" without one."""
        return "" if self.record is None else self.record.to_text()

    @property
    def replaces(self) -> bool:
        """Return whether the contents of `out` may be replaced."""
        return self.overwrite or (self._interrupted and (self.resume or self.part is not None))

    @property
    def _scratch(self) -> Path:
        return scratch_home(self.out) / f"{PARTIAL}scratch-{self.out.name}"

    @property
    def _is_written(self) -> bool:
        """Return whether the last product exists."""
        return (self.out / self.last).exists() if self.last else self.out.is_file()

    @property
    def _written_by(self) -> JobRecord | None:
        """The record of the finished product; None if it has none."""
        if self.last:
            return JobRecord.read(self.out / self.last, JOB)
        return None if self.recorded is None else JobRecord.parse(self.recorded(self.out))

    @property
    def _begun_by(self) -> JobRecord | None:
        """The record of the scratch folder; None if it has none."""
        return JobRecord.read(self._scratch / RECORD, JOB)

    @property
    def _interrupted(self) -> bool:
        """Return whether a job was stopped before all its products were written."""
        return self._scratch.is_dir() and (not self._is_written or self._replacing)

    @property
    def _replacing(self) -> bool:
        """Return whether the scratch folder is of this very job, which was allowed to replace the existing products."""
        begun = self._begun_by
        if self.record is None or begun is None or self._is_own(self._written_by) or not self._is_own(begun):
            return False
        return bool(read_json(self._scratch / RECORD).get("replaces"))

    def _is_own(self, before: JobRecord | None) -> bool:
        """Return whether a record is of this job."""
        return self.record is not None and before is not None and not self.record.differences(before)

    def check_apart(self, names: Iterable[str], *read: Any) -> None:
        """Refuse products of these names that are inputs, which the job reads. Errors: OutputError."""
        check_not_inputs([self.out, *(self.out / name for name in names)], read)

    def check(self) -> None:
        """Refuse (OutputError) products that exist and may not be replaced.

        Of a job to resume: CompleteError if it is complete, OtherJobError if another job wrote what is there."""
        if self.last and self.out.is_file():
            raise OutputError(f"{self.out} is a file, expected a folder. Choose another --out.")
        interrupted = self._interrupted
        if self.resume and not self.overwrite and self._is_written and not interrupted:
            self._check_complete()
        check_overwrite(self.out, overwrite=self.replaces, resume=False if interrupted and not self.resume else None)

    def _check_complete(self) -> None:
        """Raise CompleteError for products of this job, OtherJobError for products of another or an unknown job."""
        written = None if self.record is None else self._written_by
        (self.record or JobRecord.of({})).check_complete({self.out: written})

    @contextmanager
    def begin(self) -> Iterator[Scratch]:
        """Lock and check the output, and yield what is finished: nothing unless the job is resumed, or does a part.

        It is removed when the job is done, or refused before anything is finished; parts stay for the job that resumes them."""
        with output_lock(self.out, shared=self.part is not None):
            if self.part is None:
                self._check_parts()
            try:
                self.check()
            except CompleteError:
                if self._is_own(self._begun_by):  # stopped between its last product and its end
                    self._remove_scratch()
                raise
            if self.part is None and not self.resume:
                with writing(self._scratch):
                    remove(self._scratch)
            check_own_folder(self._scratch)
            with self._kept_on_failure(), self._recorded():
                yield Scratch(self._scratch)
            if self.part is None:
                self._remove_scratch()

    @contextmanager
    def products(self, kept: Path | None = None) -> Iterator[Products]:
        """Lock and check the output, and yield a hidden folder for products; nothing of it stays on failure unless it is `kept`."""
        with output_lock(self.out):
            self.check()
            hidden = kept or partial_path(scratch_home(self.out) / self.out.name)
            record = self.record or _begun.get().get(Path(os.path.realpath(self.out)))
            try:
                with writing(self.out):
                    hidden.mkdir(parents=True, exist_ok=True)
                    yield Products(hidden, self.out, record)
            finally:
                if kept is None:
                    shutil.rmtree(hidden, ignore_errors=True)

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Note in the scratch folder which job it is of, and let products of the job state it."""
        if self.record is None:
            yield
            return
        begun = self._begun_by
        differing = {} if begun is None else self.record.differences(begun)
        if differing and self.part is None:
            details = "; ".join(f"{name} {text}" for name, text in differing.items())
            log.warning(
                "What is finished was made with other values: %s. It is used where it does not depend on them.", details
            )
        allowed = self.overwrite and self.part is None
        if begun is None or (self.part is None and (differing or allowed)):
            write_json(self._scratch / RECORD, {JOB: self.record.to_dict(), "replaces": allowed})
        token = _begun.set({**_begun.get(), Path(os.path.realpath(self.out)): self.record})
        try:
            yield
        finally:
            _begun.reset(token)

    @contextmanager
    def _kept_on_failure(self) -> Iterator[None]:
        """State with an input or output that fails now how to continue; a job that fails before anything is finished leaves nothing."""
        try:
            yield
        except (UnreadableError, BlockError) as error:
            if self._has_finished:
                raise type(error)(f"{error} {self._go_on}") from error
            self._remove_scratch()
            raise
        except OutputError as error:
            if " kept: " in str(error) or not self._scratch.is_dir():
                raise
            raise OutputError(f"{error} {self._go_on}") from error
        except BaseException:
            if not self._has_finished:
                self._remove_scratch()
            raise

    @property
    def _go_on(self) -> str:
        """Return how to continue with finished work, without naming an option that was given."""
        if self.part is not None:
            return "What is done is kept: start the part again then."
        again = "start the same job again then" if self.resume else "go on with --resume then"
        return f"What is done is kept: {again}."

    @property
    def _has_finished(self) -> bool:
        """Return whether the scratch folder has any finished work."""
        files = (path for path in self._scratch.rglob("*") if path.is_file() and path != self._scratch / RECORD)
        return any(not is_leftover(path) for path in files)

    def _remove_scratch(self) -> None:
        with suppress(OSError):
            remove(self._scratch)

    def _check_parts(self) -> None:
        """Refuse (OutputError) a new job that would remove parts that are done or begun, or their map an older one."""
        done, begun = (list(self._scratch.glob(f"*/{names}")) for names in (Part.marks, f"{PARTIAL}rows-*-of-*"))
        number, state = len(done or begun), "done" if done else "begun"
        if not number or self.overwrite or (self.resume and self.replaces):
            return
        parts = f"{count_of(number, 'part')} of a job into {self.out} {one_or_many(number, 'is', 'are')} {state}"
        if self._is_written:
            missing = "--overwrite" if self.resume else "--resume --overwrite"
            raise OutputError(f"{self.out} exists already, and {parts}. Pass {missing} to replace it by their map.")
        raise OutputError(f"{parts}. Pass --resume to make the map of them, or --overwrite to begin again.")
