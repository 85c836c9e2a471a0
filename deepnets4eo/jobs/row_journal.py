"""Finished rows of a raster, kept next to the unfinished file, so that an interrupted prediction can continue.

Survives kill -9 and a full disk: damaged rows, and all after them, are computed again. Refuses another job's work.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import BlockError, OutputError, UnreadableError
from deepnets4eo.files import PARTIAL, check_file_name, check_own_folder, plain, remove, writing
from deepnets4eo.grid import Window
from deepnets4eo.jobs.journal import Journal
from deepnets4eo.jobs.parts import Part
from deepnets4eo.jobs.records import JobRecord

JOB = "job"  # the block that describes the job; those of rows are numbered
ENTRY = "entry"  # of a block: its values as JSON
RECORD = "record"  # of the description: inputs and options, as `JobRecord.to_dict` writes them


class RowJournal:
    """Journal of the finished rows of a raster `out`, or of one part of a job that several processes share."""

    def __init__(self, out: Path, part: Part = Part.whole) -> None:
        own = "" if part == Part.whole else f"{part.number}-of-{part.total}-"
        self.folder = (out := check_file_name(out)).with_name(f"{PARTIAL}rows-{own}{out.name}")
        self.job: dict[str, Any] = {}
        self.entries: list[dict[str, Any]] = []
        self._journal = Journal(self.folder)

    @property
    def is_begun(self) -> bool:
        """Return whether a job was begun here and not finished."""
        return JOB in self._journal.names()

    @property
    def counts(self) -> dict[str, int]:
        """Tiles passed and skipped so far."""
        return self.entries[-1]["counts"] if self.entries else {}

    def finished_rows(self, strip: int) -> int:
        """Return the number of scene rows of a strip that are recorded, from the top."""
        return max((entry["rows"] for entry in self.entries if entry["strip"] == strip), default=0)

    def start(self, job: Mapping[str, Any]) -> None:
        """Start again from nothing, with the description of a job."""
        self.job, self.entries = plain(dict(job)), []
        self.remove()
        self._put(JOB, self.job, {})

    def load(self) -> bool:
        """Read the rows of an interrupted job, up to the first damaged rows; return False if there are none."""
        check_own_folder(self.folder)
        self.job, self.entries = self._entry(JOB) or {}, []
        if not self.job:
            return False
        for number in count():
            entry = self._entry(str(number))
            if entry is None or not _is_of_rows(entry):
                break
            self.entries.append(entry)
        return bool(self.entries) or self._journal.names() == [JOB]

    @classmethod
    def parts(cls, out: Path) -> list[Part]:
        """Return all parts of a job into `out` if any was begun; OutputError if the job was divided in several ways."""
        totals = sorted(set(_folders_of_parts(out).values()))
        if len(totals) > 1:
            raise OutputError(
                f"{out} was divided into {' and into '.join(map(str, totals))} parts. Remove the folders "
                f"{PARTIAL}*-of-*-{out.name} of one of them, or begin the whole job again, by --overwrite without other options of parts."
            )
        return [Part(number, total) for total in totals for number in range(1, total + 1)]

    @classmethod
    def remove_parts(cls, out: Path) -> None:
        """Remove the journals of all parts of a job into `out`. Errors: OutputError."""
        for folder in _folders_of_parts(out):
            _remove_folder(folder)

    def check_kept(self, *, overwrite: bool, resume: bool) -> None:
        """Refuse (OutputError) to begin again where finished rows would be lost."""
        if not (overwrite or resume) and set(self._journal.names()) - {JOB}:
            raise OutputError(
                f"{self.folder} exists already: an interrupted job recorded its finished rows there. Pass --overwrite to "
                "begin again, --resume to go on with it, or choose another path."
            )

    @property
    def begun(self) -> JobRecord | None:
        """The inputs and options of the job that was begun; None if they are not known."""
        return JobRecord.from_dict(self.job.get(RECORD))

    def check(self, job: Mapping[str, Any]) -> None:
        """Refuse to resume another job. Errors: OtherJobError naming what differs."""
        described = plain(dict(job))
        now = JobRecord.from_dict(described.pop(RECORD, None)) or JobRecord({}, {}, "")
        then = self.begun or JobRecord({}, {}, "")
        others = {key: value for key, value in self.job.items() if key != RECORD}
        replace(now, options={**now.options, **described}).check_same(
            replace(then, options={**then.options, **others}), f"{self.folder}, which records an interrupted job,"
        )

    def record(self, strip: int, window: Window, rows: Mapping[str, NDArray[Any]], counts: Mapping[str, int]) -> None:
        """Keep the finished rows of a window, one array of any shape a product. Errors: OutputError."""
        arrays = {product: [array.dtype.str, list(array.shape)] for product, array in rows.items()}
        entry = {"strip": strip, "window": list(window), "rows": window.row + window.height, "counts": dict(counts)}
        entry["arrays"] = arrays
        self._put(
            str(len(self.entries)), entry, {product: zlib.compress(rows[product].tobytes(), 1) for product in rows}
        )
        self.entries.append(entry)

    def replay(self, product: str) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield all rows of a product in the order of their recording: their window and array."""
        for number, entry in enumerate(self.entries):
            packed = self._journal.get(str(number), [product])
            try:
                dtype, shape = entry["arrays"][product]
                rows = np.frombuffer(zlib.decompress((packed or {})[product].tobytes()), dtype).reshape(shape)
            except (KeyError, ValueError, TypeError, zlib.error) as error:
                raise OutputError(
                    f"finished rows in {self.folder} cannot be read any more; they are made again."
                ) from error
            yield Window(*entry["window"]), rows

    @contextmanager
    def kept_on_failure(self, *, resume: bool, part: bool = False) -> Iterator[None]:
        """State with a failure how to continue the job later, without an option that was given: `resume`, `part`."""
        try:
            yield
        except (OutputError, UnreadableError, BlockError) as error:
            if not self.is_begun:
                raise
            how = "start the part again" if part else "start the same job again" if resume else "go on with --resume"
            raise type(error)(f"{error} Finished rows are kept: {how} then.") from error

    def remove(self) -> None:
        """Remove the journal. Errors: OutputError if it cannot be removed."""
        _remove_folder(self.folder)

    def _put(self, name: str, entry: Mapping[str, Any], packed: Mapping[str, bytes]) -> None:
        if self.folder.is_symlink():
            check_own_folder(self.folder)
        blocks = {ENTRY: json.dumps(entry).encode(), **packed}
        self._journal.put(name, {key: np.frombuffer(block, np.uint8) for key, block in blocks.items()})

    def _entry(self, name: str) -> dict[str, Any] | None:
        """Return the values of a block whose arrays can all be read; None if one is damaged, or there is no block."""
        arrays = self._journal.get(name)
        if arrays is None:
            return None
        try:
            entry = json.loads(arrays[ENTRY].tobytes())
            return entry if set(entry.get("arrays", ())) <= set(arrays) else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def _is_of_rows(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry has the fields that `record` writes, each of its type."""
    window, counts, arrays = (entry.get(name) for name in ("window", "counts", "arrays"))
    numbers = [entry.get("strip"), entry.get("rows"), *(window if isinstance(window, list) else [])]
    return (
        len(numbers) == 2 + len(Window._fields)
        and isinstance(counts, dict)
        and isinstance(arrays, dict)
        and all(type(number) is int for number in (*numbers, *counts.values()))
    )


def _folders_of_parts(out: Path) -> dict[Path, int]:
    """Return the folders of the parts of a job into `out` that were begun → the number of parts that it was divided into."""
    names = re.compile(rf"{re.escape(PARTIAL)}rows-\d+-of-(\d+)-{re.escape(out.name)}")
    matches = {path: names.fullmatch(path.name) for path in out.parent.glob(f"{PARTIAL}*-of-*")}
    return {path: int(match[1]) for path, match in matches.items() if match is not None}


def _remove_folder(folder: Path) -> None:
    try:
        with writing(folder):
            remove(folder)
    except OutputError as error:
        raise OutputError(f"could not remove {folder}: {error.__cause__}. Remove it by hand.") from error
