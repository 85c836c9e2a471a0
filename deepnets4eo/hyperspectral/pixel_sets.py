"""Which pixels are learnt from, watched, shown without a label and tested on; how much of the test is known from
training.

Scores of a leaky split are those of an exam whose questions were in the lessons: see the figure beside them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.grid import whole
from deepnets4eo.tiling.pixel_splits import count_classes
from deepnets4eo.training.scenes import LabelledScene
from deepnets4eo.training.splits import TRAIN, VAL, DataSplit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pixels:
    """Pixels of several scenes (n,): number of the scene, row and column in it, and class index, void 255 without
    label."""

    scene: NDArray[np.int32]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    mask: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> Pixels:
        """Some of the pixels, by index or (n,) bool."""
        return Pixels(self.scene[indices], self.row[indices], self.col[indices], self.mask[indices])

    @classmethod
    def join(cls, parts: Iterable[Pixels]) -> Pixels:
        """All pixels of several sets, in order."""
        columns = zip(*((one.scene, one.row, one.col, one.mask) for one in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    @classmethod
    def of_mask(cls, scene: int, mask: NDArray[np.bool_], labels: NDArray[np.uint8]) -> Pixels:
        """The pixels of a scene where `mask` (h, w) bool is True, with their labels (h, w) uint8."""
        row, col = (axis.astype(np.int32) for axis in np.nonzero(mask))
        return cls(np.full(len(row), scene, np.int32), row, col, labels[row, col])


def labelled_pixels(split: DataSplit[LabelledScene]) -> Pixels:
    """All labelled pixels of the training part. Errors: InputError where there is none."""
    parts = []
    for number, named in enumerate(split.scenes):
        labels = named.labels.reader.read(whole(named.grid))
        parts.append(Pixels.of_mask(number, split.mask(number, TRAIN, whole(named.grid)) & (labels != VOID), labels))
    pixels = Pixels.join(parts)
    if not len(pixels):
        raise InputError("no pixel of the training part is labelled with a class. Check labels, legend and data.split.")
    return pixels


def unlabelled_pixels(split: DataSplit[LabelledScene], patch_px: int) -> Pixels:
    """All pixels without a label outside the test part; of a disjoint split, those alone whose patch shows no pixel of it."""
    from scipy.ndimage import maximum_filter

    parts = []
    for number, named in enumerate(split.scenes):
        window = whole(named.grid)
        labels, tested = named.labels.reader.read(window), split.mask(number, VAL, window)
        if not split.leaky and patch_px > 1:
            tested = maximum_filter(tested, 2 * (patch_px // 2) + 1, mode="constant")
        parts.append(Pixels.of_mask(number, (labels == VOID) & ~tested, labels))
    return Pixels.join(parts)


def set_aside(pixels: Pixels, share: float, seed: int) -> tuple[Pixels, Pixels]:
    """The pixels without, and only, a share 0–1 of each class at random; rounded, so that few pixels of a class all stay."""
    rng = np.random.default_rng(seed)
    aside = np.zeros(len(pixels), bool)
    for class_index in np.unique(pixels.mask):
        of_class = np.flatnonzero(pixels.mask == class_index)
        aside[rng.choice(of_class, round(share * len(of_class)), replace=False)] = True
    return pixels.take(~aside), pixels.take(aside)


@dataclass(frozen=True)
class Leakage:
    """How many of `test_pixels` share pixels with training: `overlapping`, whose patch of `patch_px` shares a pixel
    with that of a training pixel, and `containing`, whose patch shows a training pixel."""

    patch_px: int
    test_pixels: int
    overlapping: int
    containing: int

    def __add__(self, other: Leakage) -> Leakage:
        """Returns the counts of two scenes together."""
        return Leakage(
            self.patch_px, self.test_pixels + other.test_pixels, self.overlapping + other.overlapping,
            self.containing + other.containing,
        )  # fmt: skip

    @property
    def share(self) -> float:
        """Share 0–1 of the test pixels whose patch overlaps the patch of a training pixel; NaN without test pixels."""
        return self.overlapping / self.test_pixels if self.test_pixels else float("nan")

    @property
    def share_containing(self) -> float:
        """Share 0–1 of the test pixels whose patch shows a training pixel; NaN without test pixels."""
        return self.containing / self.test_pixels if self.test_pixels else float("nan")

    def to_dict(self) -> dict[str, float]:
        """Plain values for the metrics and the card."""
        return {
            "patch_px": self.patch_px, "test_pixels": self.test_pixels,
            "share_patch_overlaps": self.share, "share_patch_shows_training_pixel": self.share_containing,
        }  # fmt: skip


def leakage(train_mask: NDArray[np.bool_], test_mask: NDArray[np.bool_], patch_px: int) -> Leakage:
    """Count the test pixels (h, w) whose patch is known from training pixels (h, w). Peak memory: some 10 bytes a
    pixel."""
    from scipy.ndimage import distance_transform_cdt

    tested = int(test_mask.sum())
    if not train_mask.any() or not tested:
        return Leakage(patch_px, tested, 0, 0)
    distance_px = distance_transform_cdt(~train_mask, metric="chessboard")[test_mask]
    overlapping, containing = ((distance_px <= reach).sum() for reach in (patch_px - 1, patch_px // 2))
    return Leakage(patch_px, tested, int(overlapping), int(containing))


def describe_sampling(split: DataSplit[LabelledScene], patch_px: int) -> dict[str, Any]:
    """Return {"leakage": …, "pixels": {class: {"train": n, "test": m}}} of a split; a warning is logged where a leaky
    split is used with patches."""
    total = Leakage(patch_px, 0, 0, 0)
    for number in range(len(split.scenes)):
        total += leakage(*_parts(split, number), patch_px)
    _warn(split, total)
    return {"leakage": total.to_dict(), "pixels": describe_parts(split)}


def describe_parts(split: DataSplit[LabelledScene]) -> dict[str, dict[str, int]]:
    """Labelled pixels of each class by part: {class: {"train": n, "test": m}}."""
    names = split.scenes[0].labels.legend.names
    counts = np.zeros((2, len(names)), np.int64)
    for number, named in enumerate(split.scenes):
        labels = named.labels.reader.read(whole(named.grid))
        counts += [_counts(labels, part, names) for part in _parts(split, number)]
    return {name: {"train": int(a), "test": int(b)} for name, a, b in zip(names, *counts, strict=True)}


def _parts(split: DataSplit[LabelledScene], number: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Labelled pixels of a scene that are learnt from, and tested on; (h, w) bool."""
    named = split.scenes[number]
    window = whole(named.grid)
    labelled = named.labels.reader.read(window) != VOID
    return split.mask(number, TRAIN, window) & labelled, split.mask(number, VAL, window) & labelled


def _counts(labels: NDArray[np.uint8], mask: NDArray[np.bool_], names: Sequence[str]) -> NDArray[np.int64]:
    return count_classes([labels[mask]], len(names))


def _warn(split: DataSplit[LabelledScene], total: Leakage) -> None:
    if not total.overlapping:
        return
    share, patch_px = 100 * total.share, total.patch_px
    if split.leaky and patch_px > 1:
        log.warning(
            "data.split=%s with patches of %d px: the patches of %.1f %% of the test pixels overlap a training pixel's patch, "
            "so the scores say little about other sites. Use data.split=folds or components.",
            split.kind, patch_px, share,
        )  # fmt: skip
    elif split.kind != "none":
        log.info(
            "The patches of %.1f %% of the test pixels overlap a training pixel's patch; data.buffer_px=%d leaves none.",
            share, patch_px - 1,
        )  # fmt: skip
