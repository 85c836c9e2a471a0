"""The folders that an assistant may read, and the one that it may write into."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepnets4eo.errors import InputError

LONGEST = 1024  # characters of a path
NAMING_OTHERS = (".vrt", ".yaml", ".yml", ".qgs", ".qgz")  # their text may name any file of the computer


@dataclass(frozen=True)
class Folders:
    """Folders of an assistant; no path leads out of them, also not by links.

    Parameters
    ----------
    read : folders with images, outlines and maps
    write : folder of new maps; None: nothing is written

    Raises
    ------
    InputError
        No folder is named, or one does not exist.
    """

    read: Sequence[Path]
    write: Path | None = None

    def __post_init__(self) -> None:
        if not self.read:
            raise InputError("no folder is named. Name those that an assistant may read.")
        for folder in self._all():
            if not folder.is_dir():
                raise InputError(f"{folder} is not a folder. Make it, or name another.")

    def to_read(self, path: str) -> Path:
        """Return the true path of a file or folder that an assistant names.

        Parameters
        ----------
        path : absolute, or from the first folder

        Raises
        ------
        InputError
            The path leads out of the folders, does not exist, or names a file whose text names other files.
        """
        true = self._inside(path, self._all())
        try:
            exists = true.exists()
        except OSError:  # a name that is too long
            exists = False
        if not exists:
            raise InputError(f"{path} does not exist. Check the path.")
        if not (true.is_file() or true.is_dir()):
            raise InputError(f"{path} is neither a file nor a folder: reading it may never end. Give a file.")
        if true.is_file() and true.suffix.lower() in NAMING_OTHERS:
            raise InputError(f"{path} names other files, which is not followed here. Give those files themselves.")
        for link in (*_links_below(true), *_links_beside(true)):
            self._inside(str(link), self._all())
        return true

    def to_write(self, path: str) -> Path:
        """Return the true path of a new folder. Raises InputError if nothing may be written, or not there."""
        if self.write is None:
            raise InputError("nothing may be written. Start the server with --write FOLDER.")
        return self._inside(str(self.write / path), [self.write])

    def _all(self) -> Iterator[Path]:
        yield from self.read
        if self.write is not None:
            yield self.write

    def _inside(self, path: str, folders: Iterable[Path]) -> Path:
        allowed = [folder.resolve() for folder in folders]
        try:
            true = (self.read[0] / path).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # NUL, a name that is too long, links in a circle
            raise InputError(
                f"{path[:LONGEST]!r} is no path: {error}. Give a path in a folder that the user named."
            ) from error
        if not path or len(path) > LONGEST or not any(true.is_relative_to(folder) for folder in allowed):
            names = ", ".join(map(str, allowed))
            raise InputError(
                f"{path[:LONGEST]!r} is outside of the folders that the user named: {names}. Give a path in one of them."
            )
        return true


def _links_beside(path: Path) -> Iterator[Path]:
    """Yield the links next to a file that readers open with it: overviews, masks, headers, world files and others that share its name."""
    if path.is_file():
        stem = path.name.split(".")[0].lower()
        yield from (
            other for other in path.parent.iterdir() if other.is_symlink() and other.name.lower().startswith(stem)
        )


def _links_below(path: Path) -> Iterator[Path]:
    """Yield all links in a folder and below."""
    for folder, folders, files in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files) if Path(folder, name).is_symlink())
