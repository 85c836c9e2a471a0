"""Images with labels on disk: a folder per class, a table, a NumPy archive, or the folders of BigEarthNet.

Refuses names that the legend lacks, empty classes, bands missing or in another order, and archives of objects.
"""

from __future__ import annotations

import csv
import logging
import os
from collections import ChainMap, Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Mask
from deepnets4eo.cards import DatasetCard, Legend, SplitPart
from deepnets4eo.classification.archives import list_archive
from deepnets4eo.classification.bands import check_band_order
from deepnets4eo.classification.image_files import (
    check_one_kind,
    choose_bands,
    cut_tiles,
    file_bands,
    open_image,
    read_band,
    read_cells,
)
from deepnets4eo.classification.images import ImageList
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.files import read_json, read_text
from deepnets4eo.formats import check_beside, vector_errors, warn_of_left_out
from deepnets4eo.grid import Grid
from deepnets4eo.options import Section, normalise_name
from deepnets4eo.rasters import name_band

log = logging.getLogger(__name__)

SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2"}
TABLE, NPZ, METADATA, OF_PATCH = ".csv", ".npz", "metadata.parquet", "_labels_metadata.json"
OF_RADAR = "corresponding_s2_patch"  # stands in the metadata of a patch of Sentinel-1
BETWEEN = ";"  # labels of an image in a table
UNLABELLED = ("", "unlabelled", "unlabeled")
PART_COLUMNS = ("part", "split")
MACOS = "__MACOSX"
Row = tuple[Path, list[str], str]  # file, labels, part
PARTS = {
    "": "",
    "train": SplitPart.train,
    "training": SplitPart.train,
    "val": SplitPart.val,
    "validation": SplitPart.val,
    "valid": SplitPart.val,
    "test": SplitPart.test,
}
RADAR = ("VV", "VH")
NAMED = 5


class ImageData(Section):
    """The images of a training, the bands and labels that are read, and the images for validation and test."""

    folders: tuple[str, ...] = Field(
        default=(), description="folders, tables (.csv) or archives (.npz); --data sets it"
    )
    layout: Literal["auto", "folders", "table", "npz", "bigearthnet"] = Field(
        default="auto",
        description="folders: one a class; table: image, label, part; npz: images, labels; bigearthnet: v1 or v2",
    )
    dataset: str | None = Field(
        default=None, description="dataset card with the bands of the files; its legend, where none is set"
    )
    file_bands: tuple[str, ...] = Field(
        default=(), description="bands of the files, in order; none: those of the card, else the names in the files"
    )
    bands: tuple[str, ...] = Field(default=(), description="bands that the network takes, in order; none: all")
    labels: Literal["one", "several"] = Field(default="one", description="labels that an image has")
    val_share: float = Field(default=0.2, ge=0, lt=1, description="of each class, where no part is published; 0: none")
    test_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="likewise, scored once at the end: no epoch and no temperature is chosen by it",
    )
    tile_px: int = Field(
        default=0, ge=0, description="side of tiles that unlabelled images in folders are cut into; 0: as they are"
    )
    labels_per_class: int = Field(
        default=0, ge=0, description="training images of each class that keep their labels, drawn by split_seed; 0: all"
    )
    unlabelled: tuple[str, ...] = Field(default=(), description="further folders or archives whose labels are not read")
    val: tuple[str, ...] = Field(default=(), description="further ones that are validated on, instead of val_share")
    test: tuple[str, ...] = Field(default=(), description="further ones that are tested on, instead of test_share")
    split_seed: int = Field(default=0, ge=0, description="of parts and few labels; apart from train.seed")
    windows_per_epoch: int = Field(
        default=1000, ge=0, description="labelled images that an epoch shows; 0: each once, 512 at least"
    )
    memory_gb: float = Field(default=4.0, gt=0, description="more pixels than that are kept in a temporary file")
    num_workers: int = Field(default=2, ge=0, description="threads that read ahead of the network")

    @property
    def memory_bytes(self) -> float:
        """Most bytes of pixels in memory."""
        return self.memory_gb * (1 << 30)


