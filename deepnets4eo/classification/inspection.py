"""Describes images with labels (a folder, table or archive): how many by class and part, and what is wrong with them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deepnets4eo.classification.archives import find_arrays
from deepnets4eo.classification.image_files import open_image
from deepnets4eo.classification.parts import digests_of, place_of, shared_between
from deepnets4eo.classification.readers import (
    BETWEEN,
    Row,
    check_unpacked,
    class_folders,
    folder_rows,
    images_in,
    table_columns,
    table_rows,
)
from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.files import sha256
from deepnets4eo.formats import list_npz, open_npz
from deepnets4eo.inspection import Inspection
from deepnets4eo.rasters import Layer
from deepnets4eo.training import ImageMaskFolders

KIND = "images with labels"
NAMED = 5
MAX_PX = 600  # side of a patch


def inspect_images(path: str) -> Inspection | None:
    """Describe a folder of classes, a table or an archive of images; None for anything else."""
    source = Path(path)
    try:
        if source.suffix.lower() == ".npz" and source.is_file():
            return _archive(source) if any(len(info.shape) == 4 for info in list_npz(source)) else None
        if source.suffix.lower() == ".csv" and source.is_file():
            return (
                _files(source, table_rows(source, named=True))
                if {"image", "label"} <= set(table_columns(source))
                else None
            )
        if not source.is_dir():
            return None
        inner = class_folders(source)
        if not inner:
            check_unpacked(source)
        if (images_and_masks := _images_and_masks(inner)) is not None:
            return images_and_masks
        return _files(source, folder_rows(source, named=True)) if _holds_patches(inner) else None
    except DeepNets4EOError as error:
        return Inspection(path, KIND, problems=[str(error)])


def _images_and_masks(folders: Sequence[Path]) -> Inspection | None:
    """Describe a folder of images and a folder of masks, of one band and the same names, which lie in one folder; None for other folders."""
    filled = [folder for folder in folders if any(images_in(folder))]
    if len(filled) != len(("images", "masks")):
        return None
    bands = {folder: Layer.open(next(iter(images_in(folder)))).count for folder in filled}
    images, masks = sorted(filled, key=lambda folder: bands[folder], reverse=True)
    if bands[masks] > 1 or bands[images] == 1:
        return None
    try:
        pairs = ImageMaskFolders(images, masks).pairs()
    except InputError:
        return None
    command = f"deepnets4eo train RECIPE --images {images} --masks {masks}"
    facts = {"pairs": f"{len(pairs):,}, images in {images.name}, masks in {masks.name}", "to train": command}
    return Inspection(str(images.parent), "images and masks", facts)


def _holds_patches(folders: Sequence[Path]) -> bool:
    """Return whether several folders, or folders in them, contain small images; scenes and mosaics are also kept in folders."""
    firsts = [next(iter(images_in(folder)), None) for folder in folders]
    known = [path for path in firsts if path is not None]
    return len(known) > 1 and all(max(Layer.open(path).shape) <= MAX_PX for path in known)


def _archive(path: Path) -> Inspection:
    images, labels = find_arrays(path)
    result = Inspection(str(path), KIND, {"images": f"{images.shape[0]:,}, {images}"})
    if labels is None:
        result.facts["labels"] = "none"
    else:
        numbers = np.asarray(open_npz(path, labels.name))
        values, counts = np.unique(numbers, return_counts=True)
        several = numbers.ndim == 2
        value_counts = enumerate(numbers.sum(axis=0)) if several else zip(values, counts, strict=True)
        result.facts["labels"] = _counted(
            {("unlabelled" if value == -1 else f"class {value:g}"): int(n) for value, n in value_counts}
        )
        if len(numbers) != images.shape[0]:
            result.problems.append(
                f"it has {len(numbers):,} labels for {images.shape[0]:,} images. Write one for each."
            )
    pixels = open_npz(path, images.name)
    alike = len(pixels) - len(set(digests_of(pixels)))
    if alike:
        result.facts["alike"] = f"{alike:,} images are byte for byte others"
    return result


def _files(path: Path, rows: Sequence[Row]) -> Inspection:
    labels = Counter(BETWEEN.join(labels) or "unlabelled" for _, labels, _ in rows)
    result = Inspection(str(path), KIND, {"images": f"{len(rows):,}", "labels": _counted(labels)})
    parts = Counter(part or "not stated" for _, _, part in rows)
    if set(parts) != {"not stated"}:
        result.facts["parts"] = _counted(parts)
    _describe_pixels(result, [image for image, _, _ in rows])
    positions = [place_of(image.name) for image, _, _ in rows]
    if all(positions):
        lon, lat = np.array(positions).T
        result.facts["places"] = (
            f"by the names of files, longitude {lon.min():.4f} to {lon.max():.4f}, latitude {lat.min():.4f} to {lat.max():.4f}; "
            "neighbours overlap: split with --set split.by=place"
        )
    _compare(result, rows)
    return result


def _describe_pixels(result: Inspection, paths: Sequence[Path]) -> None:
    """Open every file, compare it with the first, and name those that do not fit."""
    shapes, wrong, first = Counter[str](), list[str](), None
    for path in paths:
        try:
            layer = open_image(path, first)
            first = first or layer
            shapes[f"{layer.count} bands of {layer.shape[0]} × {layer.shape[1]} px"] += 1
        except InputError as error:
            wrong.append(str(error))
    result.facts["pixels"] = _counted(shapes)
    if len(shapes) > 1:
        result.problems.append("the images are of several sizes. Crop or resample them to one.")
    result.problems += wrong[:NAMED] + (
        [f"{len(wrong) - NAMED:,} more files of that kind."] if len(wrong) > NAMED else []
    )


def _compare(result: Inspection, rows: Sequence[Row]) -> None:
    """Files that are byte for byte others: in two parts, in two classes."""
    digests = dict(_digests([image for image, _, _ in rows]))
    by_part, by_label = defaultdict[str, list[tuple[str, str]]](list), defaultdict[str, set[str]](set)
    for image, labels, part in rows:
        if (digest := digests.get(image)) is not None:
            by_part[part].append((image.name, digest))
            by_label[digest].add(BETWEEN.join(labels))
    result.problems += shared_between({part: files for part, files in by_part.items() if part})
    alike = len(digests) - len(by_label)
    if alike:
        result.facts["alike"] = f"{alike:,} images are byte for byte others"
    if two := sum(len(labels) > 1 for labels in by_label.values()):
        result.problems.append(f"{two:,} images stand in several classes, byte for byte. Keep each in one.")


def _digests(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Checksums of the files that are as long as another one."""
    by_size = defaultdict[int, list[Path]](list)
    for path in paths:
        by_size[path.stat().st_size].append(path)
    yield from ((path, sha256(path)) for same in by_size.values() if len(same) > 1 for path in same)


def _counted(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items()))
