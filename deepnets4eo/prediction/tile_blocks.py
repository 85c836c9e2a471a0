"""Tiles of a prediction that other processes compute, up to four a file, and this one stitches; files go with their rows.

Refuses scenes of arrays, which other processes do not see.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.jobs import Arrays, ComputeBlock, Executor, SharedWork
from deepnets4eo.prediction.plan import computing
from deepnets4eo.prediction.tile_reader import ReadTile, TileReader
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import Segmenter, load_run, open_sealed
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Lattice

RUN = "run"  # folder beside the finished rows, of the segmenter
BLOCK_TILES = 4  # of a lattice row at least; as many are read together


@dataclass(frozen=True)
class TileTask:
    """Settings that a process needs to compute tiles of a scene; `with_scores`: whether stitching needs more than classes."""

    scene: Scene
    lattice: Lattice
    compute: Compute
    batch_tiles: int
    with_scores: bool

    def check(self) -> None:
        """Refuse scenes that another process cannot open. Errors: InputError."""
        arrays = [name for name, layer in self.scene.layers.items() if not layer.paths]
        try:
            pickle.dumps(self)
        except (TypeError, AttributeError, pickle.PicklingError):
            arrays = arrays or list(self.scene.layers)
        if arrays:
            raise InputError(
                f"the layers {', '.join(arrays)} are held in memory or made as they are read; other processes read only rasters. Write "
                "them to files, or give a number of threads as --workers."
            )


@dataclass(frozen=True)
class TileBlocks:
    """The tiles of a job, computed by an executor. folder : for the segmenter and the results, where all processes find them."""

    executor: Executor
    task: TileTask
    segmenter: Segmenter
    folder: Path

    def tiles(self, rows: range, cols: range) -> Iterator[tuple[ReadTile, FloatImage | ByteImage | None]]:
        """Every tile of lattice rows × columns in order with its result, None without valid pixels; RunError names a failed block."""
        try:
            open_sealed(self.folder / RUN)
        except RunError:  # not there, or not whole
            save_run(self.segmenter, self.folder / RUN)
        step = max(BLOCK_TILES, self.task.batch_tiles)
        edges = [(col, min(col + step, cols.stop)) for col in range(cols.start, cols.stop, step)]
        blocks = {f"{row}-{first}-{last}": (row, range(first, last)) for row in rows for first, last in edges}
        shared = SharedWork(self.executor, self.folder)
        results = shared.results(open_tiles, (self.task, self.folder), list(blocks))
        for (row, some), arrays in zip(blocks.values(), results, strict=True):
            for index, col in enumerate(some):
                result = arrays["results"][index] if arrays["computed"][index] else None
                yield ReadTile(self.task.lattice.tile(row, col), None, arrays["valid"][index]), result

    def forget(self, rows: range) -> None:
        """Remove the results of the tiles in lattice rows above `rows`, which no row that is left needs."""
        for path in self.folder.glob("*.npz"):
            row = path.stem.partition("-")[0]
            if row.isdecimal() and int(row) < rows.start:
                path.unlink(missing_ok=True)


@contextmanager
def open_tiles(task: TileTask, folder: Path) -> Iterator[ComputeBlock]:
    """Open a segmenter and a scene; yields what computes the tiles of a block, by lattice row, first column and the one after the last."""
    segmenter = load_run(folder / RUN).segmenter
    reader = TileReader.of(task.scene, segmenter, task.lattice)
    with computing(segmenter, task.compute):
        yield _TileComputer(segmenter, reader, task).arrays


class _TileComputer:
    """Computer of blocks of tiles; each tile's index in a batch depends only on its number, as in a job of one process."""

    def __init__(self, segmenter: Segmenter, reader: TileReader, task: TileTask) -> None:
        self._segmenter, self._reader, self._task = segmenter, reader, task
        side = task.lattice.tiling.tile_px
        self._batch = np.zeros((task.batch_tiles, segmenter.inputs.in_channels, side, side), np.float32)

    def arrays(self, block: str) -> Arrays:
        """Compute the tiles of the block of a name."""
        row, first, last = map(int, block.split("-"))
        read: list[ReadTile] = []
        for start in range(first, last, self._reader.segment_tiles):
            stop = min(start + self._reader.segment_tiles, last)
            read += self._reader.read_segment([self._task.lattice.tile(row, col) for col in range(start, stop)])
        results = self._compute(read)
        shape = next((result.shape for result in results if result is not None), (0,))
        kind = next((result.dtype for result in results if result is not None), np.uint8)
        filled = [np.zeros(shape, kind) if result is None else result for result in results]
        return {
            "results": np.stack(filled),
            "computed": np.array([result is not None for result in results]),
            "valid": np.stack([read_tile.valid for read_tile in read]),
        }

    def _compute(self, read: list[ReadTile]) -> list[FloatImage | ByteImage | None]:
        """Compute the result of each tile; None without a valid pixel."""
        results: list[FloatImage | ByteImage | None] = [None] * len(read)
        size, number = self._task.batch_tiles, self._task.lattice.number
        batches = sorted({number(read_tile.tile) // size for read_tile in read if read_tile.image is not None})
        for batch in batches:
            members = [
                index
                for index, read_tile in enumerate(read)
                if read_tile.image is not None and number(read_tile.tile) // size == batch
            ]
            for index in members:
                self._batch[number(read[index].tile) % size] = read[index].image
            scores = self._infer()
            for index in members:
                results[index] = np.array(scores[number(read[index].tile) % size])
        return results

    def _infer(self) -> FloatImage | ByteImage:
        margin_px = self._task.lattice.tiling.halo_px
        if self._task.with_scores:
            return np.asarray(self._segmenter.predict_raw(self._batch, margin_px=margin_px), np.float32)
        return np.asarray(self._segmenter.predict_classes(self._batch, margin_px=margin_px), np.uint8)
