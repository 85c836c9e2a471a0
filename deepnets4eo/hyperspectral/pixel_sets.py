"""Which pixels are learnt from, watched during training, and shown without a label.

Takes a split of labelled scenes; returns positions and classes. No pixel of the test part is in any of the sets.
Refuses training parts without a labelled pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.grid import whole
from deepnets4eo.training.scenes import LabelledScene
from deepnets4eo.training.splits import TRAIN, VAL, DataSplit


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
