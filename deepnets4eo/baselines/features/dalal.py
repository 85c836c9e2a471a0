"""Histograms of oriented gradients as Dalal and Triggs (2005) define them, of the patch around each site.

Takes a grey image; returns the blocks of each patch, as if each patch were cut out and described by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from deepnets4eo.arrays import FloatImage, Indices
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.cells import (
    bands_of,
    central_differences,
    histograms,
    region_centres,
    site_places,
    weighted_sums,
)

FLOOR = 1e-5
CLIP = 0.2
_FIRST, _LAST = 1, 2  # a cell's place along the edge of its patch


@dataclass(frozen=True)
class DalalHog:
    """Blocks of cells of the patch of side_px around each site; each block normalised, clipped, normalised again.

    side_px is a multiple of cell_px. Values equal those of `skimage.feature.hog` (L2-Hys) on the patch by itself:
    directions without sign, each pixel counts fully for one cell and one direction, gradients across the patch's border
    are zero. A patch begins side_px // 2 before its site; pixels beyond the border of the image are those of the border.
    A constant patch has zeros. Source: Dalal, Triggs, CVPR 2005.

    >>> grey = Bands(np.zeros((1, 40, 64), np.float32), ("image.pan",))
    >>> DalalHog("", side_px=16).compute(grey, stride_px=8).shape
    (36, 5, 8)
    """

    name: str
    side_px: int
    cell_px: int = 8
    block_cells: int = 2
    directions: int = 9

    @property
    def halo_px(self) -> int:
        """Half a patch."""
        return self.side_px // 2

    def columns(self, bands: Bands) -> list[str]:
        """Names "block<row><column>.cell<row><column>.<degrees>"."""
        blocks, cells = range(self.side_px // self.cell_px - self.block_cells + 1), range(self.block_cells)
        return [
            f"block{row}{col}.cell{down}{right}.{180 * number / self.directions:g}"
            for row in blocks for col in blocks for down in cells for right in cells
            for number in range(self.directions)
        ]  # fmt: skip

    pooled_columns = columns

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """(blocks · cells · directions, rows of sites, columns of sites) float32. Memory: the result, 50 bytes a pixel, 40
        bytes a distinct cell (at most nine of them a site for 16 px).
        """
        rows, cols = (site_places(length, stride_px) for length in bands.shape)
        return self.around(bands.grey(), rows[:, None], cols)

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """(count, F) float32: of the patch around each superpixel's centre, to half a cell."""
        rows, cols = region_centres(ids, count, self.cell_px // 2)
        return self.around(bands.grey(), rows, cols).T

    def around(self, grey: FloatImage, rows: Indices, cols: Indices) -> FloatImage:
        """Return HOG around sites, (F, *sites) float32; rows and columns of the sites are broadcast against each other."""
        padded = np.pad(grey.astype(np.float32, copy=False), self.halo_px + 1, mode="edge")
        down, right = central_differences(padded)
        along = np.arange(self.side_px // self.cell_px)
        kinds = _FIRST * (along == 0) | _LAST * (along == along[-1])
        axes = [
            _Axis.of_cells(positions[..., None] + along * self.cell_px, kinds, self.cell_px, length)
            for positions, length in zip((rows, cols), down.shape, strict=True)
        ]
        cells = _histograms(down, right, axes, self.directions)
        cells /= self.cell_px**2
        return _block_vectors(cells, axes, self.block_cells)


@dataclass(frozen=True)
class _Axis:
    """Cells along an axis. cells_of_site : (*sites, cells of a patch) indices into the distinct cells.

    inside : (distinct cells, length) weights of the pixels whose gradient along this axis is known; border : of those
    at the border of their patch, where the gradient is zero.
    """

    cells_of_site: Indices
    inside: sparse.csr_array
    border: sparse.csr_array

    @classmethod
    def of_cells(cls, starts: Indices, kinds: Indices, cell_px: int, length: int) -> _Axis:
        """Cells of all patches, those that are the same only once."""
        distinct, cells_of_site = np.unique(starts * 4 + kinds, return_inverse=True)
        start, kind = distinct // 4, distinct % 4
        outer = np.zeros((len(start), cell_px), bool)
        outer[:, 0] |= kind & _FIRST > 0
        outer[:, -1] |= kind & _LAST > 0
        return cls(cells_of_site.reshape(starts.shape), bands_of(start, ~outer, length), bands_of(start, outer, length))


def _histograms(down: FloatImage, right: FloatImage, axes: list[_Axis], directions: int) -> FloatImage:
    """Return (directions, R, C) sums over the distinct cells; at a patch's border only the gradient along it counts."""
    rows, cols = axes
    # in double precision, so that a direction between two bins falls as it does for the patch alone
    degrees = np.rad2deg(np.arctan2(down, right, dtype=np.float64)) % 180
    direction = np.floor(degrees / (180 / directions)).astype(np.uint8)
    cells = histograms(direction, np.hypot(down, right), rows.inside, cols.inside, directions)
    cells[0] += weighted_sums(np.abs(right), rows.border, cols.inside)
    cells[directions // 2] += weighted_sums(np.abs(down), rows.inside, cols.border)
    return cells


def _block_vectors(cells: FloatImage, axes: list[_Axis], block_cells: int) -> FloatImage:
    """Return the blocks of the patches, (F, *sites)."""
    rows, cols = (axis.cells_of_site for axis in axes)
    across = rows.shape[-1] - block_cells + 1
    sites = np.broadcast_shapes(rows.shape[:-1], cols.shape[:-1])
    blocks = np.empty((across**2, block_cells**2, len(cells), *sites), np.float32)
    for number, block in enumerate(blocks):
        for cell in range(block_cells**2):
            row, col = number // across + cell // block_cells, number % across + cell % block_cells
            block[cell] = cells[:, rows[..., row], cols[..., col]]
        _normalise(block)
        np.minimum(block, CLIP, out=block)
        _normalise(block)
    return blocks.reshape(int(np.prod(blocks.shape[:3])), *sites)


def _normalise(block: FloatImage) -> None:
    """Scale each block, in place, to length 1 at each site, or to 0 where nothing changes."""
    block /= np.sqrt(np.square(block).sum(axis=(0, 1)) + np.float32(FLOOR**2))


DALAL16 = DalalHog("dalal16", 16)
DALAL32 = DalalHog("dalal32", 32)
