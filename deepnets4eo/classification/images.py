"""Images with labels: which there are, which are learnt from, and their pixels (N, C, H, W) in memory or a temporary file.

Refuses images of several sizes or kinds of values, and sets that nothing can be learnt from.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Hashable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.cards import Legend, SplitPart
from deepnets4eo.classification.scores import check_one_label
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import BandMoments
from deepnets4eo.segmenters import InputSpec, LayerInput, ValueRange

LAYER = "image"
LEFT_OUT = "left out"  # unlabelled images of a place that is validated or tested on
REFLECTANCE = 10.0  # values of 0 to 1 stay below it, those times 10,000 lie above
STATISTICS_IMAGES = 4000  # images that mean, deviation and range are made of
KEPT_PX = 200  # pixels of each of them, for the percentiles


@dataclass(frozen=True)
class ImageList:
    """Images that have not been read yet, and their labels.

    Parameters
    ----------
    names : names of the images, each once
    targets : (N, K) bool, the labels; a row without a label is an unlabelled image
    read : position in the list → pixels (C, H, W), with NaN in unseen pixels
    bands : their names, in order
    parts : part of each image: "train", "val" or "test", as published, or ""
    gsd_m : ground size of a pixel, metres
    dtype : type of the first image's numbers
    grids : name → grid of an image, for images that were read and have a location
    """

    names: tuple[str, ...]
    targets: Mask
    read: Callable[[int], NDArray[Any]] = field(repr=False)
    bands: tuple[str, ...]
    parts: tuple[str, ...] = ()
    gsd_m: float | None = None
    dtype: np.dtype[Any] = np.dtype(np.float32)
    grids: MutableMapping[str, Grid] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    @property
    def labelled(self) -> Mask:
        """Return (N,) whether an image has a label."""
        return np.asarray(self.targets.any(axis=1))

    def take(self, rows: Indices) -> ImageList:
        """Return the images at these positions, in this order."""
        parts = tuple(self.parts[row] for row in rows) if self.parts else ()
        names, read = tuple(self.names[row] for row in rows), self.read
        return replace(self, names=names, targets=self.targets[rows], parts=parts, read=lambda at: read(int(rows[at])))


@dataclass(frozen=True)
class ImageSplit:
    """Positions of the images that are learnt from with their labels, learnt from without, validated on and tested on."""

    labelled: Indices
    unlabelled: Indices
    val: Indices
    test: Indices
    names: tuple[str, ...] = field(repr=False)

    def to_geojson(self) -> dict[str, Any]:
        """Return the parts by name; whole images have no location."""
        parts = {
            name: [self.names[row] for row in rows]
            for name, rows in (
                (SplitPart.train, self.labelled),
                ("unlabelled", self.unlabelled),
                (SplitPart.val, self.val),
                (SplitPart.test, self.test),
            )
        }
        return {"type": "FeatureCollection", "features": [], "split": self.describe(), "images": parts}

    def describe(self) -> dict[str, int]:
        """Return the number of images of each part."""
        return {name: len(getattr(self, name)) for name in ("labelled", "unlabelled", "val", "test")}


def check_learnable(images: ImageList, legend: Legend, *, several: bool) -> None:
    """Refuse images without usable labels, and several labels if one is expected. Raises InputError."""
    counts = images.targets.sum(axis=0)
    if not images.labelled.any():
        raise InputError(
            f"none of the {len(images)} images has a label. Give labels, or check the legend {legend.name!r}."
        )
    if several:
        return
    many = np.flatnonzero(images.targets.sum(axis=1) > 1)
    if len(many):
        raise InputError(f"{images.names[many[0]]} has several labels. Set data.labels=several.")
    scored = np.flatnonzero([part in (SplitPart.val, SplitPart.test) for part in images.parts])
    check_one_label(images.targets[scored], [images.names[row] for row in scored])
    if (counts > 0).sum() < 2:
        only = legend.names[int(counts.argmax())]
        raise InputError(
            f"all labelled images are of one class, {only}: there is nothing to distinguish. Give a second class."
        )


def split_images(
    images: ImageList, *, val_share: float, test_share: float, labels_per_class: int, seed: int,
    groups: Sequence[Hashable] | None = None,
) -> ImageSplit:  # fmt: skip
    """Divide images into parts by equal shares of classes or whole groups; beyond `labels_per_class` labels are not used."""
    part = np.array(images.parts or [""] * len(images), dtype=object)
    rng = np.random.default_rng([seed, 1])
    for name, share in ((SplitPart.test, test_share), (SplitPart.val, val_share)):
        free = np.flatnonzero((part == "") & images.labelled)
        if share and name not in part:
            drawn = (
                draw_share(images.targets[free], share, rng, free)
                if groups is None
                else _draw_groups(groups, share, rng, free)
            )
            part[drawn] = name
    if groups is not None:
        held = {groups[int(row)] for row in np.flatnonzero((part != "") & (part != SplitPart.train))}
        part[[not image_part and group in held for image_part, group in zip(part, groups, strict=True)]] = LEFT_OUT
    learnt = (part == SplitPart.train) | (part == "")
    rows = np.flatnonzero(learnt & images.labelled)
    if not len(rows):
        raise InputError("no labelled image is left to learn from. Lower data.val_share and data.test_share.")
    if labels_per_class:
        rows = rows[draw_labelled(images.targets[rows], labels_per_class, seed)]
    unlabelled = np.setdiff1d(np.flatnonzero(learnt), rows)
    return ImageSplit(
        rows, unlabelled, np.flatnonzero(part == SplitPart.val), np.flatnonzero(part == SplitPart.test), images.names
    )


def _draw_groups(groups: Sequence[Hashable], share: float, rng: np.random.Generator, rows: Indices) -> Indices:
    """Return the rows of whole groups, drawn until they are a share of all rows. Raises InputError if all rows are of one group."""
    own = [groups[int(row)] for row in rows]
    names = list(dict.fromkeys(own))
    if len(names) < 2:
        raise InputError(f"all {len(rows)} images to draw from lie in one block of split.block_deg. Set a smaller one.")
    counts = Counter(own)
    order = [names[index] for index in rng.permutation(len(names))]
    enough = int(np.searchsorted(np.cumsum([counts[name] for name in order]), share * len(rows))) + 1
    chosen = set(order[: min(enough, len(names) - 1)])
    return rows[[group in chosen for group in own]]


def draw_share(targets: Mask, share: float, rng: np.random.Generator, rows: Indices) -> Indices:
    """Return a share of `rows` from every class, at least one image if a class has two; drawn once, rare classes first."""
    chosen = np.zeros(len(targets), bool)
    for column in np.argsort(targets.sum(axis=0), kind="stable"):
        members = np.flatnonzero(targets[:, column])
        wanted = max(round(share * len(members)), min(1, len(members) // 2)) - int(chosen[members].sum())
        free = members[~chosen[members]]
        chosen[rng.permutation(free)[: max(wanted, 0)]] = True
    return rows[chosen]


def draw_labelled(targets: Mask, per_class: int, seed: int) -> Indices:
    """Positions of images that keep their labels (N, K) bool: `per_class` of each class at least, rare classes first.

    With several labels an image counts for each. Errors: InputError for a class that has labels, but of fewer images."""
    counts, rng, chosen = targets.sum(axis=0), np.random.default_rng([seed, 2]), np.zeros(len(targets), bool)
    for column in np.argsort(counts, kind="stable"):
        members = np.flatnonzero(targets[:, column])
        if 0 < len(members) < per_class:
            raise InputError(
                f"class number {column} has {len(members)} labelled images to draw from, fewer than "
                f"data.labels_per_class={per_class}. Lower it, or data.val_share and data.test_share."
            )
        free = members[~chosen[members]]
        chosen[rng.permutation(free)[: max(per_class - int(chosen[members].sum()), 0)]] = True
    return np.flatnonzero(chosen)


def read_pixels(images: ImageList, *, memory_bytes: float, folder: Path, workers: int) -> NDArray[Any]:
    """Read all images into one array (N, C, H, W), beyond `memory_bytes` in a temporary file; InputError if they differ."""
    first = np.asarray(images.read(0))
    pixels = _room((len(images), *first.shape), first.dtype, memory_bytes, folder)
    tops = np.full(len(images), -np.inf)
    for row, image in enumerate(in_order(images.read, range(len(images)), workers)):
        if image.shape != first.shape:
            raise InputError(
                f"{images.names[row]} is {_sizes(image)}, but {images.names[0]} is {_sizes(first)}. Give images of one size and "
                "the same bands: crop or resample them first."
            )
        kind = np.result_type(pixels.dtype, image.dtype)
        if kind != pixels.dtype:
            wider = _room(pixels.shape, kind, memory_bytes, folder)
            wider[:row], pixels = pixels[:row], wider
        pixels[row] = image
        tops[row] = -np.inf if np.isnan(image).all() else np.nanmax(image)
    _check_one_unit(tops, images)
    return pixels


def _room(shape: tuple[int, ...], kind: np.dtype[Any], memory_bytes: float, folder: Path) -> NDArray[Any]:
    """Return an array in memory or, if it is too large, in a temporary file."""
    if math.prod(shape) * kind.itemsize <= memory_bytes:
        return np.empty(shape, kind)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, prefix=".images-") as file:
        return np.memmap(file, kind, "w+", shape=shape)


def _check_one_unit(tops: Floats, images: ImageList) -> None:
    """Refuse reflectance as 0 to 1 mixed with reflectance times 10,000; tops : (N,) the largest value of each image."""
    low, high = (tops > 0) & (tops <= REFLECTANCE), tops > 100 * REFLECTANCE
    if low.any() and high.any():
        small, large = int(low.argmax()), int(high.argmax())
        raise InputError(
            f"{images.names[small]} has values up to {tops[small]:.4g}, {images.names[large]} up to {tops[large]:.4g}: one seems "
            "to be reflectance from 0 to 1, the other reflectance times 10,000. Bring all images to one unit."
        )


def measure_pixels(pixels: NDArray[Any], rows: Indices, images: ImageList) -> InputSpec:
    """Measure mean, deviation and range of each band over the images at `rows`, or over evenly spread images if there are many."""
    moments, kept = BandMoments(pixels.shape[1]), []
    for row in rows[:: max(1, len(rows) // STATISTICS_IMAGES)]:
        values = pixels[row].reshape(pixels.shape[1], -1).astype(np.float32)
        values = values[:, is_valid(values)]
        moments.update(values)
        kept.append(values[:, :: max(1, values.shape[1] // KEPT_PX)])
    if not moments.count:
        raise InputError("no image to learn from has a valid pixel. Check what the files state as nodata.")
    seen = ValueRange.of_pixels(np.concatenate(kept, axis=1))
    assert seen is not None  # there are moments
    layer = LayerInput.of_physical(images.bands, moments.mean, moments.std, seen, dtype=str(images.dtype))
    return InputSpec({LAYER: layer}, images.gsd_m)


def is_valid(values: NDArray[Any]) -> Mask:
    """(...) whether all bands (C, ...) have numbers."""
    return np.asarray(np.isfinite(values).all(axis=0))


def prepare_images(pixels: NDArray[Any], inputs: InputSpec) -> NDArray[np.float32]:
    """Scale images (N, C, H, W) as the network takes them; pixels without data become 0, the mean."""
    count, bands, height, width = pixels.shape
    stacked = np.moveaxis(pixels, 1, 0).reshape(bands, count * height, width)
    sample = {LAYER: stacked, "valid": is_valid(stacked)}
    prepared = inputs.prepare(sample).reshape(bands, count, height, width)
    return np.ascontiguousarray(np.moveaxis(prepared, 0, 1))


def check_unit(pixels: NDArray[Any], inputs: InputSpec, *, first: bool = True) -> None:
    """Refuse images whose values have another unit than the training images; `first`: also report unusual bands. Raises InputError."""
    layer = inputs.layers[LAYER]
    top = float(np.nanmax(pixels[:STATISTICS_IMAGES]))
    if (top <= REFLECTANCE) != (layer.high <= REFLECTANCE):
        raise InputError(
            f"the images have values up to {top:.4g}, those of training from {layer.low:.4g} to {layer.high:.4g}: reflectance from "
            "0 to 1 is not reflectance times 10,000. Bring them to the unit of training."
        )
    usual = layer.range
    spread = pixels[:: max(1, len(pixels) // STATISTICS_IMAGES)]
    values = np.moveaxis(spread, 1, 0).reshape(pixels.shape[1], -1).astype(np.float32)
    seen = ValueRange.of_pixels(values[:, is_valid(values)]) if first and usual is not None else None
    if seen is None or usual is None:
        return
    if pixels.dtype.itemsize > 1 and seen.is_other_unit(usual):
        raise InputError(
            f"the images have values from {seen}, those of training from {usual}: these are of two units. Bring them to the unit of "
            "training."
        )
    layer.warn_of_bands("the images", seen)


def _sizes(image: NDArray[Any]) -> str:
    return f"{image.shape[0]} bands of {image.shape[1]} × {image.shape[2]} px"
