"""Files that a job has finished, each with a note of what it contains: a file that was damaged since counts as not finished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deepnets4eo.files import PARTIAL, sha256, write_text


@dataclass(frozen=True)
class KeptFiles:
    """Finished files in a job's own folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     kept, file = KeptFiles(Path(name)), Path(name, "map.txt")
    ...     _ = file.write_text("whole")
    ...     kept.note("map.txt")
    ...     before = kept.has("map.txt")
    ...     _ = file.write_text("half")
    ...     before, kept.has("map.txt")
    (True, False)
    """

    folder: Path

    def note(self, *names: str) -> None:
        """Note that files are finished. Errors: OutputError."""
        for name in names:
            write_text(self._note(name), sha256(self.folder / name))

    def has(self, *names: str) -> bool:
        """Return whether all files are there as they were when they were finished."""
        try:
            return all(self._note(name).read_text(encoding="utf-8") == sha256(self.folder / name) for name in names)
        except (OSError, UnicodeError):
            return False

    def _note(self, name: str) -> Path:
        return self.folder / f"{PARTIAL}whole-{name}"
