"""Histograms of oriented gradients as Felzenszwalb et al. (2010) define them, on a grid of cells or around each site.
Cells are computed only where a site needs them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from deepnets4eo.arrays import FloatImage, Indices
from deepnets4eo.baselines.bands import Bands

SIGNED = 18  # directions over the full circle; half of them without sign
HOG_NAMES = tuple(
    [f"signed{number * 20}" for number in range(SIGNED)]
    + [f"unsigned{number * 20}" for number in range(SIGNED // 2)]
    + [f"texture_{corner}" for corner in ("upper_left", "upper_right", "lower_left", "lower_right")]
)
CLIP = 0.2
# added to the energy of four cells: a difference of one of 255 grey levels all over a cell is hundred times more
FLOOR = 1e-4


def region_centres(ids: NDArray[np.int32], count: int, step_px: int) -> tuple[Indices, Indices]:
    """Return rows and columns (count,) of the regions' centres, rounded to whole steps so that few cells are distinct;
    else 0."""
    inside = np.nonzero(ids >= 0)
    region = ids[inside]
    sizes = np.maximum(np.bincount(region, minlength=count), 1)
    means = [np.bincount(region, weights=positions, minlength=count) / sizes for positions in inside]
    rows, cols = (np.rint(mean / step_px).astype(np.int64) * step_px for mean in means)
    return rows, cols


def _cell_weights(starts: Indices, cell_px: int, length: int) -> sparse.csr_array:
    """Return (len(starts), length) weights of pixels in cells: 1 in a cell's centre, falling to 0 one cell further."""
    distance = np.arange(2 * cell_px) - cell_px + (0.5 if cell_px % 2 == 0 else 0)
    weights = np.broadcast_to(1 - np.abs(distance) / cell_px, (len(starts), 2 * cell_px))
    at = (starts - (cell_px + 1) // 2)[:, None] + np.arange(2 * cell_px)
    inside = (at >= 0) & (at < length) & (weights != 0)
    counts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    return sparse.csr_array((weights[inside].astype(np.float32), at[inside], counts), shape=(len(starts), length))


def felzenszwalb_cells(grey: FloatImage, cell_px: int = 8) -> FloatImage:
    """Return HOG of each cell of a grey image (h, w), 0 to 1: (31, h // cell_px, w // cell_px) float32.

    18 signed and 9 unsigned directions (0 is right, 90 down), 4 textures. A pixel is shared bilinearly between four cells.

    Memory: 25 bytes a pixel. Source: Felzenszwalb et al., PAMI 32(9), 2010.
    """
    height, width = grey.shape
    return _cells_at(grey, np.arange(height // cell_px) * cell_px, np.arange(width // cell_px) * cell_px, cell_px)


def _cells_at(grey: FloatImage, rows: Indices, cols: Indices, cell_px: int) -> FloatImage:
    """Return HOG of the cells that start at these rows and columns (sorted, may be outside the image), (31, R, C) float32."""
    if not len(rows) or not len(cols):
        return np.zeros((len(HOG_NAMES), len(rows), len(cols)), np.float32)
    around = [
        np.unique(np.concatenate([positions - cell_px, positions, positions + cell_px])) for positions in (rows, cols)
    ]
    margins = [_margin(positions, cell_px, length) for positions, length in zip(around, grey.shape, strict=True)]
    padded = np.pad(grey.astype(np.float32, copy=False), margins, mode="edge")
    down, right = padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]
    turns = np.arctan2(down, right) * (SIGNED / (2 * math.pi))
    direction, magnitude = np.floor(turns + 0.5).astype(np.int8) % SIGNED, np.hypot(down, right)
    by_row, by_col = [
        _cell_weights(positions + before - 1, cell_px, length)
        for positions, (before, _), length in zip(around, margins, down.shape, strict=True)
    ]
    signed = np.empty((SIGNED, len(around[0]), len(around[1])), np.float32)
    for number in range(SIGNED):
        signed[number] = (by_col @ (by_row @ np.where(direction == number, magnitude, np.float32(0))).T).T
    return _normalise(
        signed, _neighbour_indices(around[0], rows, cell_px), _neighbour_indices(around[1], cols, cell_px)
    )


def _margin(starts: Indices, cell_px: int, length: int) -> tuple[int, int]:
    """Return the pixels to add before and after, so that cells, the pixels they share and gradients are inside the image."""
    reach = cell_px // 2 + 1
    return max(reach - int(starts[0]), 1), max(int(starts[-1]) + cell_px + reach + 1 - length, 1)


def _neighbour_indices(around: Indices, starts: Indices, cell_px: int) -> tuple[Indices, Indices, Indices]:
    """Return indices into all cells of the cells before, at and after these starts."""
    before, at, after = (np.searchsorted(around, starts + offset) for offset in (-cell_px, 0, cell_px))
    return before, at, after


def _normalise(signed: FloatImage, rows: tuple[Indices, ...], cols: tuple[Indices, ...]) -> FloatImage:
    """Divide histograms by the energy of the four blocks that each cell is part of, clip them, and sum over the blocks.

    The sums are projections of 4 × 9 (4 × 18) clipped values, divided by 2 (texture: 3), which keeps distances.
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
    """HOG of the square patch around each site: its side_px / 8 cells down and across, 31 values each, normalised as on
    the regular grid, with the cells next to the patch."""

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
        """Return (31 · cells, rows of sites, columns of sites) float32. Memory: 30 bytes a pixel, 300 a distinct cell."""
        rows, cols = (np.arange(stride_px // 2, length, stride_px) for length in bands.shape)
        return self._around(bands.grey(), rows[:, None], cols)

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """(count, 31 · cells) float32 of the patch around each superpixel's centre, to half a cell."""
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
