"""Tiles joined into finished rows of a strip of the scene, in bounded memory.

Cores that overlap are summed with weights, always in lattice order, so that each pixel's sum has the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.grid import Window
from deepnets4eo.prediction.outputs import Product, bands_of, dtype_of, nothing
from deepnets4eo.prediction.tile_reader import ReadTile
from deepnets4eo.tiling import (
    NOT_FINITE,
    Lattice,
    Packed,
    Tile,
    best_class,
    blended_probabilities,
    entropy,
    map_classes,
    to_blend_scores,
)

BYTES = np.dtype(np.uint8)
CHUNK_ROWS = 64  # of scores turned into bytes at once: their temporary arrays stay small


@dataclass(frozen=True)
class Strip:
    """Columns start ≤ c < stop of the scene, rows first_row ≤ r < last_row; rows above are done already, or another's."""

    start: int
    stop: int
    first_row: int
    last_row: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.stop - self.start


class RowBuffer:
    """Finished pixels of a strip, returned in whole blocks of rows. Memory: bands · (block_px + core_px) · strip width pixels."""

    def __init__(self, bands: int, strip: Strip, lattice: Lattice, block_px: int, dtype: np.dtype[Any] = BYTES) -> None:
        self._strip, self._block_px = strip, block_px
        self._data = np.full((bands, block_px + lattice.tiling.core_px, strip.width), nothing(dtype), dtype)
        self._top = strip.first_row

    def put(self, row: int, col: int, pixels: ByteImage) -> None:
        """Copy (bands, h, w) to scene position (row, col); parts outside the strip or already finished are dropped."""
        _, height, width = pixels.shape
        first, last = max(row, self._top), min(row + height, self._strip.last_row)
        left, right = max(col, self._strip.start), min(col + width, self._strip.stop)
        if first < last and left < right:
            target = self._data[
                :, first - self._top : last - self._top, left - self._strip.start : right - self._strip.start
            ]
            target[...] = pixels[:, first - row : last - row, left - col : right - col]

    def take(self, finished: int) -> tuple[Window, ByteImage] | None:
        """Take the whole blocks of rows above scene row `finished` (all remaining rows at the bottom), if there are any."""
        end = self._strip.last_row
        bottom = end if finished >= end else finished // self._block_px * self._block_px
        height = bottom - self._top
        if height <= 0:
            return None
        window = Window(self._top, self._strip.start, height, self._strip.width)
        rows = self._data[:, :height].copy()
        left = self._data.shape[1] - height
        self._data[:, :left] = self._data[:, height:]
        self._data[:, left:] = nothing(self._data.dtype)
        self._top = bottom
        return window, rows


class HostArrays:
    """The NumPy arrays that a `Blender` sums in; `device_stitching.DeviceArrays` does the same with tensors."""

    def zeros(self, shape: tuple[int, ...]) -> FloatImage:
        """All 0, float32."""
        return np.zeros(shape, np.float32)

    def outer(self, rows: NDArray[np.float32], cols: NDArray[np.float32]) -> FloatImage:
        """Product of weights along rows and columns."""
        return np.outer(rows, cols)

    def copy(self, array: FloatImage) -> FloatImage:
        """Return a copy of the values in other memory."""
        return array.copy()


HOST = HostArrays()


class Blender:
    """Weighted sums of overlapping cores in arrays of `arrays`; emit(row, col, mean) gets finished means (K, h, w) in order.

    Peak memory: 4 bytes · K · (most_overlap_px · strip width + 2 · core_px²).
    """

    def __init__(
        self, lattice: Lattice, cols: range, num_classes: int, emit: Callable[[int, int, Any], None], arrays: Any = HOST
    ) -> None:
        tiling = lattice.tiling
        self._lattice, self._cols, self._emit, self._arrays = lattice, cols, emit, arrays
        self._weights = arrays.outer(tiling.core_weights(), tiling.core_weights())
        self._origin = lattice.start(cols[0], lattice.shape[1])
        width = lattice.start(cols[-1], lattice.shape[1]) - self._origin + tiling.core_px
        self._carry = arrays.zeros((num_classes, tiling.most_overlap_px, width))
        self._sum = arrays.zeros((num_classes, tiling.core_px, tiling.core_px))

    def add(self, tile: Tile, scores: Any | None) -> None:
        """Add a tile's scores (K, core, core), None for a tile without valid pixels, and emit what it finishes."""
        # Floating-point sums depend on their order. Each pixel adds its tiles row by row and left to right, whatever the strips, parts and
        # interruptions, so that a resumed or divided job has the same bits; only the overlap to the right and below is carried on. The sum is
        # divided by the sum of weights at the end: tiles at the edges of the scene have no neighbour, so weights that sum to one inside the
        # scene would not do so there.
        core_px, (rows, cols) = self._lattice.tiling.core_px, self._lattice.shape
        col = tile.core.col - self._origin
        # columns summed already by the tile before, rows by the lattice row before
        kept = 0 if tile.col == self._cols[0] else core_px - self._step(tile.col - 1, cols)
        above = 0 if tile.row == 0 else core_px - self._step(tile.row - 1, rows)
        if kept:
            self._sum[:, :, :kept] = self._arrays.copy(self._sum[:, :, core_px - kept :])
        self._sum[:, :, kept:] = 0
        self._sum[:, :above, kept:] = self._carry[:, :above, col + kept : col + core_px]
        if scores is not None:
            self._sum += scores * self._weights
        width = core_px if tile.col == self._cols[-1] else self._step(tile.col, cols)
        height = core_px if tile.row == self._lattice.rows - 1 else self._step(tile.row, rows)
        self._carry[:, : core_px - height, col : col + width] = self._sum[:, height:, :width]
        self._finish(tile, height, width)

    def _step(self, position: int, length: int) -> int:
        """Pixels from the core at a position along an axis to the next one."""
        return self._lattice.start(position + 1, length) - self._lattice.start(position, length)

    def _finish(self, tile: Tile, height: int, width: int) -> None:
        rows, cols = self._lattice.shape
        row, col = tile.core.row, tile.core.col
        height, width = min(height, rows - row), min(width, cols - col)
        total = self._arrays.outer(
            self._lattice.weight_sums(row, row + height, rows), self._lattice.weight_sums(col, col + width, cols)
        )
        self._emit(row, col, self._sum[:, :height, :width] / total)


