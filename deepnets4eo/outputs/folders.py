"""Folders of products: all of them appear together, or none does.

Takes products in a hidden folder beside the output; the file that says that all is there, the manifest, comes last.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deepnets4eo.files import PARTIAL, atomic_write, partial_path, writing
from deepnets4eo.outputs.lock import scratch_home


@contextmanager
def hidden_folder(out_dir: Path, kept: Path | None = None) -> Iterator[Path]:
    """A folder for products beside `out_dir`; nothing of it stays on failure unless it is `kept`."""
    hidden = kept or partial_path(scratch_home(out_dir) / out_dir.name)
    try:
        with writing(out_dir):
            hidden.mkdir(parents=True, exist_ok=True)
            yield hidden
    finally:
        if kept is None:
            shutil.rmtree(hidden, ignore_errors=True)


def publish(hidden: Path, out_dir: Path, names: Sequence[str], obsolete: Iterable[str] = ()) -> None:
    """Move products to `out_dir`: all at once where there is no folder yet, else one by one, the last name last.

    Parameters
    ----------
    hidden
        Folder that holds them.
    out_dir
        Folder to write.
    names
        The products; the last one says that all are there, and is removed first.
    obsolete
        Names of products that an earlier job may have left, and that go.
    """
    for left in hidden.glob(f"{PARTIAL}*"):  # half-written by a job that was killed
        left.unlink()
    if not out_dir.exists():
        hidden.rename(out_dir)
        return
    (out_dir / names[-1]).unlink(missing_ok=True)
    for name in obsolete:
        (out_dir / name).unlink(missing_ok=True)
    for name in names:
        with atomic_write(out_dir / name) as partial:
            shutil.move(hidden / name, partial)  # copies where the folder is a volume of its own
