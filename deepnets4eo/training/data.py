"""Samples of the frozen contract, read from windows of scenes: an endless supply to train on, a fixed one to validate.

Takes parts of scenes, the inputs of a segmenter and the recipe; gives batches of tensors: layers by name (C,H,W)
float32, mask (H,W) int64 (places in the legend, void 255), valid (H,W) bool. All draws follow from (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.prefetch import in_order
from deepnets4eo.rasters.scene import LABELS
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling.sampling import ClassCells, balanced_windows
from deepnets4eo.training.augmentation import Augmentation, Sample
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.splits import TRAIN, VAL, DataSplit, SampleWindow

Batch = dict[str, Tensor]

TRIES = 8  # to find a window that shows nothing of the validation part, before its pixels are blanked
AHEAD = 2  # batches a reading thread may be ahead of the network


class SampleReader:
    """Reads one window as a sample: scaled layers, mask and validity."""

    def __init__(self, parts: DataSplit, inputs: InputSpec) -> None:
        self.parts, self.inputs = parts, inputs
        self._to_place = torch.from_numpy(parts.scenes[0].labels.legend.to_index().astype(np.int64))

    def read(self, place: SampleWindow, labelled: np.ndarray, hidden: np.ndarray | None = None) -> Sample:
        """The sample of a window; labels only where `labelled`, pixels blanked where `hidden`; both (h, w) bool."""
        raw = self.parts.scenes[place.scene].scene.read(place.window, [*self.inputs.names, LABELS])
        if hidden is not None:
            raw["valid"] = raw["valid"] & ~hidden
        prepared = torch.from_numpy(self.inputs.prepare(raw))
        sizes = [len(layer.bands) for layer in self.inputs.layers.values()]
        sample = dict(zip(self.inputs.names, prepared.split(sizes), strict=True))
        labels = np.where(labelled & raw["valid"], raw[LABELS], np.uint8(VOID))
        sample["mask"] = self._to_place[torch.from_numpy(labels).long()]
        sample["valid"] = torch.from_numpy(raw["valid"])
        return sample

    def train(self, place: SampleWindow) -> Sample:
        """A sample to learn from; nothing of a validation block is in it, but for leaky splits."""
        labelled = self.parts.mask(place.scene, TRAIN, place.window)
        blank = not self.parts.leaky and self.parts.touches_validation(place)
        return self.read(place, labelled, self.parts.mask(place.scene, VAL, place.window) if blank else None)

    def validation(self, place: SampleWindow, halo_px: int, tile_px: int) -> Sample:
        """A tile around a validation window, labels in that window alone, so that each pixel is counted once."""
        row, col = place.window.row - halo_px, place.window.col - halo_px
        tile = Window(row, col, tile_px, tile_px)
        labelled = np.zeros((tile_px, tile_px), bool)
        labelled[place.window.within(tile).slices] = True
        return self.read(SampleWindow(place.scene, tile), labelled)


class WindowPlan:
    """Which windows an epoch sees, drawn from (seed, epoch): at random by area, or around each class in turn."""

    def __init__(self, parts: DataSplit, cells: Sequence[ClassCells], recipe: Recipe) -> None:
        self.parts, self.data, self.seed = parts, recipe.data, recipe.train.seed
        areas = parts.areas(TRAIN)
        self._by_area = areas / areas.sum()
        self._cells = cells
        counts = np.array([[len(found) for found in one.cells] for one in cells], float)
        self._present = np.flatnonzero(counts.sum(axis=0))
        if not self._present.size:
            raise InputError("no pixel of the training part is labelled with a class. Check labels, legend and split.")
        self._by_class = counts / np.maximum(counts.sum(axis=0), 1)

    def places(self, epoch: int) -> list[SampleWindow]:
        """The windows of an epoch, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        return [self._place(rng) for _ in range(self.data.windows_per_epoch)]

    def _place(self, rng: np.random.Generator) -> SampleWindow:
        for _ in range(TRIES):
            place = self._balanced(rng) if self.data.sampling == "balanced" else self._random(rng)
            if self.parts.leaky or not self.parts.touches_validation(place):
                break
        return place

    def _random(self, rng: np.random.Generator) -> SampleWindow:
        scene = int(rng.choice(len(self._by_area), p=self._by_area))
        return self.parts.random_place(scene, self.data.tile_px, rng)

    def _balanced(self, rng: np.random.Generator) -> SampleWindow:
        chosen = int(rng.choice(self._present))
        scene = int(rng.choice(len(self._cells), p=self._by_class[:, chosen]))
        only = np.arange(self._by_class.shape[1]) == chosen
        cells = replace(self._cells[scene], counts=np.where(only, self._cells[scene].counts, 0))
        return SampleWindow(scene, balanced_windows(cells, self.data.tile_px, 1, rng)[0])


class Plan(Protocol):
    """Which places an epoch shows; `data.windows_per_epoch` of them."""

    data: Any
    seed: int

    def places(self, epoch: int) -> Sequence[Any]:
        """The places of an epoch, in order."""


class Reader(Protocol):
    """What turns a place into a sample to train on."""

    def train(self, place: Any) -> Sample:
        """Read one place."""


@dataclass
class TrainLoader:
    """Batches of augmented windows; the epoch alone decides which."""

    reader: Reader
    plan: Plan
    augment: Augmentation
    batch_size: int
    workers: int = 0
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose windows come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.plan.data.windows_per_epoch // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        epoch, places = self.epoch, self.plan.places(self.epoch)

        def batch(number: int) -> Batch:
            first = number * self.batch_size
            return collate([self._sample(places[at], epoch, at) for at in range(first, first + self.batch_size)])

        return _read_ahead(batch, len(self), self.workers)

    def _sample(self, place: Any, epoch: int, at: int) -> Sample:
        return self.augment(self.reader.train(place), np.random.default_rng([self.plan.seed, epoch, at]))


@dataclass(frozen=True)
class ValidationLoader:
    """Batches of tiles that show each validation pixel once, with its context."""

    reader: SampleReader
    tile_px: int
    halo_px: int
    batch_size: int
    workers: int = 0

    def __iter__(self) -> Iterator[Batch]:
        places = self.reader.parts.places(VAL, self.tile_px - 2 * self.halo_px)

        def batch(number: int) -> Batch:
            first = number * self.batch_size
            chosen = places[first : first + self.batch_size]
            return collate([self.reader.validation(place, self.halo_px, self.tile_px) for place in chosen])

        return _read_ahead(batch, -(-len(places) // self.batch_size), self.workers)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one shape stacked along a new first axis."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def _read_ahead(batch: Callable[[int], Batch], count: int, workers: int) -> Iterator[Batch]:
    """Batches 0 … count − 1 in order, made by threads while earlier ones are used; 0 workers: in the caller's thread.

    Threads, not processes: GDAL and NumPy release the interpreter, and handles on files do not survive a fork.
    """
    if not workers:
        return map(batch, range(count))
    return in_order(batch, range(count), workers, ahead=workers + AHEAD - 1)
