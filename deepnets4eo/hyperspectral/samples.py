"""Pixels of a hyperspectral cube by their use, and batches of patches around them. Pixels are for training, for
validation, shown without a label, or for testing.

Spectra are read once, and stay in memory, or beyond a limit in a temporary file. An epoch shows every labelled pixel
once.

How much of the test is known from training is measured.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Indices, Mask
from deepnets4eo.cards import VOID, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.grid import whole
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import reflect_indices
from deepnets4eo.training import DataSplit, LabelledScene, count_classes, read_ahead, to_tensors

if TYPE_CHECKING:
    from torch import Tensor


log = logging.getLogger(__name__)

READ_PX = 128
NOISE = 1 / 25  # deviation of the noise that published augmentations add, in scaled values 0–1
GAINS = 0.9, 1.1
SHARES = 0.01, 1.0  # of the two pixels of a mixture, before they are divided by their sum
Offsets = tuple[Indices, Indices]


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

    def take(self, indices: NDArray[np.integer] | Mask) -> Pixels:
        """Return some of the pixels, by index or (n,) bool."""
        return Pixels(self.scene[indices], self.row[indices], self.col[indices], self.mask[indices])

    @classmethod
    def join(cls, parts: Iterable[Pixels]) -> Pixels:
        """All pixels of several sets, in order."""
        columns = zip(*((part.scene, part.row, part.col, part.mask) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    @classmethod
    def of_mask(cls, scene: int, mask: Mask, labels: NDArray[np.uint8]) -> Pixels:
        """Return the pixels of a scene where `mask` (h, w) bool is True, with their labels (h, w) uint8."""
        row, col = (axis.astype(np.int32) for axis in np.nonzero(mask))
        return cls(np.full(len(row), scene, np.int32), row, col, labels[row, col])


def labelled_pixels(split: DataSplit[LabelledScene]) -> Pixels:
    """Return all labelled pixels of the training part. Errors: InputError if there are none."""
    parts = []
    for number, named in enumerate(split.scenes):
        labels = named.labels.reader.read(whole(named.grid))
        parts.append(
            Pixels.of_mask(number, split.mask(number, SplitPart.train, whole(named.grid)) & (labels != VOID), labels)
        )
    pixels = Pixels.join(parts)
    if not len(pixels):
        raise InputError("no pixel of the training part is labelled with a class. Check labels, legend and data.split.")
    return pixels


def unlabelled_pixels(split: DataSplit[LabelledScene], patch_px: int) -> Pixels:
    """Return all unlabelled pixels outside the test part; of a disjoint split, only those whose patch shows no test pixel."""
    from scipy.ndimage import maximum_filter

    parts = []
    for number, named in enumerate(split.scenes):
        window = whole(named.grid)
        labels, tested = named.labels.reader.read(window), split.mask(number, SplitPart.val, window)
        if not split.mixes_neighbours and patch_px > 1:
            tested = maximum_filter(tested, 2 * (patch_px // 2) + 1, mode="constant")
        parts.append(Pixels.of_mask(number, (labels == VOID) & ~tested, labels))
    return Pixels.join(parts)


def set_aside(pixels: Pixels, share: float, seed: int) -> tuple[Pixels, Pixels]:
    """Return the pixels without, and only, a random share 0–1 of each class; rounded, so that few pixels of a class all stay."""
    rng = np.random.default_rng(seed)
    aside = np.zeros(len(pixels), bool)
    for class_index in np.unique(pixels.mask):
        of_class = np.flatnonzero(pixels.mask == class_index)
        aside[rng.choice(of_class, round(share * len(of_class)), replace=False)] = True
    return pixels.take(~aside), pixels.take(aside)


@dataclass(frozen=True)
class Leakage:
    """Numbers of `test_pixels` that share pixels with training.

    `overlapping` pixels have a patch of `patch_px` that shares a pixel with the patch of a training pixel; the patch of
    `containing` pixels shows a training pixel."""

    patch_px: int
    test_pixels: int
    overlapping: int
    containing: int

    def __add__(self, other: Leakage) -> Leakage:
        """Return the counts of two scenes together."""
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


def leakage(train_mask: Mask, test_mask: Mask, patch_px: int) -> Leakage:
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
        counts += [count_classes([labels[part]], len(names)) for part in _parts(split, number)]
    return {name: {"train": int(a), "test": int(b)} for name, a, b in zip(names, *counts, strict=True)}


def _parts(split: DataSplit[LabelledScene], number: int) -> tuple[Mask, Mask]:
    """Labelled pixels of a scene that are learnt from, and tested on; (h, w) bool."""
    named = split.scenes[number]
    window = whole(named.grid)
    labelled = named.labels.reader.read(window) != VOID
    return split.mask(number, SplitPart.train, window) & labelled, split.mask(number, SplitPart.val, window) & labelled


def _warn(split: DataSplit[LabelledScene], total: Leakage) -> None:
    if not total.overlapping:
        return
    share, patch_px = 100 * total.share, total.patch_px
    if split.mixes_neighbours and patch_px > 1:
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


class PatchStore:
    """The spectra around given pixels, one row per pixel.

    The pixel lies at P // 2 of a patch of side P; invalid pixels are 0.

    Stores above `memory_bytes` are a temporary file in `folder`, which disappears with the process.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        inputs: InputSpec,
        pixels: Pixels,
        patch_px: int,
        *,
        memory_bytes: float,
        folder: Path,
    ) -> None:
        self.patch_px = patch_px
        needed = [
            _surroundings(scene.shape, pixels.take(pixels.scene == n), patch_px) for n, scene in enumerate(scenes)
        ]
        shape = sum(int(mask.sum()) for mask in needed), inputs.in_channels
        self.spectra: NDArray[np.float32]
        if 4 * shape[0] * shape[1] <= memory_bytes:
            self.spectra = np.empty(shape, np.float32)
        else:
            with tempfile.TemporaryFile(dir=folder, prefix=".spectra-") as file:
                self.spectra = np.memmap(file, np.float32, "w+", shape=shape)
        self.valid = np.zeros(shape[0], bool)
        self._rows = [np.full(scene.shape, -1, np.int32) for scene in scenes]
        start = 0
        for scene, mask, rows in zip(scenes, needed, self._rows, strict=True):
            start = self._read(scene, inputs, mask, rows, start)
        self._mirrors = [
            [reflect_indices(side, -patch_px, side + patch_px) for side in scene.shape] for scene in scenes
        ]

    def where_valid(self, pixels: Pixels) -> Pixels:
        """Those of the pixels whose spectra are valid."""
        return pixels.take(
            self.valid[self._lookup(pixels, np.zeros((1, 1, 1), int), np.zeros((1, 1, 1), int))[:, 0, 0]]
        )

    def patches(self, pixels: Pixels, down: Indices, right: Indices) -> FloatImage:
        """Return the patches (N, C, P, P) around pixels, a view of (N, P, P, C).

        `down` and `right` (1 or N, P, P) are the offsets of the pixel that each element shows."""
        at = self._lookup(pixels, down, right)
        taken = self.spectra.take(at.ravel(), axis=0).reshape(*at.shape, -1)
        return np.moveaxis(taken, 3, 1)

    def _lookup(self, pixels: Pixels, down: Indices, right: Indices) -> NDArray[np.int32]:
        """Return (N, P, P) rows of `spectra`."""
        row, col = (axis[:, None, None] + self.patch_px for axis in (pixels.row, pixels.col))
        row, col = row + down, col + right
        if len(self._rows) == 1:
            down_mirror, right_mirror = self._mirrors[0]
            return self._rows[0][down_mirror[row], right_mirror[col]]
        at = np.empty(row.shape, np.int32)
        for number in np.unique(pixels.scene):
            of_scene = pixels.scene == number
            down_mirror, right_mirror = self._mirrors[number]
            at[of_scene] = self._rows[number][down_mirror[row[of_scene]], right_mirror[col[of_scene]]]
        return at

    def _read(self, scene: Scene, inputs: InputSpec, needed: Mask, rows: NDArray[np.int32], start: int) -> int:
        """Read the spectra of a scene by windows, from row `start` on; returns the row after the last."""
        for window in scene.blocks(READ_PX):
            mask = needed[window.slices]
            count = int(mask.sum())
            if not count:
                continue
            sample = scene.read(window, inputs.names)
            self.spectra[start : start + count] = inputs.prepare(sample)[:, mask].T
            self.valid[start : start + count] = sample["valid"][mask]
            rows[window.slices][mask] = np.arange(start, start + count, dtype=np.int32)
            start += count
        return start


