"""Archives of images (.npz): one array of images, and one of their labels.

Refuses archives of objects, other numbers of labels, classes that the legend lacks, and bands on no clear axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.cards import Legend
from deepnets4eo.classification.image_files import choose_bands
from deepnets4eo.classification.images import ImageList
from deepnets4eo.errors import InputError
from deepnets4eo.formats import ArrayInfo, list_npz, open_npz
from deepnets4eo.rasters import name_band

IMAGES, LABELS = "images", "labels"
MAX_BANDS = 64  # of images whose bands no card names


def list_archive(path: Path, chosen: Sequence[str], bands: Sequence[str], legend: Legend | None) -> ImageList:
    """Return the images of an archive, and their labels if a legend is given.

    bands : bands of the archive
    chosen : bands that are read

    `images` (N, C, H, W) or (N, H, W, C), and `labels`: (N,) class indices, -1 without, or (N, K) zeros and ones.
    """
    named, labelled = find_arrays(path)
    if legend is not None and labelled is None:
        raise InputError(f"{path} has no labels: {_say(list_npz(path))}; expected {IMAGES} and {LABELS}.")
    images = open_npz(path, named.name)
    last = _bands_last(images.shape, len(bands), path)
    count = images.shape[3] if last else images.shape[1]
    numbers, names = choose_bands(
        tuple(map(name_band, bands)) or tuple(f"band_{number + 1}" for number in range(count)), chosen, str(path)
    )
    at = [number - 1 for number in numbers]

    def read(row: int) -> NDArray[Any]:
        image = np.moveaxis(images[row], 2, 0) if last else images[row]
        return np.asarray(image[at])

    targets = (
        _archive_targets(open_npz(path, labelled.name), len(images), legend, path)
        if legend is not None and labelled is not None
        else np.zeros((len(images), 0), bool)
    )
    return ImageList(
        tuple(f"{path.name}#{row}" for row in range(len(images))), targets, read, names, dtype=images.dtype
    )


def _bands_last(shape: tuple[int, ...], bands: int, path: Path) -> bool:
    """Return whether the bands are on the last axis: as many as the card has, else by far the fewest. Raises InputError."""
    first, last = (shape[axis] == bands for axis in (1, 3))
    if first == last:
        first, last = (shape[axis] < min(shape[2], shape[4 - axis], MAX_BANDS) for axis in (1, 3))
    if first == last:
        known = f"{bands} bands" if bands else "no band names"
        raise InputError(
            f"{path}: images has the shape {shape}, and with {known} it is not clear which axis holds the bands. Set data.file_bands."
        )
    if bands and shape[3 if last else 1] != bands:
        raise InputError(
            f"{path}: images has the shape {shape}, {shape[3 if last else 1]} bands, expected {bands}. Set data.file_bands to the bands "
            "of the archive, e.g. [B04, B03, B02] of red, green and blue."
        )
    return last


def _archive_targets(labels: NDArray[Any], count: int, legend: Legend, path: Path) -> Mask:
    if len(labels) != count or labels.ndim > 2:
        raise InputError(
            f"{path}: labels has the shape {labels.shape}, expected ({count},) or ({count}, {legend.num_classes})."
        )
    if labels.ndim == 2:
        if labels.shape[1] != legend.num_classes or not np.isin(labels, (0, 1)).all():
            raise InputError(
                f"{path}: labels has the shape {labels.shape} and values up to {labels.max()}; expected zeros and ones of "
                f"{legend.num_classes} classes."
            )
        return np.asarray(labels != 0)
    outside = np.flatnonzero((labels < -1) | (labels >= legend.num_classes) | (labels != np.round(labels)))
    if len(outside):
        raise InputError(
            f"{path}: image {outside[0]} has the class {labels[outside[0]]}; the legend {legend.name} has 0 to "
            f"{legend.num_classes - 1}, and -1 is unlabelled."
        )
    targets = np.zeros((count, legend.num_classes), bool)
    rows = np.flatnonzero(labels >= 0)
    targets[rows, labels[rows].astype(np.int64)] = True
    return targets


def find_arrays(path: Path) -> tuple[ArrayInfo, ArrayInfo | None]:
    """Return an archive's arrays of images and of labels (None without): by their names, else by their axes. Raises InputError."""
    arrays = list_npz(path)
    images = _one(IMAGES, arrays, (info for info in arrays if len(info.shape) == 4))
    if images is None:
        raise InputError(
            f"{path} has the arrays {_say(arrays)}; expected {IMAGES}, (N, C, H, W) or (N, H, W, C), and {LABELS}."
        )
    count = images.shape[:1]
    labels = _one(LABELS, arrays, (info for info in arrays if info.shape[:1] == count and len(info.shape) in (1, 2)))
    for info in filter(None, (images, labels)):
        if info.dtype is None:
            raise InputError(
                f"{path}: {info.name} holds {info.kind}, not numbers. Objects could run code when they are read; write images of one size "
                "as one array, and labels as class indices, with -1 for unlabelled images."
            )
    if len(images.shape) != 4:
        raise InputError(f"{path}: {images.name} has the shape {images.shape}, expected (N, C, H, W) or (N, H, W, C).")
    return images, labels


def _one(name: str, arrays: Sequence[ArrayInfo], fitting: Iterable[ArrayInfo]) -> ArrayInfo | None:
    """Return the array with this name, else the only array that fits."""
    rest = list(fitting)
    return next((info for info in arrays if info.name == name), rest[0] if len(rest) == 1 else None)


def _say(arrays: Sequence[ArrayInfo]) -> str:
    return ", ".join(map(str, arrays)) or "none"
