"""One strip of a scene after the other: tiles are read ahead, computed here, stitched and written behind.

Takes a segmenter, a lattice and a journal, and assumes that the scene fits.

A batch always has the same shape, so that each tile's bits are the same whatever else is in its batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.jobs import Part, RowJournal
from deepnets4eo.prediction.memory import network_bytes, stitch_budget, strip_width
from deepnets4eo.prediction.outputs import Outputs, Product, bands_of, dtype_of
from deepnets4eo.prediction.stitching import CHUNK_ROWS, FinishedBytes, Strip, StripStitcher
from deepnets4eo.prediction.tile_reader import ReadTile, TileReader
from deepnets4eo.rasters import BLOCK_PX
from deepnets4eo.segmenters import NetworkSegmenter, Segmenter
from deepnets4eo.tiling import Lattice

if TYPE_CHECKING:
    from deepnets4eo.prediction.device_stitching import DeviceStitcher
    from deepnets4eo.prediction.tile_blocks import TileBlocks

QUEUE_BYTES = 64 << 20  # of results that wait for the writer at most

LONGEST_QUEUE = 8

Result = FloatImage | ByteImage


@dataclass
class TileCounts:
    """Tiles of the lattice finished so far, how many of them were skipped for lack of valid pixels, pixels without finite scores, and seconds spent."""

    tiles: int = 0
    skipped: int = 0
    not_finite: int = 0
    computed: int = 0
    network_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """Settings that are constant over all strips: tiles per batch, rows per block, the part that is computed."""

    segmenter: Segmenter
    lattice: Lattice
    compute: Compute
    reader: TileReader
    outputs: Outputs
    journal: RowJournal
    batch_tiles: int
    block_px: int = BLOCK_PX
    workers: int = 2
    progress: Callable[[float], None] | None = None
    part: Part = Part.whole
    blocks: TileBlocks | None = None  # where other processes compute the tiles
    counts: TileCounts = field(default_factory=TileCounts)
    computed: dict[int, Any] = field(default_factory=dict)  # batch number → what `infer` returned in advance

    @property
    def products(self) -> list[str]:
        """Names of what is written."""
        return self.outputs.products

    @property
    def rows(self) -> range:
        """Return the rows of the scene that are computed: the rows of the part, in whole blocks."""
        height = self.lattice.shape[0]
        tops = self.part.share(range(0, height, self.block_px))
        return range(tops[0], min(tops[-1] + self.block_px, height)) if tops else range(0)

    @cached_property
    def tile_count(self) -> int:
        """Tiles that count for these rows: each for the part that finishes it."""
        rows, lattice = self.rows, self.lattice
        finished = [lattice.finished_rows(row) for row in range(lattice.rows)]
        return sum(rows.start < row <= rows.stop for row in finished) * (len(lattice) // lattice.rows)

    @property
    def needs_scores(self) -> bool:
        """Return whether stitching needs scores, not only classes."""
        return self.products != [Product.labels] or self.lattice.tiling.blends

    @property
    def device_network(self) -> NetworkSegmenter | None:
        """Return the network if it is on a GPU, so that its scores stay there until they are bytes; other kinds are stitched here."""
        on_gpu = self.compute.device != "cpu" and self.blocks is None and isinstance(self.segmenter, NetworkSegmenter)
        return self.segmenter if on_gpu else None  # type: ignore[return-value]

    @property
    def result_bytes(self) -> int:
        """Size of one tile's result."""
        pixels = self.lattice.tiling.core_px**2
        return pixels * (4 * self.segmenter.legend.num_channels if self.needs_scores else 1)

    def infer(self, batch: FloatImage) -> Any:
        """Scores or classes of a batch of tiles, without their halo: arrays, or a tensor that a GPU still computes."""
        margin_px = self.lattice.tiling.halo_px
        if self.device_network is not None:
            return self.device_network.device_scores(batch, margin_px=margin_px)
        if self.needs_scores:
            return self.segmenter.predict_raw(batch, margin_px=margin_px)
        return self.segmenter.predict_classes(batch, margin_px=margin_px)


