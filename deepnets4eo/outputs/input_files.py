"""No job writes over what it reads: refuses outputs that are inputs, parts of them or links, and two outputs of one name."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import check_file_name

STDOUT = "-"
RUN_CARD = "card.json"  # of a run folder: names its files
TILES = {".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img"}
SIDE_SUFFIXES = {  # suffix of a file → suffixes of files that belong to it, with the same stem
    ".shp": (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx"),
    ".tif": (".tfw", ".tif.ovr", ".tif.msk", ".tif.aux.xml"),
}


def check_not_inputs(outputs: Iterable[str | Path | None], inputs: Iterable[Any]) -> None:
    """Raise OutputError where an output would replace an input, or two outputs are one file.

    Parameters
    ----------
    outputs : every file that is written, with side files and files of a folder, or the folder itself; None is ignored
    inputs
        Paths, folders of tiles or of a run, patterns, layers, and lists or mappings of these; what is no file here is ignored.

    >>> check_not_inputs(["labels.tif"], ["image.tif"])
    >>> check_not_inputs(["labels.tif", "labels.tif"], [])
    Traceback (most recent call last):
    deepnets4eo.errors.OutputError: labels.tif would be written twice. Give each output its own name.
    """
    written = [Path(out) for out in outputs if out is not None and str(out) != STDOUT]
    _check_once(written)
    existing = [out for out in written if out.exists()]
    if not existing:
        return
    for path in files_behind(list(inputs)):
        for out in existing:
            if path.exists() and out.samefile(path):  # also through links, and whatever the case of the letters
                same = "" if os.path.abspath(out) == os.path.abspath(path) else f" (the same as {path})"
                raise OutputError(
                    f"{out}{same} is read by this job, so it cannot be written by it. Choose another name for the output."
                )


def label_raster_files(path: str | Path | None) -> list[Path]:
    """Return all files that are written with a label raster: the raster, its QGIS style, its class names for GDAL."""
    if path is None:
        return []
    path = check_file_name(path)
    return [path, path.with_suffix(".qml"), Path(f"{path}.aux.xml")]


def files_behind(source: Any) -> Iterator[Path]:
    """Yield the files and folders that a source consists of; see `check_not_inputs` for sources."""
    if isinstance(source, Mapping):
        yield from files_behind(list(source.values()))
    elif isinstance(source, (str, Path)):
        yield from _of_path(str(source))
    elif isinstance(source, Sequence):
        for item in source:
            yield from files_behind(item)
    elif isinstance(getattr(source, "paths", None), list):  # a layer
        yield from files_behind(source.paths)


def _of_path(text: str) -> Iterator[Path]:
    path = Path(text)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # a URL or a description longer than any name
        return
    if is_folder:
        yield path
        yield from _in_folder(path)
    elif is_file:
        yield path
        yield from (path.with_suffix(suffix) for suffix in SIDE_SUFFIXES.get(path.suffix.lower(), ()))
        if path.suffix.lower() == ".vrt":
            yield from _of_virtual_raster(path)
        if path.suffix.lower() == ".hdr":  # of an ENVI file, whose numbers have the same name
            yield from path.parent.glob(f"{glob.escape(path.stem)}*")
    elif "#" in text and Path(text.rpartition("#")[0]).exists():  # FILE#ARRAY, FOLDER#bands
        yield from _of_path(text.rpartition("#")[0])
    elif any(mark in text for mark in "*?") and "://" not in text:
        yield from map(Path, glob.glob(text.removesuffix("#bands")))


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield the files that the card of a run names; else tiles."""
    card = folder / RUN_CARD
    if not card.is_file():
        for item in folder.iterdir():
            if item.suffix.lower() in TILES:
                yield from _of_path(str(item))
        return
    yield card
    try:
        names = json.loads(card.read_bytes())["files"]
        yield from (folder / str(name) for name in names)
    except (ValueError, KeyError, TypeError, RecursionError):  # no run; an error of the reader says so
        return


def _of_virtual_raster(path: Path) -> Iterator[Path]:
    from deepnets4eo.formats.rasters import vrt_references

    try:
        yield from vrt_references(path)
    except InputError:  # an error of the reader says so
        return


def _check_once(outputs: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for out in outputs:
        first = seen.setdefault(os.path.normcase(os.path.realpath(out)), out)
        if first is not out:
            raise OutputError(f"{first} would be written twice. Give each output its own name.")
