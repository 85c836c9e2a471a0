"""Windows and pixels to train on, at random or with each class in turn; and windows or items spread evenly over many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import READ_PX, Window, blocks
from deepnets4eo.rasters import Scene
from deepnets4eo.tiling.lattice import reflect_indices

CELL_PX = 64
FEW_BLOCKS = 8  # from fewer windows, samples are kept disjoint by cells: folds need blocks of ground to be disjoint
FEWEST_CELLS, MIN_CELL_PX = 24, 8  # smaller cells of small scenes, so that folds of them hold all classes
FEW_PIXELS = 2000  # of a class from one window where there are many windows, so that many are used
SPARSE_PIXELS = (
    2000  # labelled in all: as many are drawn whatever share was named, since sparse labels do not repeat each other
)
MIN_PIXELS = 200  # from one window of a random draw: features cost a whole window, however few pixels are taken

Usable = Callable[[Window], NDArray[np.bool_]]


def random_windows(shape: tuple[int, int], window_px: int, count: int, rng: np.random.Generator) -> list[Window]:
    """`count` windows of one size, uniformly over all positions inside; beyond the edge of a smaller scene."""
    rows = rng.integers(0, max(shape[0] - window_px, 0), count, endpoint=True)
    cols = rng.integers(0, max(shape[1] - window_px, 0), count, endpoint=True)
    return [Window(int(row), int(col), window_px, window_px) for row, col in zip(rows, cols, strict=True)]


@dataclass(frozen=True)
class ClassCells:
    """Occurrence of each class: the cells (row, col) of a coarse grid that show it, and its pixels (K,)."""

    shape: tuple[int, int]
    cells: tuple[NDArray[np.int32], ...]
    counts: NDArray[np.int64]

    @classmethod
    def build(cls, scene: Scene, legend: Legend, usable: Usable | None = None) -> ClassCells:
        """Read the labels once by blocks; `usable(window)` leaves pixels out. Memory: a few bytes per 64 × 64 pixels."""
        height, width = scene.shape
        cells_of: list[list[NDArray[np.int32]]] = [[] for _ in legend.values]
        counts = np.zeros(legend.num_classes, np.int64)
        for window in blocks((height, width), READ_PX):
            labels = scene.read(window, [Scene.label_layer])[Scene.label_layer]
            if usable is not None:
                labels = np.where(usable(window), labels, VOID)
            pixels = _pixels_by_cell(labels)[..., list(legend.values)]
            counts += pixels.sum(axis=(0, 1))
            first = np.array([window.row // CELL_PX, window.col // CELL_PX])
            for class_index, cells in enumerate(cells_of):
                cells.append((np.argwhere(pixels[..., class_index]) + first).astype(np.int32))
        return cls((height, width), tuple(np.concatenate(cells) for cells in cells_of), counts)

    @property
    def present(self) -> list[int]:
        """Indices of the classes that occur."""
        return [class_index for class_index, count in enumerate(self.counts) if count]


def _pixels_by_cell(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of each value in the cells of a block, (⌈h / CELL_PX⌉, ⌈w / CELL_PX⌉, 256)."""
    down, across = (-(-side // CELL_PX) for side in labels.shape)
    row, col = np.ogrid[: labels.shape[0], : labels.shape[1]]
    cell = row // CELL_PX * across + col // CELL_PX
    return np.bincount((cell * 256 + labels).ravel(), minlength=down * across * 256).reshape(down, across, 256)


def balanced_windows(cells: ClassCells, window_px: int, count: int, rng: np.random.Generator) -> list[Window]:
    """`count` jittered windows around cells of classes drawn uniformly; InputError without labelled pixels."""
    present = cells.present
    if not present:
        raise InputError(
            "no pixel of the scene is labelled with a class of the legend. Check labels, legend and split."
        )
    windows = []
    for class_index in rng.choice(present, count):
        cell = cells.cells[class_index][rng.integers(len(cells.cells[class_index]))]
        centre = cell * CELL_PX + rng.integers(0, CELL_PX, 2)
        jitter = rng.integers(0, window_px, 2)
        row, col = (
            int(np.clip(middle - shift, 0, max(side - window_px, 0)))
            for middle, shift, side in zip(centre, jitter, cells.shape, strict=True)
        )
        windows.append(Window(row, col, window_px, window_px))
    return windows


@dataclass(frozen=True)
class LabelledPixels:
    """Labelled pixels: vectors (n, F), class_indices (n,), and blocks (n,) of ground: windows, or cells of some 64 pixels."""

    vectors: NDArray[np.float32]
    class_indices: NDArray[np.uint8]
    blocks: NDArray[np.int64]


def sample_pixels(
    scenes: Sequence[Scene],
    legend: Legend,
    features: Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]],
    *,
    max_pixels: int,
    halo_px: int = 0,
    stride_px: int = 1,
    names: Sequence[str] = ("image",),
    seed: int = 0,
    window_px: int = 256,
    balanced: bool = True,
    max_share: float = 1.0,
) -> LabelledPixels:
    """Draw at most `max_pixels` labelled pixels, equally many a class or at random, with `features` (F, rows, cols) on a stride.

    At random at most `max_share` of them are drawn, but 2,000 always. InputError without labelled pixels.
    """
    rng = np.random.default_rng(seed)
    windows = list(shuffle_windows(scenes, window_px, rng))
    choice: _Balanced | _AtRandom
    choice = (
        _Balanced(windows, legend, max_pixels, rng)
        if balanced
        else _AtRandom(windows, legend, max_pixels, rng, max_share)
    )
    vectors: list[NDArray[np.float32]] = []
    class_indices: list[NDArray[np.uint8]] = []
    windows_of: list[NDArray[np.int64]] = []
    cell_px = _cell_side([window for _, _, window in windows])
    cells_of: list[NDArray[np.int64]] = []
    first, margin = stride_px // 2, halo_px // stride_px
    for number, scene, window in choice.windows:
        sample = read_mirrored(scene, window.grow(halo_px), [*names, Scene.label_layer])
        counts = (len(range(first, side, stride_px)) for side in (window.height, window.width))
        rows, cols = (slice(margin, margin + count) for count in counts)
        labels = np.where(sample["valid"], sample[Scene.label_layer], VOID)[first::stride_px, first::stride_px][
            rows, cols
        ]
        picked = choice.pick(number, labels)
        if picked.size:
            stack = features(sample)[:, rows, cols]
            vectors.append(stack.reshape(stack.shape[0], -1).T[picked])
            class_indices.append(legend.to_index()[labels.ravel()[picked]])
            windows_of.append(np.full(picked.size, number))
            cells_of.append(_cell_numbers(picked, labels.shape[1], stride_px, cell_px))
        if choice.done:
            break
    if not vectors:
        raise InputError("the scenes show no pixel that is valid and labelled. Check the labels layer and the legend.")
    blocks_of = np.concatenate(windows_of)
    if len(windows_of) < FEW_BLOCKS:
        blocks_of = np.stack([blocks_of, np.concatenate(cells_of)], axis=1)
        blocks_of = np.unique(blocks_of, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    return LabelledPixels(np.concatenate(vectors), np.concatenate(class_indices), blocks_of)


def _cell_side(windows: Sequence[Window]) -> int:
    """Return the side of cells that keep samples apart: windows of large scenes contain `FEWEST_CELLS`."""
    area = sum(window.height * window.width for window in windows)
    return int(np.clip(math.isqrt(area // FEWEST_CELLS), MIN_CELL_PX, CELL_PX))


def _cell_numbers(picked: NDArray[np.int64], columns: int, stride_px: int, cell_px: int) -> NDArray[np.int64]:
    """Return the number of the cell, within a window, for flat indices of sites, (n,)."""
    row, col = ((positions * stride_px + stride_px // 2) // cell_px for positions in np.divmod(picked, columns))
    return row * -(-columns * stride_px // cell_px) + col


def read_mirrored(scene: Scene, window: Window, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read a window as `Scene.read` does, the scene mirrored at its edges as for prediction."""
    inside = window.clip(scene.shape)
    sample = scene.read(inside, names)
    if inside == window:
        return sample
    (height, width), (row, col) = scene.shape, inside[:2]
    rows = reflect_indices(height, window.row, window.row + window.height) - row
    cols = reflect_indices(width, window.col, window.col + window.width) - col
    return {name: layer.take(rows, axis=-2).take(cols, axis=-1) for name, layer in sample.items()}


def shuffle_windows(
    scenes: Sequence[Scene], window_px: int, rng: np.random.Generator
) -> Iterator[tuple[int, Scene, Window]]:
    """Every window of every scene once, in random order, with its number."""
    everything = [(scene, window) for scene in scenes for window in scene.blocks(window_px)]
    for number in rng.permutation(len(everything)):
        yield (int(number), *everything[number])


_Windows = Sequence[tuple[int, Scene, Window]]


class _Balanced:
    """Equally many pixels of each class, of all windows in turn until there are enough."""

    def __init__(self, windows: _Windows, legend: Legend, max_pixels: int, rng: np.random.Generator) -> None:
        self.windows, self._values, self._rng = windows, legend.values, rng
        each = max(1, max_pixels // legend.num_classes)
        self._left = np.full(legend.num_classes, each)
        self._most = max(FEW_PIXELS, math.ceil(each / len(windows)))

    @property
    def done(self) -> bool:
        """Return whether each class has its pixels."""
        return not self._left.any()

    def pick(self, number: int, labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Flat indices of the pixels taken from a window."""
        flat, taken = labels.ravel(), []
        for class_index, value in enumerate(self._values):
            pixels = np.flatnonzero(flat == value)
            count = min(pixels.size, int(self._left[class_index]), self._most)
            if count:
                taken.append(self._rng.choice(pixels, count, replace=False))
                self._left[class_index] -= count
        return np.sort(np.concatenate(taken)) if taken else np.zeros(0, np.int64)


class _AtRandom:
    """Pixels in proportion to each window's labelled ones, of as many windows as `MIN_PIXELS` each allow."""

    done = False  # every window of `windows` is needed

    def __init__(
        self, windows: _Windows, legend: Legend, max_pixels: int, rng: np.random.Generator, max_share: float
    ) -> None:
        self._values, self._rng = legend.values, rng
        labelled = np.array(
            [
                np.isin(scene.read(window, [Scene.label_layer])[Scene.label_layer], legend.values).sum()
                for _, scene, window in windows
            ],
            float,
        )
        max_pixels = min(max_pixels, max(SPARSE_PIXELS, math.ceil(max_share * labelled.sum())))
        shares, most = labelled / max(labelled.sum(), 1.0), max(1, max_pixels // MIN_PIXELS)
        if np.count_nonzero(labelled) <= most:
            counts = np.ceil(max_pixels * shares).astype(int)
        else:
            counts = np.zeros(len(windows), int)
            counts[rng.choice(len(windows), most, replace=False, p=shares)] = math.ceil(max_pixels / most)
        self.windows = [window for window, count in zip(windows, counts, strict=True) if count]
        self._counts = {number: int(count) for (number, _, _), count in zip(windows, counts, strict=True)}

    def pick(self, number: int, labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Flat indices of the pixels taken from a window."""
        pixels = np.flatnonzero(np.isin(labels, self._values))
        return np.sort(self._rng.choice(pixels, min(self._counts[number], pixels.size), replace=False))


def spread_windows(shape: tuple[int, int], window: tuple[int, int], per_axis: int) -> list[Window]:
    """Windows spread evenly from edge to edge, in row order; fewer, and cut, where a raster is small."""
    height, width = (min(side, length) for side, length in zip(window, shape, strict=True))
    rows, cols = (
        sorted({round(start) for start in np.linspace(0, length - side, per_axis)})
        for length, side in zip(shape, (height, width), strict=True)
    )
    return [Window(row, col, height, width) for row in rows for col in cols]


def spread_indices(count: int, most: int, *, round_down: bool = False) -> NDArray[np.intp]:
    """At most `most` ascending indices, spread evenly from the first to the last."""
    positions = np.linspace(0, count - 1, min(count, most))
    indices: NDArray[np.intp] = (np.floor if round_down else np.rint)(positions).astype(np.intp)
    return indices