def plan_strip_px(job: Job, memory_limit: int) -> int:
    """Width of strips within the memory limit, by what a first tile takes; InputError where the limit does not suffice."""
    tiling, legend = job.lattice.tiling, job.segmenter.legend
    network = network_bytes(lambda: _compute_first_tile(job) if job.blocks is None else None)
    reading = (job.workers + 1) * 3 * job.reader.segment_tiles * job.reader.tile_bytes
    if job.device_network is not None:  # pinned copies of the batch that is uploaded and the one before
        reading += 2 * job.batch_tiles * job.reader.tile_bytes
    per_column = (job.block_px + tiling.core_px) * sum(
        bands_of(name, legend) * dtype_of(name).itemsize for name in job.products
    )
    per_column += 4 * legend.num_channels * tiling.most_overlap_px
    chunk = 4 * 4 * legend.num_channels * CHUNK_ROWS * tiling.core_px
    fixed = _queue_length(job) * job.result_bytes * job.batch_tiles + chunk
    stitching = stitch_budget(memory_limit, network, reading + fixed, per_column * job.block_px)
    return strip_width(job.lattice.shape[1], per_column, job.block_px, stitching)


def _compute_first_tile(job: Job) -> None:
    """Compute the lattice's first batch with only its first tile; keep the result if a batch has a single tile."""
    tile_px = job.lattice.tiling.tile_px
    first = job.reader.read_segment([job.lattice.tile(0, 0)])[0]
    batch = np.zeros((job.batch_tiles, job.segmenter.inputs.in_channels, tile_px, tile_px), np.float32)
    if first.image is not None:
        batch[0] = first.image
    try:
        results = job.infer(batch)
    except RuntimeError as error:  # too small for the network's pyramid, or too big for the device's memory
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the network cannot compute a tile of {tile_px} px: {reason}. Choose another --set tile_px."
        ) from error
    if first.image is not None and job.batch_tiles == 1:
        job.computed[0] = results


def predict_strips(job: Job, strip_px: int) -> None:
    """Compute and write all strips that the journal does not list as done."""
    rows, width = job.rows, job.lattice.shape[1]
    for index, start in enumerate(range(0, width, strip_px)):
        first_row = max(job.journal.finished_rows(index), rows.start)
        if first_row < rows.stop:
            _StripWork(job, index, Strip(start, min(start + strip_px, width), first_row, rows.stop)).run()


