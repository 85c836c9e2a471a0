"""What the scripts share: files that must be there, and errors of the toolbox as one line.

Takes a folder and patterns of names; refuses what is not there, before any work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deepnets4eo.errors import DeepNets4EOError, InputError

JOPLIN = ("pre", "post", "footprints_overlap.geojson", "damage_labels.geojson")  # of the folder of Joplin


def require_files(folder: Path, *patterns: str) -> list[Path]:
    """The files and folders with any of these names, sorted. Errors: InputError where there are none."""
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if not paths:
        names = f"{'none of' if len(patterns) > 1 else 'no'} {', '.join(patterns)}"
        what = f"it has {names}" if folder.is_dir() else "there is no such folder"
        raise InputError(f"{folder}: {what}. Give the folder that --help describes, or put there what is missing.")
    return paths


def require_all(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder that lacks one of these files or folders. Errors: InputError."""
    for name in names:
        require_files(folder, name)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show an error of the toolbox as one line, and end with the exit status that the command line has for it."""
    try:
        yield
    except DeepNets4EOError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ValueError) else 1) from None
