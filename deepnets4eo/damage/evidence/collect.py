"""The one streaming pass: blocks that hold buildings, two at a time, their sums added up per building.

Takes a canvas and outlined buildings; memory is two blocks plus one row of sums per building.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

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
from deepnets4eo.damage.evidence.sums import BuildingSums
from deepnets4eo.damage.evidence.working_grid import WorkingGrid
from deepnets4eo.grid import Window, blocks
from deepnets4eo.rasters.prefetch import in_order


def collect(
    canvas: WorkingGrid,
    outlined: BuildingGeometry,
    *,
    workers: int = 2,
    progress: Callable[[float], None] | None = None,
    store: BlockStore | None = None,
) -> dict[str, BuildingSums]:
    """Sums per building by name, (N, K) float64 each.

    Context columns are NaN for buildings whose centre lies outside the grid. progress : called with the share done.
    store : keeps finished blocks, and gives those that an interrupted job finished.
    """
    centres = outlined.centres[_inside(outlined, canvas)]
    radiometry = {name: measure(canvas.layers[name], centres) for name in IMAGES if name in canvas.layers}
    height, width = (-(-side // CELL_PX) * CELL_PX for side in canvas.shape)  # whole cells; no data beyond the edge
    windows = blocks((height, width), BLOCK_PX)
    occupied = [window for window in windows if len(outlined.body.touching(window))] or windows[:1]

    def measured(window: Window) -> BlockSums:
        kept = store.get(window) if store is not None else None
        part = kept or measure_block(window, canvas, outlined, radiometry)
        if store is not None and kept is None:
            store.put(window, part)
        return part

    total = _Totals(len(outlined.centres), spread_over_blocks(outlined.body, BLOCK_PX))
    for done, part in enumerate(in_order(measured, occupied, workers), start=1):
        if progress is not None:
            progress(done / len(occupied))
        total.add(part)
    return total.all()


class _Totals:
    """Sums of N buildings in the making; those for every shift only of buildings on the border of a block."""

    def __init__(self, count: int, spread: NDArray[np.bool_]) -> None:
        self._count = count
        self._spread = np.flatnonzero(spread)
        self._rows: dict[str, BuildingSums] = {}
        self._shifted: dict[str, BuildingSums] = {}

    def add(self, part: BlockSums) -> None:
        """Take in one block, whose rows are let go one after the other."""
        for name, rows in _taken(part.sums):
            _table(self._rows, name, self._count, rows.shape[1], 0.0)[part.sums.buildings] += rows
        for name, rows in _taken(part.context):
            _table(self._rows, name, self._count, rows.shape[1], np.nan)[part.context.buildings] = rows
        for name, rows in _taken(part.best):
            _table(self._rows, name, self._count, rows.shape[1], 0.0)[part.best.buildings] = rows
        place = np.searchsorted(self._spread, part.shifted.buildings)
        for name, rows in _taken(part.shifted):
            _table(self._shifted, name, len(self._spread), rows.shape[1], 0.0)[place] += rows

    def all(self) -> dict[str, BuildingSums]:
        """The sums of all buildings, once every block is there."""
        for name, rows in best_of_shifts(self._shifted).items():
            self._rows[name][self._spread] = rows
        return self._rows


def _taken(table: Table) -> Iterator[tuple[str, BuildingSums]]:
    while table.rows:
        yield table.rows.popitem()


def _inside(outlined: BuildingGeometry, canvas: WorkingGrid) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        inside = (outlined.centres >= 0) & (outlined.centres < canvas.shape)
    return np.flatnonzero(inside.all(axis=1))


def _table(total: dict[str, BuildingSums], name: str, rows: int, columns: int, empty: float) -> BuildingSums:
    if name not in total:
        total[name] = np.full((rows, columns), empty)
    return total[name]
