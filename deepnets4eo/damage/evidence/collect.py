"""The one streaming pass: blocks that hold buildings, two at a time, their sums added up per building.

Takes the working grid and the buildings on it; memory is two blocks plus one row of sums per building.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import BuildingSums
from deepnets4eo.damage.evidence.block import (
    BLOCK_PX,
    IMAGES,
    BlockSums,
    BuildingGeometry,
    Table,
    measure_block,
    spread_over_blocks,
)
from deepnets4eo.damage.evidence.context import CELL_PX
from deepnets4eo.damage.evidence.radiometry import measure
from deepnets4eo.damage.evidence.shifts import best_of_shifts
from deepnets4eo.damage.evidence.store import BlockStore
from deepnets4eo.damage.evidence.working_grid import WorkingGrid
from deepnets4eo.grid import Window, blocks
from deepnets4eo.jobs.parts import WHOLE, Part
from deepnets4eo.prefetch import in_order


def collect(
    working_grid: WorkingGrid,
    geometry: BuildingGeometry,
    *,
    workers: int = 2,
    progress: Callable[[float], None] | None = None,
    store: BlockStore | None = None,
    part: Part = WHOLE,
    block_px: int = BLOCK_PX,
) -> dict[str, BuildingSums]:
    """Sums per building by name, (N, K) float64 each.

    Context columns are NaN for buildings whose centre lies outside the grid. progress : called with the share done.
    store : keeps finished blocks, and returns those that an interrupted job finished. part : whose blocks are measured; the sums of
    buildings that reach into other blocks are incomplete. block_px : side of a block, a
    multiple of 8; the result does not depend on it.
    """
    centres = geometry.centres[_inside(geometry, working_grid)]
    radiometry = {name: measure(working_grid.layers[name], centres) for name in IMAGES if name in working_grid.layers}
    height, width = (
        -(-side // CELL_PX) * CELL_PX for side in working_grid.shape
    )  # whole cells; no data beyond the edge
    windows = blocks((height, width), block_px)
    occupied = part.share([window for window in windows if len(geometry.body.touching(window))]) or windows[:1]

    def measure_or_load(window: Window) -> BlockSums:
        kept = store.get(window) if store is not None else None
        block = kept or measure_block(window, working_grid, geometry, radiometry)
        if store is not None and kept is None:
            store.put(window, block)
        return block

    total = _Totals(len(geometry.centres), spread_over_blocks(geometry.body, block_px))
    for done, block in enumerate(in_order(measure_or_load, occupied, workers), start=1):
        if progress is not None:
            progress(done / len(occupied))
        total.add(block)
    return total.all()


class _Totals:
    """Sums of N buildings in the making; those for every shift only of buildings on the border of a block."""

    def __init__(self, count: int, spread: NDArray[np.bool_]) -> None:
        self._count = count
        self._spread = np.flatnonzero(spread)
        self._rows: dict[str, BuildingSums] = {}
        self._shifted: dict[str, BuildingSums] = {}

    def add(self, block: BlockSums) -> None:
        """Add one block, whose rows are freed one after the other."""
        for name, rows in _pop_rows(block.sums):
            _table(self._rows, name, self._count, rows.shape[1], 0.0)[block.sums.buildings] += rows
        for name, rows in _pop_rows(block.context):
            _table(self._rows, name, self._count, rows.shape[1], np.nan)[block.context.buildings] = rows
        for name, rows in _pop_rows(block.best):
            _table(self._rows, name, self._count, rows.shape[1], 0.0)[block.best.buildings] = rows
        index = np.searchsorted(self._spread, block.shifted.buildings)
        for name, rows in _pop_rows(block.shifted):
            _table(self._shifted, name, len(self._spread), rows.shape[1], 0.0)[index] += rows

    def all(self) -> dict[str, BuildingSums]:
        """The sums of all buildings, once every block is there."""
        for name, rows in best_of_shifts(self._shifted).items():
            self._rows[name][self._spread] = rows
        return self._rows


def _pop_rows(table: Table) -> Iterator[tuple[str, BuildingSums]]:
    while table.rows:
        yield table.rows.popitem()


def _inside(geometry: BuildingGeometry, working_grid: WorkingGrid) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        inside = (geometry.centres >= 0) & (geometry.centres < working_grid.shape)
    return np.flatnonzero(inside.all(axis=1))


def _table(total: dict[str, BuildingSums], name: str, rows: int, columns: int, empty: float) -> BuildingSums:
    if name not in total:
        total[name] = np.full((rows, columns), empty)
    return total[name]