@dataclass(frozen=True)
class FinishedBytes:
    """Finished bytes (bands, h, w) of each product at a position, void not set yet; `wait` returns them once off the device."""

    row: int
    col: int
    wait: Callable[[], dict[str, ByteImage]]


class StripStitcher:
    """All products of one strip: tiles in, finished rows out.

    A tile's result is classes (core, core) uint8 where these suffice, else raw scores (channels, core, core), or finished bytes.
    """

    def __init__(
        self, strip: Strip, lattice: Lattice, cols: range, legend: Legend, products: Sequence[str], block_px: int
    ) -> None:
        self._lattice, self._cols, self._tiling = lattice, cols, lattice.tiling
        self._legend = legend
        self._labels = np.full(256, VOID, np.uint8)  # of every index, NOT_FINITE among them
        self._labels[: legend.num_classes] = legend.values
        self.not_finite = 0  # valid pixels whose scores are not finite
        self._buffers = {
            name: RowBuffer(bands_of(name, legend), strip, lattice, block_px, dtype_of(name)) for name in products
        }
        self._valid = np.zeros((0, 0), bool)

    @cached_property
    def _blender(self) -> Blender:
        """Sums of scores; not made where a device sums them."""
        return Blender(self._lattice, self._cols, self._legend.num_channels, self._emit)

    def add(self, read: ReadTile, result: FloatImage | ByteImage | FinishedBytes | None) -> None:
        """Add a tile, in lattice order; result is None for a tile without valid pixels."""
        self._valid = read.valid
        core = read.tile.core
        if isinstance(result, FinishedBytes):
            self._put_finished(result)
            return
        if result is not None and result.ndim == 2:
            self._put_labels(core.row, core.col, np.asarray(result, np.uint8))
            return
        # networks return channels last; sums over classes are five times as fast with each class together
        scores = None if result is None else np.ascontiguousarray(result, np.float32)
        if self._tiling.blends:
            self._blender.add(read.tile, None if scores is None else map_classes(
                lambda raw: to_blend_scores(raw, self._tiling.scores), scores, self._legend.num_classes
            ))  # fmt: skip
        elif scores is not None:
            self._emit(core.row, core.col, scores)

    def take(self, finished: int) -> tuple[Window, dict[str, ByteImage]] | None:
        """Finished whole blocks of rows above scene row `finished`, by product, if there are any."""
        blocks = {name: buffer.take(finished) for name, buffer in self._buffers.items()}
        rows = {name: block[1] for name, block in blocks.items() if block is not None}
        windows = [block[0] for block in blocks.values() if block is not None]
        return (windows[0], rows) if windows else None

    def _emit(self, row: int, col: int, scores: FloatImage) -> None:
        """Turn finished scores (K, h, w) into bytes, a few rows at a time."""
        for top in range(0, scores.shape[1], CHUNK_ROWS):
            part = scores[:, top : top + CHUNK_ROWS]
            valid = self._valid[top : top + part.shape[1], : part.shape[2]]
            if not valid.any():
                continue
            if Product.values in self._buffers:
                values = part[self._legend.num_classes :]
                self.not_finite += int((valid & ~np.isfinite(values).all(axis=0)).sum())
                self._buffers[Product.values].put(
                    row + top, col, np.where(valid & np.isfinite(values), values, np.float32(np.nan))
                )
            if Product.labels not in self._buffers:
                continue
            part = part[: self._legend.num_classes]
            classes = best_class(part)
            self._put_labels(row + top, col, classes, valid)
            valid = valid & (classes != NOT_FINITE)
            if Product.probabilities in self._buffers or Product.entropy in self._buffers:
                kind = self._tiling.scores if self._tiling.blends else "raw"
                proba = blended_probabilities(part, kind)
                self._put(Product.probabilities, row + top, col, proba, valid)
                if Product.entropy in self._buffers:
                    self._put(Product.entropy, row + top, col, entropy(proba)[None], valid)

    def _put_finished(self, finished: FinishedBytes) -> None:
        for product, pixels in finished.wait().items():
            valid = self._valid[: pixels.shape[1], : pixels.shape[2]]
            self._buffers[product].put(finished.row, finished.col, np.where(valid, pixels, nothing(pixels.dtype)))

    def _put_labels(self, row: int, col: int, classes: ByteImage, valid: Mask | None = None) -> None:
        valid = self._valid if valid is None else valid
        self.not_finite += int((valid & (classes == NOT_FINITE)).sum())
        labels = np.where(valid, self._labels[classes], np.uint8(VOID))
        self._buffers[Product.labels].put(row, col, labels[None])

    def _put(self, product: str, row: int, col: int, fractions: FloatImage, valid: Mask) -> None:
        if product in self._buffers:
            self._buffers[product].put(row, col, np.where(valid, Packed.pack(fractions), np.uint8(VOID)))
