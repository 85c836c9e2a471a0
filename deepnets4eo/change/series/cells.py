"""A fixed grid of cells over a raster: the places that are compared from date to date.

Pure geometry: takes the raster's grid, a side and a stride in pixels; refuses rasters smaller than a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Geometries, Indices
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, transform_shapes


class CellBlock(NamedTuple):
    """A rectangle of cells and the pixels under them."""

    rows: slice
    cols: slice
    window: Window


@dataclass(frozen=True)
class CellGrid:
    """Square cells side by side, or overlapping; pixels that make no whole cell at the lower and right edge are left out.

    grid : of the pixels. cell_px : side of a cell. stride_px : distance of cells, which divides their side.
    Errors: InputError for a stride that does not divide the side, and for rasters smaller than a cell.

    >>> from affine import Affine
    >>> cells = CellGrid(Grid((100, 70), Affine.identity(), None), 32, 16)
    >>> cells.shape, cells.count, cells.window(4)
    ((5, 3), 15, Window(row=16, col=16, height=32, width=32))
    """

    grid: Grid
    cell_px: int = 32
    stride_px: int = 32

    def __post_init__(self) -> None:
        if self.stride_px < 1 or self.cell_px % self.stride_px:
            raise InputError(
                f"stride_px={self.stride_px} does not divide cell_px={self.cell_px}. Take the cell's side, its half or quarter."
            )
        if min(self.grid.shape) < self.cell_px:
            raise InputError(
                f"the images have {tuple(self.grid.shape)} pixels, less than a cell of {self.cell_px}. Set a smaller --cell-px."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of cells."""
        rows, cols = ((side - self.cell_px) // self.stride_px + 1 for side in self.grid.shape)
        return rows, cols

    @property
    def count(self) -> int:
        """Number of cells."""
        return self.shape[0] * self.shape[1]

    def window(self, cell: int) -> Window:
        """The pixels of a cell, which count row by row."""
        row, col = divmod(int(cell), self.shape[1])
        return Window(row * self.stride_px, col * self.stride_px, self.cell_px, self.cell_px)

    def blocks(self, side_px: int) -> list[CellBlock]:
        """Rectangles of cells with about `side_px` pixels a side, that together hold each cell once."""
        step = max(1, side_px // self.stride_px)
        rows, cols = self.shape
        return [
            self._block(slice(row, min(row + step, rows)), slice(col, min(col + step, cols)))
            for row in range(0, rows, step)
            for col in range(0, cols, step)
        ]

    def outlines(self, cells: Indices | NDArray[np.intp]) -> Geometries:
        """Squares of cells in the grid's CRS."""
        rows, cols = np.divmod(np.asarray(cells), self.shape[1])
        left, top = cols * self.stride_px, rows * self.stride_px
        squares = shapely.box(left, top, left + self.cell_px, top + self.cell_px)
        return np.asarray(transform_shapes(self.grid.affine, squares), dtype=object)

    def _block(self, rows: slice, cols: slice) -> CellBlock:
        extra = self.cell_px - self.stride_px
        height, width = ((one.stop - one.start) * self.stride_px + extra for one in (rows, cols))
        return CellBlock(rows, cols, Window(rows.start * self.stride_px, cols.start * self.stride_px, height, width))
