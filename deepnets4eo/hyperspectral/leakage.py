"""How much of a test is known from training: test pixels whose patch overlaps the patch of a training pixel.

Takes masks of training and test pixels, (h, w) bool, and the side of the patches; returns shares of the test pixels.
Scores of a leaky split are those of an exam whose questions were in the lessons: see the figure beside them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.grid import whole
from deepnets4eo.tiling.pixel_splits import count_classes
from deepnets4eo.training.scenes import LabelledScene
from deepnets4eo.training.splits import TRAIN, VAL, DataSplit

log = logging.getLogger(__name__)

VOID = 255


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
    pixel.

    >>> train, test = np.zeros((2, 1, 9), bool)
    >>> train[0, 0], test[0, [2, 4, 8]] = True, True
    >>> leakage(train, test, 5).share
    0.6666666666666666
    """
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
