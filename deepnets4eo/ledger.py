"""The ledger of a prediction: which rows of which strip are safely on the disk, one JSON line each.

Takes the identity of a job (run, scene, tiling, device …); refuses to go on with another job's work, and says what
differs. A line cut short by a kill is ignored: its rows are computed again, to the same bits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepnets4eo.errors import RunError
from deepnets4eo.files import plain


class Ledger:
    """Append-only record beside the unfinished output."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job: dict[str, Any] = {}
        self.done: dict[int, int] = {}
        self.counts: dict[str, int] = {}

    def start(self, job: Mapping[str, Any]) -> None:
        """Begin anew with the identity of a job."""
        self.job, self.done, self.counts = plain(dict(job)), {}, {}
        self.path.write_text(json.dumps(self.job) + "\n", encoding="utf-8")

    def load(self) -> bool:
        """Read what an interrupted job left; False where there is nothing to go on with."""
        if not self.path.is_file():
            return False
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last newline was cut short
        if not lines:
            return False
        self.job = json.loads(lines[0])
        for line in lines[1:]:
            entry = json.loads(line)
            self.done[entry["strip"]] = entry["rows"]
            self.counts = entry["counts"]
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

    def record(self, strip: int, rows: int, counts: Mapping[str, int]) -> None:
        """Note that scene rows 0 … rows - 1 of a strip are on the disk, and the tile counts so far."""
        entry = {"strip": strip, "rows": rows, "counts": dict(counts)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.done[strip], self.counts = rows, dict(counts)

    def remove(self) -> None:
        """The job is finished."""
        self.path.unlink(missing_ok=True)
