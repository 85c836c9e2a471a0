"""Histograms of oriented gradients as Felzenszwalb et al. (2010) define them, on a grid of cells or around each site.

Takes a grey image, 0 to 1; returns 31 values a cell. Beyond the border of the image its outermost pixels are repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Indices
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.cells import central_differences, histograms, region_centres, site_places, tents

SIGNED = 18  # directions over the full circle; half of them without sign
HOG_NAMES = tuple(
    [f"signed{one * 20}" for one in range(SIGNED)]
    + [f"unsigned{one * 20}" for one in range(SIGNED // 2)]
    + [f"texture_{corner}" for corner in ("upper_left", "upper_right", "lower_left", "lower_right")]
)
CLIP = 0.2
# added to the energy of four cells: a difference of one of 255 grey levels all over a cell is hundred times more
FLOOR = 1e-4


def felzenszwalb_cells(grey: FloatImage, cell_px: int = 8) -> FloatImage:
    """Return HOG of each cell of a regular grid from the upper left corner, (31, h // cell_px, w // cell_px) float32.

    grey : (h, w), 0 to 1. Values lie between 0 and 0.4 (18 signed, then 9 unsigned directions) and 0.6 (4 textures:
    energies against the four blocks of 2 × 2 cells that a cell is part of). A direction is where grey grows: 0 right,
    90 down, by steps of 20 degrees. A pixel is shared bilinearly between the four cells around it; its direction is
    the nearest one. A constant image has zeros. Memory: 25 bytes a pixel.
    Source: Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 32(9), 2010, section 6.

    >>> felzenszwalb_cells(np.zeros((40, 64), np.float32)).shape
    (31, 5, 8)
    """
    height, width = grey.shape
    return _cells_at(grey, np.arange(height // cell_px) * cell_px, np.arange(width // cell_px) * cell_px, cell_px)


def _cells_at(grey: FloatImage, rows: Indices, cols: Indices, cell_px: int) -> FloatImage:
    """Return HOG of the cells that start at these rows and columns (sorted, may lie outside), (31, R, C) float32."""
    if not len(rows) or not len(cols):
        return np.zeros((len(HOG_NAMES), len(rows), len(cols)), np.float32)
    around = [
        np.unique(np.concatenate([positions - cell_px, positions, positions + cell_px])) for positions in (rows, cols)
    ]
    margins = [_margin(positions, cell_px, length) for positions, length in zip(around, grey.shape, strict=True)]
    padded = np.pad(grey.astype(np.float32, copy=False), margins, mode="edge")
    down, right = central_differences(padded)
    direction = _nearest_direction(down, right)
    weights = [
        tents(positions + before - 1, cell_px, length)
        for positions, (before, _), length in zip(around, margins, down.shape, strict=True)
    ]
    signed = histograms(direction, np.hypot(down, right), weights[0], weights[1], SIGNED)
    return _normalise(
        signed, _neighbour_indices(around[0], rows, cell_px), _neighbour_indices(around[1], cols, cell_px)
    )


def _margin(starts: Indices, cell_px: int, length: int) -> tuple[int, int]:
    """Return pixels to add before and after, so that cells, the pixels they share and gradients lie inside."""
    reach = cell_px // 2 + 1
    return max(reach - int(starts[0]), 1), max(int(starts[-1]) + cell_px + reach + 1 - length, 1)


def _nearest_direction(down: FloatImage, right: FloatImage) -> NDArray[np.uint8]:
    """Return the number of the direction nearest to each gradient."""
    turns = np.arctan2(down, right) * (SIGNED / (2 * math.pi))
    return (np.floor(turns + 0.5).astype(np.int8) % SIGNED).astype(np.uint8)


def _neighbour_indices(around: Indices, starts: Indices, cell_px: int) -> tuple[Indices, Indices, Indices]:
    """Return indices into all cells of the cells before, at and after these starts."""
    before, at, after = (np.searchsorted(around, starts + offset) for offset in (-cell_px, 0, cell_px))
    return before, at, after


def _normalise(signed: FloatImage, rows: tuple[Indices, ...], cols: tuple[Indices, ...]) -> FloatImage:
    """Divide histograms by the energy of the four blocks that each cell is part of, clip them, and sum over the blocks.

    The sums are projections of the 4 × 9 (4 × 18) clipped values, divided by the length of the vector projected on
    (2; 3 for the texture), which keeps distances.
    """
    half = SIGNED // 2
    energy = np.square(signed[:half] + signed[half:]).sum(axis=0)
    at = signed[:, rows[1][:, None], cols[1]]
    unsigned = at[:half] + at[half:]
    values = np.zeros((len(HOG_NAMES), *at.shape[1:]), np.float32)
    corners = [(row, col) for row in (rows[0], rows[2]) for col in (cols[0], cols[2])]
    for number, (row, col) in enumerate(corners):
        block = sum(energy[r[:, None], c] for r in (rows[1], row) for c in (cols[1], col))
        scale = 1 / np.sqrt(block + np.float32(FLOOR))
        clipped = np.minimum(unsigned * scale, CLIP)
        values[:SIGNED] += np.minimum(at * scale, CLIP)
        values[SIGNED : SIGNED + half] += clipped
        values[SIGNED + half + number] = clipped.sum(axis=0) / 3
    values[: SIGNED + half] /= 2
    return values


@dataclass(frozen=True)
class FelzenszwalbHog:
    """HOG of the square patch around each site: its side_px / 8 cells down and across, 31 values each.

    The cells next to the patch take part in its normalisation, as they do on the regular grid.
    """

    name: str
    side_px: int
    cell_px: int = 8

    @property
    def halo_px(self) -> int:
        """Half a patch, a cell for the blocks, half a cell for what cells share, a pixel for the gradient."""
        return self.side_px // 2 + self.cell_px + self.cell_px // 2 + 1

    def columns(self, bands: Bands) -> list[str]:
        """Names "cell<row><column>.<value>"."""
        count = range(self.side_px // self.cell_px)
        return [f"cell{row}{col}.{name}" for row in count for col in count for name in HOG_NAMES]

    pooled_columns = columns

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """(31 · cells, rows of sites, columns of sites) float32. Memory: the result, 30 bytes a pixel, 300 bytes a
        distinct cell."""
        rows, cols = (site_places(length, stride_px) for length in bands.shape)
        return self._around(bands.grey(), rows[:, None], cols)

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """(count, 31 · cells) float32: of the patch around each superpixel's centre, to half a cell."""
        rows, cols = region_centres(ids, count, self.cell_px // 2)
        return self._around(bands.grey(), rows, cols).T

    def _around(self, grey: FloatImage, rows: Indices, cols: Indices) -> FloatImage:
        """HOG around sites, (31 · cells, *sites); rows and columns of the sites are broadcast against each other."""
        offsets = np.arange(-self.side_px // 2, self.side_px // 2, self.cell_px)
        starts = [positions[..., None] + offsets for positions in (rows, cols)]
        distinct = [np.unique(positions) for positions in starts]
        down, across = (np.searchsorted(there, positions) for there, positions in zip(distinct, starts, strict=True))
        cells = _cells_at(grey, distinct[0], distinct[1], self.cell_px)
        count, sites = len(offsets), np.broadcast_shapes(rows.shape, cols.shape)
        values = np.empty((count * count, len(HOG_NAMES), *sites), np.float32)
        for number in range(count * count):
            values[number] = cells[:, down[..., number // count], across[..., number % count]]
        return values.reshape(count * count * len(HOG_NAMES), *sites)


HOG16 = FelzenszwalbHog("hog16", 16)
HOG32 = FelzenszwalbHog("hog32", 32)