def list_images(data: ImageData, legend: Legend | None = None) -> tuple[ImageList, Legend]:
    """List the images of a recipe and their labels.

    Errors: InputError for files that cannot be read, labels that the legend lacks, and images without the bands that are needed.

    Parameters
    ----------
    data : which images
    legend : the classes; none: the folders' names are

    Returns
    -------
    The images in the order of their names, labelled ones first, and the legend.
    """
    bands = _check_named(data)
    legend = legend or folder_legend(Path(data.folders[0]))
    parts = ((data.folders, ""), (data.val, SplitPart.val), (data.test, SplitPart.test))
    lists = [_in_part(_list(Path(folder), data, bands, legend), part) for named, part in parts for folder in named]
    lists += [_in_part(_list(Path(folder), data, bands, None), SplitPart.train) for folder in data.unlabelled]
    return join(lists, legend.num_classes), legend


def list_unlabelled(data: ImageData) -> ImageList:
    """All images of `folders` and `unlabelled` without labels, or their tiles of `tile_px`."""
    bands = _check_named(data)
    return join([_list(Path(folder), data, bands, None) for folder in (*data.folders, *data.unlabelled)], 0)


def _check_named(data: ImageData) -> Sequence[str]:
    """Return the bands of the files, if they are known. Raises InputError without any images."""
    if not data.folders and not data.unlabelled:
        raise InputError("no images were named. Give --data FOLDER, --data images.csv or --data images.npz.")
    return data.file_bands or (DatasetCard.load(data.dataset).bands.get("image", ()) if data.dataset else ())


def folder_legend(folder: Path) -> Legend:
    """Return the names of the folders as classes, in colours around the colour circle. Raises InputError without two folders."""
    import colorsys

    inner = class_folders(folder) if folder.is_dir() else []
    inner = [class_folder for part in inner for class_folder in class_folders(part)] if _are_parts(inner) else inner
    names = sorted({folder.name for folder in inner if folder.name.lower() not in UNLABELLED})
    if len(names) < 2:
        check_unpacked(folder)
        raise InputError(f"{folder} has {len(names)} folders, so the classes are unknown. Set legend, or data.dataset.")
    colours = [colorsys.hsv_to_rgb(number / len(names), 0.75, 0.9) for number in range(len(names))]
    classes = [
        {"value": number, "name": name, "color": [round(255 * part) for part in colour]}
        for number, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]
    return Legend.from_dict({"name": "folders", "classes": classes}, str(folder))


def join(lists: Sequence[ImageList], num_classes: int) -> ImageList:
    """One list of several. Errors: InputError for other bands, or an image that comes twice."""
    first = lists[0]
    for other in lists[1:]:
        check_band_order(other.bands, first.bands, other.names[0])
        check_one_kind(other.dtype, other.names[0], first.dtype, first.names[0])
    names = tuple(name for images in lists for name in images.names)
    if len(lists) == 1 and first.targets.shape[1] == num_classes:
        return first
    _check_once(names)
    starts = np.cumsum([0, *map(len, lists)])

    def read(row: int) -> NDArray[Any]:
        number = int(np.searchsorted(starts, row, side="right")) - 1
        return lists[number].read(row - int(starts[number]))

    targets = np.zeros((len(names), num_classes), bool)
    for start, images in zip(starts, lists, strict=False):
        targets[start : start + len(images), : images.targets.shape[1]] = images.targets
    parts = tuple(part for images in lists for part in (images.parts or [""] * len(images)))
    grids = ChainMap(*(images.grids for images in lists))  # which fill as images are read
    return ImageList(names, targets, read, first.bands, parts, first.gsd_m, first.dtype, grids)


def _in_part(images: ImageList, part: str) -> ImageList:
    """Return the images, all assigned to one part; an empty part leaves them as listed."""
    return replace(images, parts=(part,) * len(images)) if part else images