def _queue_length(job: Job) -> int:
    """Batches whose results wait for the writer. On a GPU one: it computes while the next is filled and uploaded."""
    if job.device_network is not None:
        return 1
    return max(1, min(LONGEST_QUEUE, QUEUE_BYTES // (job.result_bytes * job.batch_tiles)))


def _device_stitcher(job: Job, cols: range) -> DeviceStitcher | None:
    if job.device_network is None:
        return None
    from deepnets4eo.prediction.device_stitching import DeviceStitcher

    transfers = job.device_network.transfers
    return DeviceStitcher(job.lattice, cols, job.segmenter.legend, job.products, transfers)


class _StripWork:
    """One strip: the network computes in this thread, others read before it and one writes after it."""

    def __init__(self, job: Job, index: int, strip: Strip) -> None:
        self.job, self.index, self.strip = job, index, strip
        height, width = job.lattice.shape
        self.rows = job.lattice.touching(strip.first_row, strip.last_row, height)
        self.cols = job.lattice.touching(strip.start, strip.stop, width)
        legend = job.segmenter.legend
        self.stitcher = StripStitcher(strip, job.lattice, self.cols, legend, job.products, job.block_px)
        self.device_stitcher = _device_stitcher(job, self.cols)
        self.waiting: list[ReadTile] = []
        self.pending: deque[Future[None]] = deque()
        tiling = job.lattice.tiling
        shape = (job.batch_tiles, job.segmenter.inputs.in_channels, tiling.tile_px, tiling.tile_px)
        self.batch = np.zeros(shape, np.float32)
        self.unrecorded: deque[tuple[int, bool]] = deque()  # tiles not yet on the disk: (scene rows finished, skipped)

    def run(self) -> None:
        """Read, compute and write all tiles; returns when every row is on the disk."""
        with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
            if self.job.blocks is None:
                for segment in self.job.reader.read_ahead(self.rows, self.cols, self.job.workers):
                    for read in segment:
                        self._enter(read, writer)
                self._compute(writer)
            else:
                for read, result in self.job.blocks.tiles(self.rows, self.cols):
                    self.job.counts.computed += result is not None
                    self._pass_on(read, result, writer)
            while self.pending:
                self.pending.popleft().result()

    def _enter(self, read: ReadTile, writer: ThreadPoolExecutor) -> None:
        """Put a tile into its batch. Batch and index, and therefore the tile's bits, depend only on the lattice."""
        if self.waiting and self._batch_of(self.waiting[-1]) != self._batch_of(read):
            self._compute(writer)
        self.waiting.append(read)
        if read.image is not None:
            self.batch[self._index_in_batch(read)] = read.image
        if self._index_in_batch(read) == self.job.batch_tiles - 1:
            self._compute(writer)

    def _batch_of(self, read: ReadTile) -> int:
        return self.job.lattice.number(read.tile) // self.job.batch_tiles

    def _index_in_batch(self, read: ReadTile) -> int:
        return self.job.lattice.number(read.tile) % self.job.batch_tiles

    def _compute(self, writer: ThreadPoolExecutor) -> None:
        """Compute the batch if a tile in it has valid pixels, and pass all its tiles to the writer, in order."""
        results = None
        computed = sum(read.image is not None for read in self.waiting)
        if computed:
            started = time.perf_counter()
            first = self.job.computed.pop(self._batch_of(self.waiting[0]), None)
            results = self.job.infer(self.batch) if first is None else first
            self.job.counts.network_s += time.perf_counter() - started
            self.job.counts.computed += computed
        for read in self.waiting:
            result = None if read.image is None or results is None else results[self._index_in_batch(read)]
            if self.device_stitcher is not None:
                result = self.device_stitcher.add(read.tile, result)
            self.pending.append(writer.submit(self._stitch, ReadTile(read.tile, None, read.valid), result))
        self.waiting.clear()
        self._wait_for_writer()

    def _pass_on(self, read: ReadTile, result: Result | None, writer: ThreadPoolExecutor) -> None:
        """Pass a tile that another process computed to the writer."""
        self.pending.append(writer.submit(self._stitch, read, result))
        self._wait_for_writer()

    def _wait_for_writer(self) -> None:
        while len(self.pending) > _queue_length(self.job) * self.job.batch_tiles:
            self.pending.popleft().result()

    def _stitch(self, read: ReadTile, result: Result | FinishedBytes | None) -> None:
        """In the writer's thread: add a tile, and after the last of a lattice row write what is finished."""
        self.stitcher.add(read, result)
        lattice = self.job.lattice
        finished = lattice.finished_rows(read.tile.row)
        own_rows = self.strip.first_row < finished <= self.strip.last_row
        if own_rows and self.strip.start <= read.tile.core.col < self.strip.stop:
            self.unrecorded.append((finished, result is None))
        self._show_progress()
        if read.tile.col != self.cols[-1]:
            return
        rows = self.stitcher.take(finished)
        if rows is not None:
            self._record(*rows)

    def _record(self, window: Window, rows: dict[str, ByteImage]) -> None:
        """Write rows of this strip; tiles that reach further down are counted when their last row is written."""
        counts = self.job.counts
        while self.unrecorded and self.unrecorded[0][0] <= window.row + window.height:
            counts.skipped += self.unrecorded.popleft()[1]
            counts.tiles += 1
        counts.not_finite += self.stitcher.not_finite
        self.stitcher.not_finite = 0
        done = {"tiles": counts.tiles, "skipped": counts.skipped, "not_finite": counts.not_finite}
        self.job.journal.record(self.index, window, rows, done)
        if self.job.blocks is not None:
            bottom = min(window.row + window.height, self.strip.last_row - 1)
            self.job.blocks.forget(self.job.lattice.touching(bottom, bottom + 1, self.job.lattice.shape[0]))

    def _show_progress(self) -> None:
        if self.job.progress is not None:
            self.job.progress((self.job.counts.tiles + len(self.unrecorded)) / max(self.job.tile_count, 1))