def patch_offsets(patch_px: int) -> tuple[Indices, Indices]:
    """Return rows and columns from the middle of a patch to its elements, (1, P, P) each; the middle is number P // 2."""
    down, right = np.mgrid[:patch_px, :patch_px] - patch_px // 2
    return down[None], right[None]


def _surroundings(shape: tuple[int, int], pixels: Pixels, patch_px: int) -> Mask:
    """Return (h, w) bool: what the patches around the pixels show."""
    from scipy.ndimage import maximum_filter

    mask = np.zeros(shape, bool)
    mask[pixels.row, pixels.col] = True
    if 2 * patch_px > min(shape):
        return np.full(shape, mask.any())
    return mask if patch_px == 1 else np.asarray(maximum_filter(mask, 2 * (patch_px // 2) + 1, mode="constant"))


@dataclass(frozen=True)
class PatchAugmentation:
    """Augmentation of patches.

    flips, rotations : mirror images and quarter turns of a patch
    radiation_noise : share of patches that are multiplied by 0.9 to 1.1, with noise of deviation 1/25
    mixture : share of patches that are mixed with another training pixel of the same class
    """

    flips: bool = False
    rotations: bool = False
    radiation_noise: float = 0.0
    mixture: float = 0.0

    def offsets(self, patch_px: int) -> Offsets:
        """Return offsets (T, P, P) of the T orientations of a patch."""
        down, right = (step[0] for step in patch_offsets(patch_px))
        turns = range(4 if self.rotations else 1)
        flips = ((), (0,), (1,), (0, 1)) if self.flips else ((),)
        ways = [(turn, axes) for turn in turns for axes in flips]
        return tuple(np.stack([np.flip(np.rot90(step, turn), axes) for turn, axes in ways]) for step in (down, right))  # type: ignore[return-value]


class PatchLoader:
    """Batches of patches around at most `batch_size` labelled pixels, with `unlabelled_share` pixels without a label to
    each, drawn at random; `workers` threads read ahead."""

    def __init__(
        self, store: PatchStore, pixels: Pixels, batch_size: int, *, augment: PatchAugmentation | None = None,
        seed: int = 0, unlabelled: Pixels | None = None, unlabelled_share: float = 0.0, workers: int = 0,
    ) -> None:  # fmt: skip
        self.store, self.pixels, self.unlabelled = store, pixels, unlabelled
        self.batch_size, self.seed, self.unlabelled_share, self.workers = batch_size, seed, unlabelled_share, workers
        self.augment = augment or PatchAugmentation()
        self.offsets = self.augment.offsets(store.patch_px)
        self.epoch, self.first_batch = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.pixels) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        epoch, order = self.epoch, np.random.default_rng([self.seed, self.epoch]).permutation(len(self.pixels))
        batches = np.array_split(order, len(self)) if len(order) else []

        def batch(number: int) -> dict[str, Tensor]:
            return self._batch(batches[number], np.random.default_rng([self.seed, epoch, number]))

        return read_ahead(batch, range(self.first_batch, len(self)), self.workers)

    def _batch(self, chosen: Indices, rng: np.random.Generator) -> dict[str, Tensor]:
        pixels = self.pixels.take(chosen)
        patches = self._patches(pixels, rng)
        if self.augment.radiation_noise:
            noisy = rng.random(len(patches)) < self.augment.radiation_noise
            gain = rng.uniform(*GAINS, (int(noisy.sum()), 1, 1, 1)).astype(np.float32)
            patches[noisy] = gain * patches[noisy] + np.float32(NOISE) * rng.standard_normal(
                patches[noisy].shape, np.float32
            )
        if self.augment.mixture:
            self._mix(patches, pixels, rng)
        if self.unlabelled is not None and len(self.unlabelled) and self.unlabelled_share:
            number = min(round(self.unlabelled_share * len(pixels)), len(self.unlabelled))
            others = self.unlabelled.take(rng.choice(len(self.unlabelled), number))
            patches = np.concatenate([patches, self._patches(others, rng)])
            pixels = Pixels.join([pixels, others])
        return to_tensors({"patches": patches, "mask": pixels.mask})

    def _patches(self, pixels: Pixels, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return (N, C, P, P), each turned at random."""
        down, right = self.offsets
        if len(down) > 1:
            way = rng.integers(len(down), size=len(pixels))
            down, right = down[way], right[way]
        return self.store.patches(pixels, down, right)

    def _mix(self, patches: NDArray[np.float32], pixels: Pixels, rng: np.random.Generator) -> None:
        """Mix some of the patches (N, C, P, P), in place, with the patches of random pixels of their class."""
        mixed = np.flatnonzero(rng.random(len(patches)) < self.augment.mixture)
        if not mixed.size:
            return
        partners = self.pixels.take(np.array([rng.choice(self._of_class[pixels.mask[index]]) for index in mixed]))
        first, second = rng.uniform(*SHARES, (2, len(mixed), 1, 1, 1)).astype(np.float32)
        mixture = first * patches[mixed] + second * self._patches(partners, rng)
        patches[mixed] = mixture / (first + second) + np.float32(NOISE) * rng.standard_normal(mixture.shape, np.float32)

    @cached_property
    def _of_class(self) -> dict[int, Indices]:
        return {int(index): np.flatnonzero(self.pixels.mask == index) for index in np.unique(self.pixels.mask)}
