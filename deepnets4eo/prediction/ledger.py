"""What a prediction has finished so far: a ledger of rows, and a journal of their bytes, both only ever appended to.

Takes finished rows; gives them back in order when all are there. Survives kill -9 and a full disk: what the ledger
does not mention is cut off, and computed again to the same bits. Refuses to go on with another job's work.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import OutputError, RunError
from deepnets4eo.files import PARTIAL, plain, writing
from deepnets4eo.grid import Window

Bytes = NDArray[np.uint8]


class Ledger:
    """Record of a job beside its unfinished output: `tiles.jsonl`, first line the job, then one line a run of rows."""

    def __init__(self, out: Path) -> None:
        self.path = out.with_name(f"{PARTIAL}tiles-{out.name}.jsonl")
        self.rows_path = out.with_name(f"{PARTIAL}rows-{out.name}")
        self.job: dict[str, Any] = {}
        self.entries: list[dict[str, Any]] = []

    @property
    def counts(self) -> dict[str, int]:
        """Tiles passed and skipped so far."""
        return self.entries[-1]["counts"] if self.entries else {}

    def done(self, strip: int) -> int:
        """Scene rows 0 … of a strip that are recorded."""
        return max((entry["rows"] for entry in self.entries if entry["strip"] == strip), default=0)

    def start(self, job: Mapping[str, Any]) -> None:
        """Begin anew with the identity of a job."""
        self.job, self.entries = plain(dict(job)), []
        self.remove()
        self._append(self.rows_path, b"")
        self._append(self.path, json.dumps(self.job).encode() + b"\n")

    def load(self) -> bool:
        """Read what an interrupted job left, and cut off what it did not complete; False where there is nothing."""
        if not (self.path.is_file() and self.rows_path.is_file()):
            return False
        complete = self.path.read_bytes().rpartition(b"\n")[0]
        if not complete:
            return False
        self.job, *self.entries = [json.loads(line) for line in complete.decode().split("\n")]
        kept = sum(sum(entry["bytes"].values()) for entry in self.entries)
        if self.rows_path.stat().st_size < kept:
            return False
        os.truncate(self.path, len(complete) + 1)
        os.truncate(self.rows_path, kept)
        return True

    def check(self, job: Mapping[str, Any]) -> None:
        """Refuse to resume another job. Errors: RunError naming what differs."""
        wanted = plain(dict(job))
        differing = sorted(key for key in wanted.keys() | self.job.keys() if wanted.get(key) != self.job.get(key))
        if differing:
            details = ", ".join(f"{key} {self.job.get(key)!r} then, {wanted.get(key)!r} now" for key in differing)
            raise RunError(
                f"{self.path} records an interrupted job that differs: {details}. Give the same inputs and options, or "
                "start anew without --resume."
            )

    def record(self, strip: int, window: Window, rows: Mapping[str, Bytes], counts: Mapping[str, int]) -> None:
        """Keep finished rows (bands, h, w) of each product, and note that they are kept. Errors: OutputError."""
        packed = {product: zlib.compress(part.tobytes(), 1) for product, part in rows.items()}
        self._append(self.rows_path, b"".join(packed.values()))
        entry = {"strip": strip, "window": list(window), "rows": window.row + window.height, "counts": dict(counts)}
        entry["bytes"] = {product: len(part) for product, part in packed.items()}
        self._append(self.path, json.dumps(entry).encode() + b"\n")
        self.entries.append(entry)

    def replay(self, product: str, bands: int) -> Iterator[tuple[Window, Bytes]]:
        """All rows of a product, in the order in which they were recorded: window and (bands, h, w)."""
        with self.rows_path.open("rb") as file:
            for entry in self.entries:
                window = Window(*entry["window"])
                for name, length in entry["bytes"].items():
                    if name != product:
                        file.seek(length, os.SEEK_CUR)
                        continue
                    rows = np.frombuffer(zlib.decompress(file.read(length)), np.uint8)
                    yield window, rows.reshape(bands, window.height, window.width)

    def remove(self) -> None:
        """The job is finished, or another one begins."""
        self.path.unlink(missing_ok=True)
        self.rows_path.unlink(missing_ok=True)

    def _append(self, path: Path, content: bytes) -> None:
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        except OutputError as error:
            raise OutputError(f"{error} What is done is kept: go on with --resume then.") from error
