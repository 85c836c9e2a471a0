"""Frames of an RGB-D recipe: readers of each published layout, and the split into training and withheld frames.

NYUv2: nyu_depth_v2_labeled.mat (1,449 frames, MATLAB 7.3) of 894 objects, and splits.mat.

classMapping40.mat (mapClass) and class13Mapping.mat (classMapping13) of the repository ankurhanda/nyuv2-meta-data turn
the objects into 40 and 13 classes.

SUN RGB-D: one folder per frame with image, depth_bfx (holes filled) or depth, and intrinsics.txt. Cameras count as level.

The official split is two lists of paths, test and train. Label images of the 37 classes are numbered in the order of
both, test first: img-000001.png … (repository ankurhanda/sunrgbd-meta-data).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.files import ARCHIVE_ERRORS, read_text
from deepnets4eo.formats import hdf5, mat5
from deepnets4eo.grid import Grid
from deepnets4eo.points.rgbd.frame import (
    SPLIT_LISTS,
    Frame,
    FrameSource,
    Intrinsics,
    depth_of_sun,
    find_organised,
    find_posed_frames,
    read_colour,
    read_depth,
    read_intrinsics,
    read_labels,
)
from deepnets4eo.points.rgbd.recipe import FrameSection
from deepnets4eo.training import DataSplit, SplitRule

# NYUv2
IMAGES, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
TO_40, TO_13 = "classMapping40.mat", "class13Mapping.mat"
PARTS = {"train": "trainNdxs", "test": "testNdxs"}  # 795 and 654 frames
NYU_INTRINSICS: Intrinsics = (518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)
MAX_BYTES = 1 << 20  # of a mapping
# SUN RGB-D
INTRINSICS = "intrinsics.txt"
COLOURS, DEPTHS = "image", ("depth_bfx", "depth")
OWN_LABELS = "labels37.png"
FRAME_DEPTH = 2  # folders between the path of an image in a list and its frame

WHOLE = "none"  # kind of a split without validation part


@dataclass(frozen=True)
class NamedFrame:
    """A frame of a split, in the pixels that the network sees."""

    source: FrameSource
    height_px: int
    width_px: int

    @property
    def name(self) -> str:
        """The name of the frame."""
        return self.source.name

    @property
    def grid(self) -> Grid:
        """The pixels of the frame, without a place on Earth."""
        return GeoBox((self.height_px, self.width_px), Affine.identity(), None)


def find_frames(data: FrameSection, legend: Legend) -> list[FrameSource]:
    """Find the frames of a recipe, in the order of their names or of the lists.

    Parameters
    ----------
    data : the section data of the recipe; its folders and layout are used
    legend : the legend of the labels; for NYUv2 it selects the mapping of objects to classes: 40 or 13

    Returns
    -------
    Frames, which are read when needed.

    Raises
    ------
    InputError
        No folder was given, or a folder contains no frames.
    """
    if not data.folders:
        raise InputError("no frames were given. Pass --data FOLDER.")
    frames: list[FrameSource] = []
    for folder in map(Path, data.folders):
        of_folder = _of_folder(folder, data, legend)
        if not of_folder:
            raise InputError(f"{folder} has no frames of the layout {data.layout}. Check the folder and data.layout.")
        frames += of_folder
    return frames


def split_frames(frames: Sequence[FrameSource], data: FrameSection) -> DataSplit[NamedFrame]:
    """Split whole frames; frames in neither official list are left out. Raises InputError for an empty split, or without
    the lists."""

    def with_names(chosen: Sequence[FrameSource]) -> list[NamedFrame]:
        return [NamedFrame(frame, data.height_px, data.width_px) for frame in chosen]

    if data.split == "official":
        part_of = {name: part for part, names in _official(data).items() for name in names}
        kept = with_names([frame for frame in frames if frame.name in part_of])
        groups = [part_of[frame.name] for frame in kept]
        rule = SplitRule("official parts", 0, 0, val_names=("test",), names_key="data.test_list")
        return DataSplit(kept, rule.assign_blocks(kept, groups), "official")
    rule = SplitRule("scenes", data.val_share, data.split_seed, val_names=data.val_scenes)
    every = with_names(frames)
    return DataSplit(every, rule.assign_blocks(every), WHOLE if rule.whole else "scenes")


def frame_classes(frame: Frame, legend: Legend, *, unknown_is_void: bool = False) -> ByteImage:
    """Return the labels of a frame as class indices (h, w) uint8, void 255. Raises LabelError for no labels, or codes that
    the legend lacks (void with `unknown_is_void`)."""
    if frame.labels is None:
        raise LabelError(f"frame {frame.name} has no labels. Give labelled frames to learn from and to score.")
    table = legend.to_index()
    for stored, value in legend.file_values.items():
        table[stored] = legend.to_index()[value]
    known = [*legend.values, *legend.void_values, *legend.file_values, VOID]
    codes, counts = np.unique(frame.labels, return_counts=True)
    strange = [f"{code} ({count:,} pixels)" for code, count in zip(codes, counts, strict=True) if code not in known]
    if strange and not unknown_is_void:
        raise LabelError(
            f'frame {frame.name} has labels that are not in legend "{legend.name}": {", ".join(strange[:8])}. Expected '
            f"{min(legend.values)} to {max(legend.values)}. Choose the legend that has them, or set data.unknown_labels=void."
        )
    return np.asarray(table[frame.labels])


def _of_folder(folder: Path, data: FrameSection, legend: Legend) -> Sequence[FrameSource]:
    if data.layout == "posed":
        return find_posed_frames(folder)
    if data.layout == "organised":
        return find_organised(folder)
    if data.layout == "nyuv2":
        return find_nyu(folder, legend.num_classes)
    frames = find_sun_rgbd(folder)
    if data.labels is None:
        return frames
    parts = _official(data)
    return number_labels(frames, [*parts["test"], *parts["train"]], Path(data.labels))


def _official(data: FrameSection) -> dict[str, list[str]]:
    if data.layout == "nyuv2" and not (data.train_list or data.test_list):
        return official_split(Path(data.folders[0]))
    if data.layout == "posed" and not (data.train_list or data.test_list):
        return _sequences(data)
    if data.train_list is None or data.test_list is None:
        raise InputError(
            "the official split needs its two lists. Set data.train_list and data.test_list to text files of one path a line."
        )
    return {"train": read_frame_list(Path(data.train_list)), "test": read_frame_list(Path(data.test_list))}


def _sequences(data: FrameSection) -> dict[str, list[str]]:
    """Return the frames of the sequences that each 7-Scenes scene lists; sequence1 is the folder seq-01. Errors: InputError."""
    parts: dict[str, list[str]] = {part: [] for part in SPLIT_LISTS}
    for folder in map(Path, data.folders):
        lists = {name: sorted(folder.rglob(name)) for name in SPLIT_LISTS.values()}
        if not all(lists.values()):
            raise InputError(
                f"{folder} has no {' and '.join(SPLIT_LISTS.values())} of 7-Scenes. Set data.train_list and data.test_list."
            )
        for part, name in SPLIT_LISTS.items():
            for path in lists[name]:
                numbers = {int(number) for number in re.findall(r"\d+", read_text(path))}
                named = [
                    frame for frame in find_posed_frames(path.parent) if _number(frame.depth.parent.name) in numbers
                ]
                scene = path.parent.relative_to(folder).parts
                parts[part] += ["-".join((*scene, frame.name)) for frame in named]
    return parts


def _number(sequence: str) -> int | None:
    match = re.fullmatch(r"\D*(\d+)", sequence)
    return None if match is None else int(match[1])


@dataclass(frozen=True)
class NyuFrame:
    """A frame by its number from 1 (0001) as in splits.mat; `classes` maps objects to codes, 0 unlabelled."""

    name: str
    path: Path
    number: int
    classes: tuple[int, ...] | None

    def read(self) -> Frame:
        """Read the frame, with holes filled. Errors: InputError for a damaged file."""
        colour = _one(self.path, "images", self.number, 4)
        labels = None
        if self.classes is not None:
            table, objects = np.array(self.classes, np.uint8), _one(self.path, "labels", self.number, 3)
            if objects.max() >= len(table):
                raise InputError(
                    f"{self.path}: frame {self.name} has the object {objects.max()}, but {TO_40} knows {len(table) - 1}. "
                    "Take both from one release."
                )
            labels = table[objects]
        return Frame(
            self.name, np.ascontiguousarray(np.moveaxis(colour, -1, 0)),
            np.ascontiguousarray(_one(self.path, "depths", self.number, 3), np.float32), NYU_INTRINSICS, labels=labels,
        )  # fmt: skip


def find_nyu(folder: Path, num_classes: int) -> list[NyuFrame]:
    """Return the frames in the labels of 40 or 13 classes. Raises InputError for another number, or a missing file."""
    classes = class_table(folder, num_classes)
    path = folder / IMAGES
    shape = _open(path, "depths").shape
    return [NyuFrame(f"{number + 1:04d}", path, number, classes) for number in range(shape[-1])]


def official_split(folder: Path) -> dict[str, list[str]]:
    """Return the names of the frames of each split (train, test) of splits.mat. Raises InputError without it."""
    numbers = {part: _numbers(folder / SPLITS, variable) for part, variable in PARTS.items()}
    return {part: [f"{number:04d}" for number in of_part] for part, of_part in numbers.items()}


def class_table(folder: Path, num_classes: int) -> tuple[int, ...]:
    """Return the code of each object of NYUv2 in 40 or 13 classes; 0 is unlabelled. Raises InputError for another number,
    or without the mappings."""
    if num_classes not in (13, 40):
        raise InputError(
            f"the legend has {num_classes} classes; expected 13 or 40, which NYUv2 has. Set legend to nyuv2-40 or nyuv2-13."
        )
    of_objects = _checked([0, *_numbers(folder / TO_40, "mapClass")], 40, folder / TO_40)
    if num_classes == 40:
        return of_objects
    of_classes = _checked([0, *_thirteen(folder / TO_13)], 13, folder / TO_13)
    return tuple(of_classes[code] for code in of_objects)


def _checked(table: Sequence[int], most: int, path: Path) -> tuple[int, ...]:
    if min(table) < 0 or max(table) != most:
        raise InputError(
            f"{path} maps to the codes {min(table)} to {max(table)}; expected 1 to {most}. Take the original file."
        )
    return tuple(table)


def _numbers(path: Path, name: str) -> list[int]:
    _check_there(path)
    if name not in {array.name for array in mat5.list_arrays(path)}:
        raise InputError(f"{path} has no variable {name}. Take the original file.")
    return [int(number) for number in np.ravel(mat5.open_array(path, name))]


def _thirteen(path: Path) -> list[int]:
    """Return the code among 13 classes of each of the 40 classes: the first field of a structure."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    _check_there(path)
    try:
        codes = loadmat(path)["classMapping13"][0, 0][0]
        return [int(code) for code in np.ravel(codes)]
    except (MatReadError, *ARCHIVE_ERRORS) as error:
        raise InputError(
            f"{path} holds no classMapping13 that can be read: {error}. Take the original file."
        ) from error


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            f"{path} does not exist. Classes and parts of NYUv2 are never guessed: put the file of "
            "github.com/ankurhanda/nyuv2-meta-data, or of the dataset's page, there."
        )
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path} has {path.stat().st_size:,} bytes; a file of mappings has a few thousand. Fetch it again."
        )


