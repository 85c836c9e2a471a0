"""The features of all cells at all dates: block by block, date by date.

Takes a series and a description of cells; drops dates without a valid cell; refuses series with too few dates left.
Memory: the result, dates × cells × features in float32, and a block of one date a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.change.series.cells import CellBlock, CellGrid
from deepnets4eo.change.series.features import CellFeatures, cell_sums
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.prefetch import in_order

log = logging.getLogger(__name__)

BLOCK_PX = 1024


@dataclass(frozen=True)
class CellSeries:
    """Features of cells by date: values (T, N, F), 0 where not valid (T, N), and the names of the features."""

    cells: CellGrid
    dates: list[date]
    values: NDArray[np.float32]
    valid: Mask
    names: list[str]


def measure_cells(
    series: ImageSeries,
    cells: CellGrid,
    features: CellFeatures,
    *,
    min_valid: float = 0.7,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> CellSeries:
    """Measure the features of all cells; `min_valid` is the share of a cell's pixels that must be valid. Raises
    InputError where nothing is valid at any date."""
    blocks = cells.blocks(BLOCK_PX)
    tasks = [(index, block) for index in range(len(series)) for block in blocks]
    rows, cols = cells.shape
    values = np.zeros((len(series), rows, cols, len(features.names)), np.float32)
    valid = np.zeros((len(series), rows, cols), bool)

    def work(task: tuple[int, CellBlock]) -> tuple[NDArray[np.float32], Mask]:
        image, pixels = series.read(task[0], task[1].window)
        share = cell_sums(pixels.astype(np.float32), cells) / cells.cell_px**2
        return features.measure(image, pixels, cells), share >= min_valid

    for number, ((index, block), (measured, known)) in enumerate(
        zip(tasks, in_order(work, tasks, workers), strict=True)
    ):
        values[index, block.rows, block.cols] = np.where(known[..., None], measured.transpose(1, 2, 0), 0)
        valid[index, block.rows, block.cols] = known
        if progress is not None:
            progress((number + 1) / len(tasks))
    return _without_empty_dates(CellSeries(
        cells, series.dates, values.reshape(len(series), rows * cols, -1), valid.reshape(len(series), -1), features.names
    ), min_valid)  # fmt: skip


def _without_empty_dates(series: CellSeries, min_valid: float) -> CellSeries:
    kept = np.flatnonzero(series.valid.any(axis=1))
    if not kept.size:
        raise InputError(
            f"no cell of {series.cells.cell_px} px has {min_valid:.0%} of valid pixels at any of the {len(series.dates)} "
            "dates. Check masks and nodata, or set smaller cells."
        )
    if len(kept) == len(series.dates):
        return series
    dropped = [day for index, day in enumerate(series.dates) if index not in kept]
    log.warning("No cell is valid on %s: these dates are left out.", ", ".join(map(str, dropped)))
    return CellSeries(
        series.cells, [series.dates[index] for index in kept], series.values[kept], series.valid[kept], series.names
    )
