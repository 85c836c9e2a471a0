"""Batches of patches with the class of their middle pixel, augmented; the epoch alone decides which.

Takes a store of spectra and pixels; yields tensors: patches (N, C, P, P) float32 and mask (N,) uint8, void 255 for pixels
without a label. An epoch shows every labelled pixel once, in batches of nearly equal size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.hyperspectral.patch_store import PatchStore, patch_offsets
from deepnets4eo.hyperspectral.pixel_sets import Pixels
from deepnets4eo.training.data import read_ahead, to_tensors

if TYPE_CHECKING:
    from torch import Tensor

NOISE = 1 / 25  # deviation of the noise that published augmentations add, in scaled values 0–1
GAINS = 0.9, 1.1
SHARES = 0.01, 1.0  # of the two pixels of a mixture, before they are divided by their sum

Offsets = tuple[NDArray[np.int64], NDArray[np.int64]]


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
