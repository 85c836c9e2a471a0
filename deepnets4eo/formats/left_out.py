"""Files that a selection leaves out: counted and named, so that no folder is taken for more than was read of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from pathlib import Path

from deepnets4eo.display import list_and_count

log = logging.getLogger(__name__)

MAX_NAMED = 5
MAX_LOOKED_AT = 1_000_000  # files of a folder
# of rasters and pictures, also of those that are not read
PICTURES = {
    ".asc", ".avif", ".bmp", ".dng", ".ecw", ".gif", ".gtiff", ".heic", ".heif", ".img", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".jxl", ".nitf", ".ntf", ".pgm", ".pix", ".png", ".pnm", ".ppm", ".sid", ".tga", ".tif", ".tiff", ".vrt", ".webp", ".nc", ".h5", ".hdf",
    ".hdf5", ".he5", ".mat", ".npy", ".npz",
}  # fmt: skip


def is_picture(path: Path) -> bool:
    """Return whether the suffix of a file is of a raster or picture."""
    return path.suffix.lower() in PICTURES


def warn_of_left_out(
    folder: Path,
    taken: Iterable[Path],
    remedy: str,
    *,
    counts: Callable[[Path], bool] = is_picture,
    what: str = "raster",
    deep: bool = True,
) -> list[Path]:
    """Log how many files of a folder are not among those taken, with their first names; returns them.

    counts : whether a file is one that could be meant; deep : also files in subfolders. Hidden files do not count."""
    chosen = {path.absolute() for path in taken}
    left = [path for path in _files(folder, deep=deep) if counts(path) and path.absolute() not in chosen]
    if left:
        report_left_out(
            str(folder), [str(path.relative_to(folder)) for path in left], len(left) + len(chosen), what, remedy
        )
    return left


def report_left_out(folder: str, names: Collection[str], count: int, what: str, remedy: str) -> None:
    """Log that some of the files of a folder are left out, once per job."""
    _log(folder, tuple(sorted(names)), count, what, remedy)


@lru_cache(maxsize=256)
def _log(folder: str, names: tuple[str, ...], count: int, what: str, remedy: str) -> None:
    log.warning(
        "%d of %d %ss in %s %s left out: %s. %s", len(names), count, what, folder, "are" if len(names) > 1 else "is",
        list_and_count(names, MAX_NAMED), remedy,
    )  # fmt: skip


def _files(folder: Path, *, deep: bool) -> list[Path]:
    paths: list[Path] = []
    for path in folder.rglob("*") if deep else folder.iterdir():
        if len(paths) >= MAX_LOOKED_AT:
            break
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            paths.append(path)
    return sorted(paths)
