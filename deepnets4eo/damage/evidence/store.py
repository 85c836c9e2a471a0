"""Finished blocks of the pass on disk, so that an interrupted job goes on where it was.

Takes a folder and what identifies the job; blocks of another job in the same folder are never used."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.damage.evidence.block import BlockSums, BuildingGeometry, Table, block_name
from deepnets4eo.damage.evidence.working_grid import WorkingGrid
from deepnets4eo.grid import Window
from deepnets4eo.jobs.identity import identity_hash
from deepnets4eo.jobs.journal import Journal

KINDS = tuple(field.name for field in fields(BlockSums))


class BlockStore:
    """The blocks of one job: `get` what is there, `put` what is new."""

    def __init__(self, folder: Path, working_grid: WorkingGrid, geometry: BuildingGeometry) -> None:
        self.journal = Journal(folder / _identity(working_grid, geometry))

    def get(self, window: Window) -> BlockSums | None:
        """The sums of a block, or None where it was not finished."""
        arrays = self.journal.get(block_name(window))
        if arrays is None or not set(KINDS) <= set(arrays):
            return None
        tables = {kind: Table(arrays[kind], {}) for kind in KINDS}
        for key, rows in arrays.items():
            kind, _, name = key.partition(":")
            if name and kind in tables:
                tables[kind].rows[name] = rows
        return BlockSums(**tables) if all(map(_fits_together, tables.values())) else None

    def put(self, window: Window, part: BlockSums) -> None:
        """Keep the sums of a finished block."""
        arrays: dict[str, Any] = {}
        for kind in KINDS:
            table: Table = getattr(part, kind)
            arrays |= {kind: table.buildings} | {f"{kind}:{name}": rows for name, rows in table.rows.items()}
        self.journal.put(block_name(window), arrays)

    def names(self) -> list[str]:
        """Names of the finished blocks; that one is damaged shows when it is read."""
        return self.journal.names()


def _fits_together(table: Table) -> bool:
    """Whether there is a row of numbers a building in every array."""
    rows, arrays = table.buildings, list(table.rows.values())
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        return False
    return all(array.ndim == 2 and len(array) == len(rows) and array.dtype.kind == "f" for array in arrays)


def _identity(working_grid: WorkingGrid, geometry: BuildingGeometry) -> str:
    """Hash of all that the sums depend on: program, files, grids as registered, outlines as moved."""
    outlines = geometry.centres, geometry.sides.begin, geometry.sides.end, geometry.moved
    return identity_hash(working_grid.grid, working_grid.gsd_m, working_grid.layers, outlines)
