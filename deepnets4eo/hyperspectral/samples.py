"""Patches cut out of spectra that are read once, and batches of them with the class of their middle pixel, augmented.

Spectra stay in memory, or beyond a limit in a temporary file. The epoch alone decides which batches there are: an epoch
shows every labelled pixel once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.grid import blocks
from deepnets4eo.hyperspectral.pixel_sets import Pixels
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling import reflect_indices
from deepnets4eo.training.data import read_ahead, to_tensors

if TYPE_CHECKING:
    from torch import Tensor

READ_PX = 128
NOISE = 1 / 25  # deviation of the noise that published augmentations add, in scaled values 0–1
GAINS = 0.9, 1.1
SHARES = 0.01, 1.0  # of the two pixels of a mixture, before they are divided by their sum
Offsets = tuple[NDArray[np.int64], NDArray[np.int64]]


class PatchStore:
    """The spectra around given pixels, one row a pixel, which lie at P // 2 of patches of side P; pixels that are not
    valid are 0. Stores above `memory_bytes` are a temporary file in `folder`, which disappears with the process."""

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

    def patches(self, pixels: Pixels, down: NDArray[np.int64], right: NDArray[np.int64]) -> FloatImage:
        """Return the patches (N, C, P, P) around pixels, a view of (N, P, P, C); `down` and `right` (1 or N, P, P) say
        which pixel each element shows."""
        at = self._lookup(pixels, down, right)
        taken = self.spectra.take(at.ravel(), axis=0).reshape(*at.shape, -1)
        return np.moveaxis(taken, 3, 1)

    def _lookup(self, pixels: Pixels, down: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int32]:
        """(N, P, P) rows of `spectra`."""
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

    def _read(
        self, scene: Scene, inputs: InputSpec, needed: NDArray[np.bool_], rows: NDArray[np.int32], start: int
    ) -> int:
        """Read the spectra of a scene by windows, from row `start` on; returns the row after the last."""
        for window in blocks(scene.shape, READ_PX):
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


def patch_offsets(patch_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns from the middle of a patch to its elements, (1, P, P) each; the middle is number P // 2."""
    down, right = np.mgrid[:patch_px, :patch_px] - patch_px // 2
    return down[None], right[None]


def _surroundings(shape: tuple[int, int], pixels: Pixels, patch_px: int) -> NDArray[np.bool_]:
    """(h, w) bool: what the patches around the pixels show."""
    from scipy.ndimage import maximum_filter

    mask = np.zeros(shape, bool)
    mask[pixels.row, pixels.col] = True
    if 2 * patch_px > min(shape):
        return np.full(shape, mask.any())
    return mask if patch_px == 1 else np.asarray(maximum_filter(mask, 2 * (patch_px // 2) + 1, mode="constant"))


@dataclass(frozen=True)
class PatchAugmentation:
    """What may change: mirror images and quarter turns of a patch; shares of patches that are multiplied by 0.9 to 1.1
    with noise of deviation 1/25, and that are mixed with another training pixel of the same class."""

    flips: bool = False
    rotations: bool = False
    radiation_noise: float = 0.0
    mixture: float = 0.0

    def offsets(self, patch_px: int) -> Offsets:
        """Offsets (T, P, P) of the T ways a patch can lie."""
        down, right = (one[0] for one in patch_offsets(patch_px))
        turns = range(4 if self.rotations else 1)
        flips = ((), (0,), (1,), (0, 1)) if self.flips else ((),)
        ways = [(turn, axes) for turn in turns for axes in flips]
        return tuple(np.stack([np.flip(np.rot90(one, turn), axes) for turn, axes in ways]) for one in (down, right))  # type: ignore[return-value]


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

    def _batch(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Tensor]:
        pixels = self.pixels.take(chosen)
        patches = self._patches(pixels, rng)
        if self.augment.radiation_noise:
            noisy = rng.random(len(patches)) < self.augment.radiation_noise
            gain = rng.uniform(*GAINS, (int(noisy.sum()), 1, 1, 1)).astype(np.float32)
            patches[noisy] = gain * patches[noisy] + _noise(patches[noisy].shape, rng)
        if self.augment.mixture:
            self._mix(patches, pixels, rng)
        if self.unlabelled is not None and len(self.unlabelled) and self.unlabelled_share:
            number = min(round(self.unlabelled_share * len(pixels)), len(self.unlabelled))
            others = self.unlabelled.take(rng.choice(len(self.unlabelled), number))
            patches = np.concatenate([patches, self._patches(others, rng)])
            pixels = Pixels.join([pixels, others])
        return to_tensors({"patches": patches, "mask": pixels.mask})

    def _patches(self, pixels: Pixels, rng: np.random.Generator) -> NDArray[np.float32]:
        """(N, C, P, P), each turned at random."""
        down, right = self.offsets
        if len(down) > 1:
            way = rng.integers(len(down), size=len(pixels))
            down, right = down[way], right[way]
        return self.store.patches(pixels, down, right)

    def _mix(self, patches: NDArray[np.float32], pixels: Pixels, rng: np.random.Generator) -> None:
        """Mix some of the patches (N, C, P, P), in place, with those of random pixels of their class."""
        mixed = np.flatnonzero(rng.random(len(patches)) < self.augment.mixture)
        if not mixed.size:
            return
        partners = self.pixels.take(np.array([rng.choice(self._of_class[pixels.mask[index]]) for index in mixed]))
        first, second = rng.uniform(*SHARES, (2, len(mixed), 1, 1, 1)).astype(np.float32)
        mixture = first * patches[mixed] + second * self._patches(partners, rng)
        patches[mixed] = mixture / (first + second) + _noise(mixture.shape, rng)

    @cached_property
    def _of_class(self) -> dict[int, NDArray[np.int64]]:
        return {int(index): np.flatnonzero(self.pixels.mask == index) for index in np.unique(self.pixels.mask)}


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    return np.float32(NOISE) * rng.standard_normal(shape, np.float32)
