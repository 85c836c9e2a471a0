"""Samples that are windows of scenes, and batches read ahead: layers (C, H, W) float32, valid (H, W) and the target.

Training batches are tensors, validation ones arrays, so that some methods need no PyTorch. Draws follow from (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.cards import VOID, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import ClassCells, balanced_windows, mirror_window
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.scenes import LabelledScene
from deepnets4eo.training.splits import DataSplit, SampleWindow

if TYPE_CHECKING:
    from torch import Tensor

    from deepnets4eo.training.augmentation import Augmentation

Sample = dict[str, NDArray[Any]]
Batch = TypeVar("Batch")

TRIES = 8  # to find a window that shows nothing of the validation part, before its pixels are blanked
AHEAD = 2  # batches a reading thread may be ahead of the network


class Samples(Protocol):
    """Training samples of a network: the windows of an epoch, and the reader of a window."""

    def windows(self, epoch: int) -> Sequence[Any]:
        """Return the windows of an epoch, `data.windows_per_epoch` of them, in order; they follow from (seed, epoch)."""

    def read(self, window: Any) -> Sample:
        """One window: inputs by name (C, H, W), valid (H, W) and the target of two dimensions at least; (1, 1) of a whole image."""


class SceneSamples:
    """Windows of scenes drawn at random, by area or each scene as often (`data.sampling`). A task adds its target: `target_layers`, and `target` of what was read.

    Parameters
    ----------
    split : the scenes and their parts; nothing of a validation block is shown, but for leaky splits
    inputs : layers and scaling
    recipe : the recipe; its `data.tile_px`, `data.sampling`, `data.windows_per_epoch` and `train.seed` are used

    Examples
    --------
    ```python
    class HeightSamples(SceneSamples):
        target_layers = ("height",)

        def target(self, layers, labelled):
            return {"height": np.where(labelled & layers["valid"], layers["height"][0], np.float32(np.nan))}
    ```
    """

    target_layers: tuple[str, ...] = ()

    def __init__(self, split: DataSplit[Any], inputs: InputSpec, recipe: Recipe) -> None:
        self.split, self.inputs = split, inputs
        self.data, self.seed = recipe.data, recipe.train.seed

    def target(self, layers: Mapping[str, NDArray[Any]], labelled: Mask) -> Sample:
        """Return the target of a window, by name.

        layers : the result of `Scene.read` for `target_layers`, with "valid" (h, w) bool
        labelled : (h, w) bool, pixels with valid inputs whose target may be learnt from; everything else is void
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its target")

    def windows(self, epoch: int) -> list[SampleWindow]:
        """Return the windows of an epoch, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        return [self._draw_unhidden(rng) for _ in range(self.data.windows_per_epoch)]

    def read(self, window: SampleWindow) -> Sample:
        """Read a window for training."""
        labelled = self.split.mask(window.scene, SplitPart.train, window.window)
        return self._read(window, labelled, self.split.hidden_mask(window.scene, window.window))

    def read_validation(self, window: SampleWindow, halo_px: int, tile_px: int) -> Sample:
        """Read a tile around a validation window, with its target only in that window, so that each pixel is counted once."""
        tile = Window(window.window.row - halo_px, window.window.col - halo_px, tile_px, tile_px)
        labelled = np.zeros((tile_px, tile_px), bool)
        labelled[window.window.within(tile).slices] = self.split.mask(window.scene, SplitPart.val, window.window)
        return self._read(SampleWindow(window.scene, tile), labelled)

    def draw(self, rng: np.random.Generator) -> SampleWindow:
        """One window."""
        scene = int(rng.choice(len(self._shares), p=self._shares))
        return self.split.random_window(scene, self.data.tile_px, rng)

    def _draw_unhidden(self, rng: np.random.Generator) -> SampleWindow:
        for _ in range(TRIES):
            window = self.draw(rng)
            if not self.split.touches_validation(window.scene, window.window):
                break
        return window

    def _read(self, window: SampleWindow, labelled: Mask, hidden: Mask | None = None) -> Sample:
        """Read the sample of a window, mirrored beyond the scene; its target only where `labelled`, pixels blanked where `hidden`."""
        named = self.split.scenes[window.scene]
        layers = named.scene.read(window.window, self.inputs.present(named.scene))
        targets = named.scene.read(window.window, self.target_layers)  # apart: where they are void, inputs are not
        if hidden is not None:
            layers["valid"] = layers["valid"] & ~hidden
        ends = np.cumsum([len(layer.bands) for layer in self.inputs.layers.values()])
        sample: Sample = dict(zip(self.inputs.names, np.split(self.inputs.prepare(layers), ends[:-1]), strict=True))
        sample |= self.target(targets, labelled & layers["valid"]) | {"valid": layers["valid"]}
        inside = window.window.clip(named.scene.shape)
        if inside != window.window:
            beyond, (rows, cols) = window.window.within(inside), inside.within(window.window).slices
            sample |= {name: mirror_window(sample[name][:, rows, cols], beyond) for name in self.inputs.names}
            sample["valid"] = mirror_window(sample["valid"][None, rows, cols], beyond)[0]
        return sample

    @cached_property
    def _shares(self) -> Floats:
        areas = self.split.areas(SplitPart.train)
        if self.data.sampling == "scenes":
            areas = (areas > 0).astype(float)
        return np.asarray(areas / areas.sum())


class ClassSamples(SceneSamples):
    """Windows of labelled scenes, at random or around each class in turn (`data.sampling`); the target is mask (H, W) uint8, void 255."""

    target_layers: tuple[str, ...] = (Scene.label_layer,)

    def __init__(
        self, split: DataSplit[LabelledScene], inputs: InputSpec, recipe: Recipe, cells: Sequence[ClassCells]
    ) -> None:
        super().__init__(split, inputs, recipe)
        self.cells = cells
        self._to_index = split.scenes[0].labels.legend.to_index()
        self._counts = np.array(
            [[len(cells_of_class) for cells_of_class in scene_cells.cells] for scene_cells in cells], float
        )
        self._present = np.flatnonzero(self._counts.sum(axis=0))

    def target(self, layers: Mapping[str, NDArray[Any]], labelled: Mask) -> Sample:
        """mask (h, w) uint8."""
        labels = np.where(labelled, layers[Scene.label_layer], np.uint8(VOID))
        return {"mask": self._to_index[labels]}

    def windows(self, epoch: int) -> list[SampleWindow]:
        """Return the windows of an epoch, in order. Errors: InputError if no training pixel is labelled."""
        if not self._present.size:
            raise InputError("no pixel of the training part is labelled with a class. Check labels, legend and split.")
        return super().windows(epoch)

    def draw(self, rng: np.random.Generator) -> SampleWindow:
        """One window."""
        if self.data.sampling != "balanced":
            return super().draw(rng)
        chosen = int(rng.choice(self._present))
        scene = int(rng.choice(len(self.cells), p=self._by_class[:, chosen]))
        only = np.arange(self._by_class.shape[1]) == chosen
        cells = replace(self.cells[scene], counts=np.where(only, self.cells[scene].counts, 0))
        return SampleWindow(scene, balanced_windows(cells, self.data.tile_px, 1, rng)[0])

    @cached_property
    def _by_class(self) -> Floats:
        return np.asarray(self._counts / np.maximum(self._counts.sum(axis=0), 1))


@dataclass
class TrainLoader:
    """Batches of augmented windows, selected only by the epoch. Each of several processes has its share of a batch."""

    samples: Samples
    augment: Augmentation
    batch_size: int
    windows_per_epoch: int
    seed: int = 0
    workers: int = 0
    rank: Rank = Rank()
    epoch: int = 0
    first_batch: int = 0  # earlier ones of the epoch are left out

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose windows come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.windows_per_epoch // self.batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        import torch

        epoch, windows = self.epoch, self.samples.windows(self.epoch)

        def batch(number: int) -> dict[str, Tensor]:
            positions = [number * self.batch_size + index for index in self.rank.share(self.batch_size)]
            chosen = [self._sample(windows[position], epoch, position) for position in positions]
            return {name: torch.stack([sample[name] for sample in chosen]) for name in chosen[0]}

        return read_ahead(batch, range(self.first_batch, len(self)), self.workers)

    def _sample(self, window: Any, epoch: int, at: int) -> dict[str, Tensor]:
        return self.augment(to_tensors(self.samples.read(window)), np.random.default_rng([self.seed, epoch, at]))


@dataclass(frozen=True)
class ValidationLoader:
    """Batches of tiles that show each validation pixel once, with its context.

    Parameters
    ----------
    samples : scenes and target
    tile_px : side of a tile, its halo included, in pixels
    halo_px : context on each side, where the target is void
    batch_size : tiles a batch
    workers : threads that read ahead; 0: none
    labelled : whether tiles without any label are left out, without reading their images; for samples of classes
    most : tiles at most, evenly among all; None: all
    """

    samples: SceneSamples
    tile_px: int
    halo_px: int
    batch_size: int
    workers: int = 0
    labelled: bool = False
    most: int | None = None

    def __iter__(self) -> Iterator[Sample]:
        windows = self.samples.split.windows(SplitPart.val, self.tile_px - 2 * self.halo_px)
        if self.labelled:
            windows = [window for window in windows if self._has_label(window)]
        if self.most is not None and self.most < len(windows):
            windows = [windows[index] for index in np.linspace(0, len(windows) - 1, self.most).round().astype(int)]

        def batch(number: int) -> Sample:
            chosen = windows[number * self.batch_size : (number + 1) * self.batch_size]
            tiles = [self.samples.read_validation(window, self.halo_px, self.tile_px) for window in chosen]
            return {name: np.stack([tile[name] for tile in tiles]) for name in tiles[0]}

        return read_ahead(batch, range(-(-len(windows) // self.batch_size)), self.workers)

    def _has_label(self, at: SampleWindow) -> bool:
        split = self.samples.split
        labels = split.scenes[at.scene].labels.reader.read(at.window)
        return bool((labels[split.mask(at.scene, SplitPart.val, at.window)] != VOID).any())


def to_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return the arrays as tensors on the CPU, sharing memory."""
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def read_ahead(batch: Callable[[int], Batch], numbers: range, workers: int) -> Iterator[Batch]:
    """Return batches in order, made by threads while earlier ones are used: file handles do not survive the fork of a process."""
    return in_order(batch, numbers, workers, workers + AHEAD - 1) if workers else map(batch, numbers)
