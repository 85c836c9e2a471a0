"""NYUv2 as it is given out: nyu_depth_v2_labeled.mat (1,449 frames, MATLAB 7.3), and splits.mat beside it.

Its labels are 894 objects. What turns them into 40 and 13 classes are the files classMapping40.mat (mapClass) and
class13Mapping.mat (classMapping13) of the repository ankurhanda/nyuv2-meta-data: beside the images they are used, and without
them nothing is guessed. Frames are read one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.formats import hdf5, mat5
from deepnets4eo.points.rgbd.frame import Frame, Intrinsics

IMAGES, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
TO_40, TO_13 = "classMapping40.mat", "class13Mapping.mat"
PARTS = {"train": "trainNdxs", "test": "testNdxs"}  # 795 and 654 frames
INTRINSICS: Intrinsics = (518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)
MOST_BYTES = 1 << 20  # of a mapping


@dataclass(frozen=True)
class NyuFrame:
    """A frame of the labelled set, by its number from 1 (0001) as in splits.mat. `classes` maps objects to codes, 0
    unlabelled; None reads frames without labels."""

    name: str
    path: Path
    number: int
    classes: tuple[int, ...] | None

    def read(self) -> Frame:
        """The frame: colours, depth with holes filled, and labels. Errors: InputError for a damaged file."""
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
            np.ascontiguousarray(_one(self.path, "depths", self.number, 3), np.float32), INTRINSICS, labels=labels,
        )  # fmt: skip


def find_nyu(folder: Path, num_classes: int) -> list[NyuFrame]:
    """Return the frames of nyu_depth_v2_labeled.mat in the labels of 40 or 13 classes. Raises InputError for another
    number, or a file that is missing."""
    classes = class_table(folder, num_classes)
    path = folder / IMAGES
    shape = _open(path, "depths").shape
    return [NyuFrame(f"{number + 1:04d}", path, number, classes) for number in range(shape[-1])]


def official_split(folder: Path) -> dict[str, list[str]]:
    """Return the names of the frames of each split (train, test) of splits.mat. Raises InputError where it is missing,
    or no such file."""
    numbers = {part: _numbers(folder / SPLITS, variable) for part, variable in PARTS.items()}
    return {part: [f"{number:04d}" for number in of_part] for part, of_part in numbers.items()}


def class_table(folder: Path, num_classes: int) -> tuple[int, ...]:
    """Return the code of each object of NYUv2 in one of 40 or 13 classes from classMapping40.mat and
    class13Mapping.mat; 0 is unlabelled. Raises InputError for another number, or a mapping that is missing or of
    another kind."""
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
    if name not in {one.name for one in mat5.list_arrays(path)}:
        raise InputError(f"{path} has no variable {name}. Take the original file.")
    return [int(number) for number in np.ravel(mat5.open_array(path, name))]


def _thirteen(path: Path) -> list[int]:
    """The codes of 40 classes in 13: the first field of a structure."""
    from scipy.io import loadmat

    _check_there(path)
    try:
        codes = loadmat(path)["classMapping13"][0, 0][0]
        return [int(code) for code in np.ravel(codes)]
    except (KeyError, IndexError, TypeError, ValueError, NotImplementedError, OSError) as error:
        raise InputError(
            f"{path} holds no classMapping13 that can be read: {error}. Take the original file."
        ) from error


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            f"{path} does not exist. Classes and parts of NYUv2 are never guessed: put the file of "
            "github.com/ankurhanda/nyuv2-meta-data, or of the dataset's page, there."
        )
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes; a file of mappings has a few thousand.")


@lru_cache(maxsize=8)
def _open(path: Path, name: str) -> Any:
    if not path.is_file():
        raise InputError(f"{path} does not exist. Give the folder of {IMAGES}, from the page of NYU Depth V2.")
    if name not in {one.name for one in hdf5.list_arrays(path)}:
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
