"""Tiles of a scene, prepared for a segmenter, read ahead by threads and returned in lattice order, mirrored at its edges.

For networks that would scale each tile, the scene is scaled by cells of about 512 px, measured once and interpolated.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.grid import Window
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Scene, valid_pixels
from deepnets4eo.segmenters import AnySize, InputSpec, Segmenter, window_scalers
from deepnets4eo.tiling import Lattice, Tile, mirror_window

SEGMENT_BYTES = 16 << 20  # of prepared float32; neighbouring tiles share one read, so blocks are decoded about once
SEGMENT_TILES = 4

CELL_PX = 512  # near the side of tiles, whose own values a network would take
STEP_PX = 2  # between the rows and columns that are measured

BLOCK_ROWS = 32  # scaled at once, few enough to stay in the processor's cache

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class ReadTile:
    """A tile as read: image (C, tile, tile) float32, a view if possible, None without valid pixels; valid (core, core)."""

    tile: Tile
    image: FloatImage | None
    valid: Mask


@dataclass(frozen=True)
class TileReader:
    """Reads segments of neighbouring tiles at once, `scaling` them where the network does not. Memory: three segments."""

    scene: Scene
    inputs: InputSpec
    lattice: Lattice
    scaling: SceneScaling | None = None
    segment_bytes: int = SEGMENT_BYTES

    @classmethod
    def of(cls, scene: Scene, segmenter: Segmenter, lattice: Lattice) -> TileReader:
        """Return a reader of tiles for a segmenter; it scales windows if the network would do so."""
        scalers = window_scalers(segmenter)
        scaling = SceneScaling(scene, segmenter.inputs, scalers[0].unscaled_bands) if scalers else None
        return cls(scene, segmenter.inputs, lattice, scaling)

    @property
    def segment_tiles(self) -> int:
        """Return the number of tiles that are read together."""
        return max(1, min(SEGMENT_TILES, self.segment_bytes // self.tile_bytes))

    @property
    def tile_bytes(self) -> int:
        """Size of one prepared tile."""
        return 4 * self.inputs.in_channels * self.lattice.tiling.tile_px**2

    def read_ahead(self, rows: Iterable[int], cols: range, workers: int) -> Iterator[list[ReadTile]]:
        """Segments of the tiles in lattice rows × columns, in order; `workers` threads stay one segment ahead each."""
        step = self.segment_tiles
        segments = (
            [self.lattice.tile(row, col) for col in cols[i : i + step]]
            for row in rows
            for i in range(0, len(cols), step)
        )
        yield from in_order(self.read_segment, segments, workers, ahead=workers)

    def read_segment(self, tiles: list[Tile]) -> list[ReadTile]:
        """Read neighbouring tiles of one lattice row with one read of the scene."""
        first, last = tiles[0].window, tiles[-1].window
        union = Window(first.row, first.col, first.height, last.col + last.width - first.col).clip(self.scene.shape)
        sample = self.scene.read_stored(union, self.inputs.present(self.scene))
        prepared = self.inputs.prepare(sample)
        if self.scaling is not None:
            self.scaling.apply(union, prepared, sample["valid"])
        return [self._cut(tile, union, prepared, sample["valid"]) for tile in tiles]

    def _cut(self, tile: Tile, union: Window, prepared: FloatImage, valid: Mask) -> ReadTile:
        side = tile.core.height
        core = tile.core.clip(self.scene.shape)
        core_valid = np.zeros((side, side), bool)
        core_valid[: core.height, : core.width] = valid[core.within(union).slices]
        if not core_valid.any():
            return ReadTile(tile, None, core_valid)
        clipped = tile.window.clip(self.scene.shape)
        inside_rows, inside_cols = clipped.within(union).slices
        part = prepared[:, inside_rows, inside_cols]
        if clipped != tile.window:
            part = mirror_window(part, tile.window.within(clipped))
        return ReadTile(tile, part, core_valid)


@dataclass(frozen=True)
class Interpolation:
    """Linear interpolation of pixels along an axis: the cells with centres around each, and its share of the way, (n,) each."""

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    share: FloatArray

    def __getitem__(self, pixels: slice) -> Interpolation:
        return Interpolation(self.before[pixels], self.after[pixels], self.share[pixels])

    def runs(self) -> Iterator[slice]:
        """Neighbouring pixels between the same cells."""
        edges = [0, *(np.flatnonzero(np.diff(self.before)) + 1).tolist(), len(self.before)]
        yield from (slice(*ends) for ends in itertools.pairwise(edges))


class SceneScaling:
    """Means of the bands and their common spread over a scene; the last `unscaled_bands` stay. Threads may share it."""

    def __init__(self, scene: Scene, inputs: InputSpec, unscaled_bands: int = 0) -> None:
        self._scene, self._inputs = scene, inputs
        self._bands = inputs.in_channels - unscaled_bands
        rows, cols = (max(1, round(side / CELL_PX)) for side in scene.shape)
        self._edges = tuple(np.arange(n + 1) * side // n for n, side in zip((rows, cols), scene.shape, strict=True))
        # means, spread, and whether the cell has a valid pixel; 0 where it has none
        self._values = np.zeros((self._bands + 2, rows, cols), np.float32)
        self._is_measured = np.zeros((rows, cols), bool)
        self._lock = threading.Lock()

    def apply(self, window: Window, prepared: FloatImage, valid: Mask) -> None:
        """Scale a prepared image (C, h, w) of a window in place; pixels that are not valid become 0, the mean."""
        rows, cols = (
            _between(start, length, len(edges) - 1, int(edges[-1]))
            for start, length, edges in zip(window[:2], window[2:], self._edges, strict=True)
        )
        self._measure(rows, cols)
        for first in range(0, window.height, BLOCK_ROWS):
            block = slice(first, first + BLOCK_ROWS)
            self._scale(prepared[: self._bands, block], rows[block], cols)
        if not valid.all():
            prepared[:, ~valid] = 0

    def _scale(self, image: FloatImage, rows: Interpolation, cols: Interpolation) -> None:
        """Scale some rows in place. By single operations: products of matrices round by their sizes."""
        by_row = _lerp(self._values[:, rows.before], self._values[:, rows.after], rows.share[:, None])
        for columns in cols.runs():
            left, right = by_row[..., cols.before[columns.start]], by_row[..., cols.after[columns.start]]
            fields = _lerp(left[..., None], right[..., None], cols.share[columns])
            known = fields[-1]  # exactly 1 between measured cells
            if known.min() < 1:
                fields[:-1] /= np.maximum(known, np.finfo(np.float32).tiny)  # 0 where no cell around is valid
            image[..., columns] -= fields[:-2]
            image[..., columns] /= fields[-2] + np.float32(AnySize.min_spread)

    def _measure(self, rows: Interpolation, cols: Interpolation) -> None:
        with self._lock:
            for row in range(int(rows.before[0]), int(rows.after[-1]) + 1):
                for col in range(int(cols.before[0]), int(cols.after[-1]) + 1):
                    if not self._is_measured[row, col]:
                        self._values[:, row, col] = self._measure_cell(row, col)
                        self._is_measured[row, col] = True

    def _measure_cell(self, row: int, col: int) -> FloatArray:
        (top, bottom), (left, right) = (edges[i : i + 2] for edges, i in zip(self._edges, (row, col), strict=True))
        window = Window(int(top), int(left), int(bottom - top), int(right - left))
        sample = self._scene.read_stored(window, self._inputs.present(self._scene))
        thin = (..., slice(None, None, STEP_PX), slice(None, None, STEP_PX))
        thinned = {name: layer[thin] for name, layer in sample.items()}
        prepared, valid = self._inputs.prepare(thinned)[: self._bands], thinned["valid"]
        pixels = valid_pixels(prepared, valid)
        if not pixels.size:
            return np.zeros(len(self._values), np.float32)
        means = pixels.mean(axis=1, dtype=np.float64)
        pixels -= means.astype(np.float32)[:, None]
        spread = np.sqrt(np.square(pixels, out=pixels).mean(dtype=np.float64))
        return np.array([*means, spread, 1], np.float32)


def _between(start: int, length: int, cells: int, side: int) -> Interpolation:
    """Return the positions of the pixels start, start + 1, … between the centres of cells along one axis."""
    position = np.clip((np.arange(start, start + length) + 0.5) * cells / side - 0.5, 0, cells - 1)
    before = np.floor(position).astype(np.intp)
    return Interpolation(before, np.minimum(before + 1, cells - 1), (position - before).astype(np.float32))


def _lerp(before: FloatArray, after: FloatArray, share: FloatArray) -> FloatArray:
    """Between two values; exactly the value where both are equal."""
    steps = after - before
    ways = steps * share
    ways += before
    return ways