def _list(folder: Path, data: ImageData, bands: Sequence[str], legend: Legend | None) -> ImageList:
    layout = _recognise(folder) if data.layout == "auto" or legend is None else data.layout
    if layout == "npz":
        return list_archive(folder, data.bands, bands, legend)
    if layout == "bigearthnet":
        return _list_bigearthnet(folder, data, bands, legend)
    files = (table_rows if layout == "table" else folder_rows)(folder, named=legend is not None)
    if not files:
        check_unpacked(folder)
        raise InputError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}). Give the folder with the images.")
    paths = [path for path, _, _ in files]
    if layout == "folders":
        warn_of_left_out(
            folder,
            paths,
            f"Read are {', '.join(sorted(SUFFIXES))}, in a folder per class. Write the others as PNG or GeoTIFF.",
            what="picture",
        )
    first = open_image(paths[0])
    chosen, names = choose_bands(file_bands(first, bands, chosen=bool(data.bands)), data.bands, str(paths[0]))
    tiled = data.tile_px and legend is None
    cells = cut_tiles(paths, data.tile_px) if tiled else [(row, None) for row in range(len(paths))]
    named = [_name(paths[row], folder) + (f"#{tile.row},{tile.col}" if tile else "") for row, tile in cells]
    _, labels, parts = zip(*(files[row] for row, _ in cells), strict=True)
    targets = _targets(labels, legend, [str(paths[row]) for row, _ in cells])
    gsd_m = None if first.grid.crs is None else first.gsd_m
    grids: dict[str, Grid] = {}
    read = read_cells(paths, cells, first, chosen, lambda number, grid: grids.setdefault(named[number], grid))
    return ImageList(tuple(named), targets, read, names, tuple(parts) if any(parts) else (), gsd_m, first.dtype, grids)


def _recognise(folder: Path) -> str:
    if folder.suffix.lower() in (TABLE, NPZ):
        return {TABLE: "table", NPZ: "npz"}[folder.suffix.lower()]
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder, no table (.csv) and no archive (.npz). Check the path.")
    if (folder / METADATA).is_file() or next(folder.glob(f"**/*{OF_PATCH}"), None):
        return "bigearthnet"
    return "folders"


def folder_rows(folder: Path, *, named: bool) -> list[Row]:
    """Return the rows of a folder per class, or of such folders in a folder per part; all images below the folder if labels are not read."""
    if not named:
        return [(path, [], "") for path in images_in(folder)]
    inner = class_folders(folder)
    if _are_parts(inner):
        return [
            (path, labels, PARTS[part.name.lower()])
            for part in inner
            for path, labels, _ in folder_rows(part, named=True)
        ]
    rows: list[Row] = []
    for class_folder in inner:
        files = images_in(class_folder)
        if not files:
            raise InputError(f"the class folder {class_folder} holds no image. Remove it, or put its images there.")
        rows += [(path, [] if class_folder.name.lower() in UNLABELLED else [class_folder.name], "") for path in files]
    return rows


def images_in(folder: Path) -> list[Path]:
    """Return images below a folder, without hidden files and the files that macOS adds to each file of an archive."""
    inner = ((path, path.relative_to(folder).parts) for path in folder.rglob("*"))
    return sorted(path for path, parts in inner if path.suffix.lower() in SUFFIXES and not any(map(_hidden, parts)))


