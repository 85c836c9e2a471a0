"""No job writes over what it reads: outputs are compared with the files behind all inputs before the work starts.

Takes paths of both; refuses an output that is an input, a part of one (a tile of a mosaic, a file of a run, a side file
of a Shapefile) or a link to one, and two outputs of one name. A dry run refuses the same.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError, OutputError

STDOUT = "-"
RUN_CARD = "card.json"  # of a run folder: names its files
TILES = {".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img"}
BESIDE = {  # what belongs to a file of that suffix, under the same stem
    ".shp": (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx"),
    ".tif": (".tfw", ".tif.ovr", ".tif.msk", ".tif.aux.xml"),
}


def refuse_inputs(outputs: Iterable[str | Path | None], inputs: Iterable[Any]) -> None:
    """Refuse outputs that would replace an input; nothing to do where no output exists yet.

    outputs : every file that is written, side files and files of a folder among them, or the folder itself; None
    counts for nothing. inputs : paths, folders of tiles or of a run, patterns, layers, and lists or mappings of these;
    what is no file here (None, "-", a URL, an array) counts for nothing.
    Errors: OutputError names both, and what to do.
    """
    written = [Path(out) for out in outputs if out is not None and str(out) != STDOUT]
    _refuse_twice(written)
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
    """All files that are written with a raster of labels: the raster, its QGIS style, its names for GDAL."""
    return [] if path is None else [Path(path), Path(path).with_suffix(".qml"), Path(f"{path}.aux.xml")]


def files_behind(source: Any) -> Iterator[Path]:
    """The files and folders behind a source; see `refuse_inputs`."""
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
        yield from (path.with_suffix(suffix) for suffix in BESIDE.get(path.suffix.lower(), ()))
        if path.suffix.lower() == ".vrt":
            yield from _of_virtual_raster(path)
    elif any(mark in text for mark in "*?") and "://" not in text:
        yield from map(Path, glob.glob(text))


def _in_folder(folder: Path) -> Iterator[Path]:
    """The files that the card of a run names; else tiles."""
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
    except (ValueError, KeyError, TypeError, RecursionError):  # no run; who opens it says so
        return


def _of_virtual_raster(path: Path) -> Iterator[Path]:
    from deepnets4eo.formats.virtual import vrt_references

    try:
        yield from vrt_references(path)
    except InputError:  # who opens it says so
        return


def _refuse_twice(outputs: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for out in outputs:
        first = seen.setdefault(os.path.normcase(os.path.realpath(out)), out)
        if first is not out:
            raise OutputError(f"{first} would be written twice. Give each output a name of its own.")
