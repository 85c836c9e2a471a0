"""What a prediction has finished so far: a file of entries and a file of their rows; both only grow.

Takes finished rows; returns them in order when all are there. Survives kill -9 and a full disk: rows without an entry
are cut off, and computed again to the same bits. Refuses to continue another job's work, or to discard work unasked.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import ByteImage
from deepnets4eo.errors import OutputError, RunError
from deepnets4eo.files import PARTIAL, open_own_file, plain, writing
from deepnets4eo.grid import Window
from deepnets4eo.jobs.parts import WHOLE, Part

CHECKSUM = "crc32"  # of a line's other values


class ProgressFile:
    """Record of a job beside its unfinished output: the first line describes the job, each further line some finished rows.

    part : of a job that several processes share; each has a record of its own.
    """

    def __init__(self, out: Path, part: Part = WHOLE) -> None:
        own = "" if part == WHOLE else f"{part.number}-of-{part.total}-"
        self.path = out.with_name(f"{PARTIAL}tiles-{own}{out.name}.jsonl")
        self.rows_path = out.with_name(f"{PARTIAL}rows-{own}{out.name}")
        self.job: dict[str, Any] = {}
        self.entries: list[dict[str, Any]] = []

    @property
    def counts(self) -> dict[str, int]:
        """Tiles passed and skipped so far."""
        return self.entries[-1]["counts"] if self.entries else {}

    def finished_rows(self, strip: int) -> int:
        """Number of scene rows of a strip that are recorded, from the top."""
        return max((entry["rows"] for entry in self.entries if entry["strip"] == strip), default=0)

    def start(self, job: Mapping[str, Any]) -> None:
        """Start again from nothing, with the description of a job."""
        self.job, self.entries = plain(dict(job)), []
        self.remove()
        self._append(self.rows_path, b"")
        self._append(self.path, _to_line(self.job))

    def load(self, *, cut: bool = True) -> bool:
        """Read what an interrupted job left; False where there is nothing.

        Left out, and so computed again, is what it did not complete, and all from the first damaged line or rows on.

        cut : also cut this off the files, so that more can be recorded
        """
        if not (self.path.is_file() and self.rows_path.is_file()):
            return False
        with open_own_file(self.path, "rb") as file:
            complete = file.read().rpartition(b"\n")[0]
        if not complete:
            return False
        first, *lines = complete.split(b"\n")
        job, entries = _parse_line(first), _intact_entries(lines, self.rows_path)
        if job is None or (lines and not entries):
            return False
        self.job, self.entries = job, entries
        if not cut:
            return True
        intact = len(first) + 1 + sum(len(line) + 1 for line in lines[: len(self.entries)])
        intact_rows = sum(sum(entry["bytes"].values()) for entry in self.entries)
        for path, length in ((self.path, intact), (self.rows_path, intact_rows)):
            with open_own_file(path, "r+b") as file:
                file.truncate(length)
        return True

    @classmethod
    def parts(cls, out: Path) -> list[Part]:
        """The parts of a divided job into `out`, those that are not begun included; none where no part was begun.

        Errors: OutputError where it was divided in several ways.
        """
        totals = sorted({total for path, total in _files_of_parts(out) if path.suffix == ".jsonl"})
        if len(totals) > 1:
            raise OutputError(
                f"{out} was divided into {' and into '.join(map(str, totals))} parts. Begin again with --overwrite, or remove "
                f"the files {PARTIAL}*-of-*-{out.name}* of one of them."
            )
        return [Part(number, total) for total in totals for number in range(1, total + 1)]

    @classmethod
    def remove_parts(cls, out: Path) -> None:
        """Remove the records of all parts of a divided job into `out`. Errors: OutputError where one cannot be removed."""
        with writing(out):
            for path, _ in _files_of_parts(out):
                path.unlink(missing_ok=True)

    def check_kept(self, *, overwrite: bool, resume: bool) -> None:
        """Refuse to begin again where finished rows would be lost. Errors: OutputError naming the options that allow it."""
        recorded = self.rows_path.is_file() and self.rows_path.stat().st_size > 0
        if recorded and not (overwrite or resume):
            raise OutputError(
                f"{self.path} exists already: an interrupted job recorded its finished rows there. Pass --overwrite to "
                "begin again, --resume to go on with it, or choose another path."
            )

    def check(self, job: Mapping[str, Any]) -> None:
        """Refuse to resume another job. Errors: RunError naming what differs."""
        described = plain(dict(job))
        keys = described.keys() | self.job.keys()
        differing = sorted(key for key in keys if described.get(key) != self.job.get(key))
        if differing:
            details = ", ".join(f"{key} {self.job.get(key)!r} then, {described.get(key)!r} now" for key in differing)
            raise RunError(
                f"{self.path} records an interrupted job that differs: {details}. Give the same inputs and options, or "
                "begin again with --overwrite in place of --resume."
            )

    def record(self, strip: int, window: Window, rows: Mapping[str, ByteImage], counts: Mapping[str, int]) -> None:
        """Write finished rows (bands, h, w) of each product, then their entry. Errors: OutputError."""
        packed = {product: zlib.compress(part.tobytes(), 1) for product, part in rows.items()}
        self._append(self.rows_path, b"".join(packed.values()))
        entry = {"strip": strip, "window": list(window), "rows": window.row + window.height, "counts": dict(counts)}
        entry["bytes"] = {product: len(part) for product, part in packed.items()}
        self._append(self.path, _to_line(entry))
        self.entries.append(entry)

    def replay(self, product: str, bands: int) -> Iterator[tuple[Window, ByteImage]]:
        """All rows of a product, in the order in which they were recorded: window and (bands, h, w)."""
        with open_own_file(self.rows_path, "rb") as file:
            for entry in self.entries:
                window = Window(*entry["window"])
                for name, length in entry["bytes"].items():
                    if name != product:
                        file.seek(length, os.SEEK_CUR)
                        continue
                    rows = np.frombuffer(zlib.decompress(file.read(length)), np.uint8)
                    yield window, rows.reshape(bands, window.height, window.width)

    def remove(self) -> None:
        """Remove both files. Errors: OutputError where they cannot be removed."""
        for path in (self.path, self.rows_path):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"could not remove {path}: {error.strerror or error}. Remove it by hand.") from error

    def _append(self, path: Path, content: bytes) -> None:
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with open_own_file(path, "ab") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        except OutputError as error:
            raise OutputError(f"{error} Finished rows are kept: go on with --resume then.") from error


def _files_of_parts(out: Path) -> list[tuple[Path, int]]:
    """The files of the records of parts of a job into `out`, and into how many it was divided."""
    own = rf"-\d+-of-(\d+)-{re.escape(out.name)}"
    names = re.compile(rf"{re.escape(PARTIAL)}(?:tiles{own}[.]jsonl|rows{own})")
    matches = [(path, names.fullmatch(path.name)) for path in out.parent.glob(f"{PARTIAL}*-of-*")]
    return [(path, int(match[1] or match[2])) for path, match in matches if match is not None]


def _to_line(value: dict[str, Any]) -> bytes:
    """One line of the record, with a checksum of its values."""
    return json.dumps(value | {CHECKSUM: _checksum(value)}).encode() + b"\n"


def _parse_line(line: bytes) -> dict[str, Any] | None:
    """The values of a line; None where it is damaged."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.pop(CHECKSUM, None) == _checksum(value) else None


def _checksum(value: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def _intact_entries(lines: Sequence[bytes], rows_path: Path) -> list[dict[str, Any]]:
    """The entries of lines up to the first that is damaged, or whose rows are. Memory: the rows of one entry."""
    entries: list[dict[str, Any]] = []
    with open_own_file(rows_path, "rb") as file:
        for line in lines:
            entry = _parse_line(line)
            if entry is None or not all(_is_complete(file.read(length)) for length in entry["bytes"].values()):
                break
            entries.append(entry)
    return entries


def _is_complete(packed: bytes) -> bool:
    """Whether rows were written to their end, by zlib's own checksum."""
    try:
        zlib.decompress(packed)
    except zlib.error:
        return False
    return True
