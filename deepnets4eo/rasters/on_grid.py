"""Objects with pixels on a grid: their shape, the ground size of a pixel, and the windows that cover them."""

from __future__ import annotations

from typing import Protocol

from deepnets4eo.grid import READ_PX, Grid, Window, blocks, mean_gsd_m


class _HasGrid(Protocol):
    @property
    def grid(self) -> Grid: ...


class OnGrid:
    """An object with pixels on its `grid`."""

    @property
    def shape(self: _HasGrid) -> tuple[int, int]:
        """Return (h, w)."""
        height, width = self.grid.shape
        return height, width

    @property
    def gsd_m(self: _HasGrid) -> float:
        """Return the mean ground size of a pixel, metres; without a CRS a pixel counts as one metre."""
        return mean_gsd_m(self.grid)

    def blocks(self: _HasGrid, block_px: int = READ_PX) -> list[Window]:
        """Return non-overlapping windows that cover the pixels in row order; the last ones are smaller."""
        return blocks((self.grid.shape[0], self.grid.shape[1]), block_px)