def class_folders(folder: Path) -> list[Path]:
    """Return the folders within a folder, without hidden folders."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def _are_parts(folders: Sequence[Path]) -> bool:
    """Return whether folders are named train, val, test or similar, and contain folders of classes."""
    return len(folders) > 1 and all(folder.name.lower() in PARTS and class_folders(folder) for folder in folders)


def check_unpacked(folder: Path) -> None:
    """Refuse a folder of zipped classes. Errors: InputError."""
    packed = sorted(path.name for path in folder.glob("*.zip") if not _hidden(path.name))
    if packed:
        raise InputError(
            f"{folder} holds {len(packed)} archives, {', '.join(packed[:NAMED])}, which are not read. Unpack them: "
            f"unzip -q -d {folder} '{folder}/*.zip'"
        )


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == MACOS


def table_rows(path: Path, *, named: bool) -> list[Row]:
    """Return the rows of a table with the columns image, label (if labels are read) and, if present, part or split; each image once."""
    columns, rows = _read_cells(path)
    part = next((name for name in PART_COLUMNS if name in columns), PART_COLUMNS[0])
    if not {"image", *(("label",) if named else ())} <= set(columns):
        raise InputError(f"{path} has the columns {', '.join(columns)}; expected image, label and, if need be, {part}.")
    listed: dict[Path, tuple[int, list[str], str]] = {}
    for number, row in enumerate(rows, 2):
        stated = row.get(part, "")
        if stated.lower() not in PARTS:
            raise InputError(f"{path}, line {number}: {part} is {stated!r}; expected train, val, test or nothing.")
        labels = [label.strip() for label in row["label"].split(BETWEEN) if label.strip()] if named else []
        image, content = _beside(path, number, row["image"]), (labels, PARTS[stated.lower()])
        first = listed.setdefault(image, (number, *content))
        if first[1:] != content:
            raise InputError(
                f"{path}: line {first[0]} and line {number} name one image, {row['image']}, as {_say(*first[1:])} and as "
                f"{_say(*content)}. Keep one of them; several labels of an image stand in one line, with {BETWEEN} between them."
            )
    if len(listed) < len(rows):
        log.warning(
            "%s: %d lines say again what others say of their image; each counts once.", path, len(rows) - len(listed)
        )
    return [(image, labels, of_part) for image, (_, labels, of_part) in listed.items()]


def table_columns(path: Path) -> list[str]:
    """Return the names in the first line of a table."""
    return _read_cells(path)[0]


def _read_cells(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        reader = csv.DictReader(read_text(path).splitlines())
        columns = [name for name in reader.fieldnames or () if name]
        return columns, [{key: (value or "").strip() for key, value in row.items() if key in columns} for row in reader]
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a table: {error}. Write it as CSV with commas.") from error


def _beside(table: Path, number: int, image: str) -> Path:
    """Return the file that a line of a table names. Raises InputError if the file is missing, or outside the table's folder."""
    path = Path(os.path.normpath(table.parent / image))
    try:
        there = path.is_file()
    except (OSError, ValueError):  # names that no system has
        there = False
    if not there:
        raise InputError(
            f"{table}, line {number}: there is no file {path}. Paths are relative to the folder of the table."
        )
    check_beside(
        table, path.resolve(), f"Line {number} names it; name the folder as well, or put the table above its images."
    )
    return path


def _say(labels: Sequence[str], part: str) -> str:
    return f"{BETWEEN.join(labels) or 'unlabelled'}{f' ({part})' if part else ''}"


def _targets(labels: Sequence[Iterable[str]], legend: Legend | None, names: Sequence[str]) -> Mask:
    """Return (N, K) bool. Errors: InputError for a label that the legend has neither as class nor as void."""
    targets = np.zeros((len(labels), legend.num_classes if legend else 0), bool)
    if legend is None:
        return targets
    void, columns = {normalise_name(name) for name in (*legend.void_names, *UNLABELLED)}, {}
    for row, of_image in enumerate(labels):
        for label in of_image:
            if label not in columns:
                columns[label] = None if normalise_name(label) in void else _class_of(label, legend, names[row])
            if columns[label] is not None:
                targets[row, columns[label]] = True
    return targets


def _class_of(label: str, legend: Legend, where: str) -> int:
    try:
        return legend.index(label)
    except LabelError as error:
        raise InputError(f"{where}: {error}") from error


def _name(path: Path, folder: Path) -> str:
    base = folder.parent if folder.is_dir() else folder.parent.parent
    return path.relative_to(base).as_posix()


def _check_once(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{', '.join(twice[:NAMED])} came twice. Name each folder once, unlabelled ones apart, and no two folders alike."
        )