@lru_cache(maxsize=8)
def _open(path: Path, name: str) -> Any:
    if not path.is_file():
        raise InputError(f"{path} does not exist. Give the folder of {IMAGES}, from the page of NYU Depth V2.")
    if name not in {array.name for array in hdf5.list_arrays(path)}:
        raise InputError(f"{path} has no array {name}. Take {IMAGES}, not the raw recordings.")
    return hdf5.open_array(path, name)


def _one(path: Path, name: str, number: int, axes: int) -> NDArray[Any]:
    """One frame of an array whose last axis counts frames: (h, w), or (h, w, 3)."""
    array = _open(path, name)
    if array.ndim != axes:
        raise InputError(f"{path}: {name} has the shape {array.shape}; expected {axes} axes, the last one of frames.")
    window = (*[slice(None)] * (axes - 1), slice(number, number + 1))
    values: NDArray[Any] = array[window]
    return values[..., 0]


@dataclass(frozen=True)
class SunFrame:
    """A frame in a separate folder, named by its path below the root, and its label image of codes 1 to 37 (0 void)."""

    name: str
    folder: Path
    labels: Path | None = None

    def read(self) -> Frame:
        """Read the frame. Errors: InputError for files that are missing or do not fit together."""
        depth = next((image for kind in DEPTHS if (image := _only(self.folder / kind)) is not None), None)
        colour = _only(self.folder / COLOURS)
        if colour is None or depth is None:
            raise InputError(
                f"{self.folder} has no {'image' if colour is None else 'depth'}; expected one file in {COLOURS}/ and one in "
                f"{' or '.join(DEPTHS)}/. Unpack SUNRGBD.zip again."
            )
        return Frame(
            self.name, read_colour(colour), read_depth(depth, depth_of_sun), read_intrinsics(self.folder / INTRINSICS),
            labels=None if self.labels is None else read_labels(self.labels),
        )  # fmt: skip