def _list_bigearthnet(folder: Path, data: ImageData, bands: Sequence[str], legend: Legend | None) -> ImageList:
    """List patches of BigEarthNet: one file per band in a folder per patch; version 2 has its labels in metadata.parquet."""
    names = tuple(map(name_band, data.bands or bands))
    if not names:
        raise InputError("the bands of BigEarthNet are chosen by name. Set data.dataset=bigearthnet_v2, or data.bands.")
    patches = _patches_v2(folder) if (folder / METADATA).is_file() else _patches_v1(folder)
    if not patches:
        raise InputError(f"{folder} holds no patch of Sentinel-2. Give the folder that holds BigEarthNet.")
    files = {name: [_band_file(patch, radar, name) for patch, radar, _, _ in patches] for name in names}
    first = [open_image(paths[0]) for paths in files.values()]
    side_px = max(layer.shape[1] for layer in first)

    def read(row: int) -> NDArray[Any]:
        return np.stack([read_band(paths[row], side_px) for paths in files.values()])

    patch_names = tuple(patch.name for patch, _, _, _ in patches)
    targets = _targets([labels for _, _, labels, _ in patches], legend, patch_names)
    parts = tuple(PARTS[part] for _, _, _, part in patches)
    kind = np.result_type(*(layer.dtype for layer in first))
    return ImageList(patch_names, targets, read, names, parts if any(parts) else (), 1200.0 / side_px, kind)


Patch = tuple[Path, "Path | None", list[str], str]  # folder of Sentinel-2, of Sentinel-1, labels, part


def _patches_v1(folder: Path) -> list[Patch]:
    described = {path.parent: read_json(path) for path in sorted(folder.glob(f"**/*{OF_PATCH}"))}
    for patch, content in described.items():
        labels = content.get("labels") if isinstance(content, dict) else None
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise InputError(f"{patch}: its {OF_PATCH} has no list labels. Unpack BigEarthNet again.")
    radar = {str(content.get(OF_RADAR)): path for path, content in described.items() if OF_RADAR in content}
    return [
        (path, radar.get(path.name), list(content["labels"]), "")
        for path, content in described.items()
        if OF_RADAR not in content
    ]


def _patches_v2(folder: Path) -> list[Patch]:
    """Patches of the recommended table; those with snow, clouds or shadows are left out, as the publishers do."""
    import pandas as pd

    path = folder / METADATA
    with vector_errors(str(path), "the table of BigEarthNet v2"):
        table = pd.read_parquet(path)
    if lacking := {"patch_id", "labels", "split"} - set(table):
        raise InputError(f"{path} has no column {', '.join(sorted(lacking))}. Take that of BigEarthNet v2.")
    for flag in ("contains_seasonal_snow", "contains_cloud_or_shadow"):
        table = table[~table[flag].astype(bool)] if flag in table else table
    folders = {path.name: path for path in folder.glob("BigEarthNet-S*/*/*") if path.is_dir()}
    missing = [patch for patch in table["patch_id"] if patch not in folders]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} patches of its table, e.g. {missing[0]}. Unpack BigEarthNet-S2 there."
        )
    radar = table["s1_name"] if "s1_name" in table else [""] * len(table)
    parts = [str(part).lower() for part in table["split"]]
    if strange := sorted(set(parts) - set(PARTS)):
        raise InputError(f"{path}: split is {strange[0]!r}; expected train, validation or test.")
    if not all(isinstance(labels, (list, tuple, np.ndarray)) for labels in table["labels"]):
        raise InputError(f"{path}: the column labels holds no lists. Take the table of BigEarthNet v2.")
    return [
        (folders[patch], folders.get(s1), list(map(str, labels)), part)
        for patch, s1, labels, part in zip(table["patch_id"], radar, table["labels"], parts, strict=True)
    ]


def _band_file(patch: Path, radar: Path | None, band: str) -> Path:
    home = radar if band in RADAR else patch
    path = None if home is None else home / f"{home.name}_{band}.tif"
    if path is None or not path.is_file():
        raise InputError(f"the patch {patch.name} has no band {band}. Complete it, or set data.bands without it.")
    return path