def find_sun_rgbd(root: Path) -> list[SunFrame]:
    """Find the frames below the folder SUNRGBD or a part of it, with labels37.png if the frame has this file."""
    folders = sorted(path.parent for path in root.rglob(INTRINSICS))
    return [
        SunFrame(folder.relative_to(root).as_posix(), folder, own if (own := folder / OWN_LABELS).is_file() else None)
        for folder in folders
        if (folder / COLOURS).is_dir()
    ]


def read_frame_list(path: Path) -> list[str]:
    """Return the frames of a list with one path of an image or a folder per line. Raises InputError if the list is empty."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{path} is empty; expected one path of a frame a line.")
    return [_frame_name(PurePosixPath(line)) for line in lines]


def number_labels(frames: Sequence[SunFrame], order: Sequence[str], folder: Path) -> list[SunFrame]:
    """Return the frames of the lists (test frames first) with their label images img-000001.png …. Raises InputError where
    a frame or its label image is missing."""
    by_name = {frame.name: frame for frame in frames}
    numbered = []
    for number, name in enumerate(order, start=1):
        labels = folder / f"img-{number:06d}.png"
        if name not in by_name or not labels.is_file():
            missing = f"the frame {name}" if name not in by_name else f"the label image {labels}"
            raise InputError(
                f"the lists name {len(order):,} frames, but {missing} is missing. Give the whole dataset, with the lists "
                "that its labels are numbered by."
            )
        numbered.append(SunFrame(name, by_name[name].folder, labels))
    return numbered


def _frame_name(path: PurePosixPath) -> str:
    parts = path.parts[:-FRAME_DEPTH] if path.suffix else path.parts
    return "/".join(parts[parts.index("SUNRGBD") + 1 :] if "SUNRGBD" in parts else parts)


def _only(folder: Path) -> Path | None:
    """Return the first image of a folder, or None if it has no image."""
    return next(iter(sorted(path for path in folder.glob("*") if path.suffix.lower() in (".png", ".jpg"))), None)
