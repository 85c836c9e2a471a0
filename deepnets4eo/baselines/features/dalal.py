"""Histograms of oriented gradients as Dalal and Triggs (2005) define them, of the patch around each site.

Takes a grey image; gives the blocks of each patch, as if each patch had been cut out and described alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.cells import (
    Places,
    bands_of,
    central_differences,
    histograms,
    site_places,
    weighted_sums,
)

Image = NDArray[np.float32]

FLOOR = 1e-5
CLIP = 0.2


@dataclass(frozen=True)
class DalalHog:
    """Blocks of side_px / cell_px cells down and across a patch, every block normalised, clipped, normalised again.

    Values equal those of `skimage.feature.hog` (L2-Hys) on the patch alone: `directions` without sign, pixels counted
    whole for one cell and one direction, gradients across the patch's border zero.
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
        blocks, cells = range(self._blocks), range(self.block_cells)
        return [
            f"block{row}{col}.cell{down}{right}.{180 * number / self.directions:g}"
            for row in blocks for col in blocks for down in cells for right in cells
            for number in range(self.directions)
        ]  # fmt: skip

    def compute(self, bands: Bands, stride_px: int = 1) -> Image:
        """(blocks · cells · directions, rows of sites, columns of sites) float32."""
        grey, (side, cell, block) = bands.grey(), (self.side_px, self.cell_px, self.block_cells)
        return dalal_hog(
            grey, side_px=side, stride_px=stride_px, cell_px=cell, block_cells=block, directions=self.directions
        )

    @property
    def _blocks(self) -> int:
        return self.side_px // self.cell_px - self.block_cells + 1


def dalal_hog(
    grey: Image, *, side_px: int, stride_px: int = 1, cell_px: int = 8, block_cells: int = 2, directions: int = 9
) -> Image:
    """HOG of the patch of side_px around each site of a stride, (F, rows of sites, columns of sites) float32.

    grey : (h, w) float32; its border pixels are repeated outward. A patch reaches from side_px // 2 before its site.
    F: blocks down, blocks across, cells down, cells across, directions, in this order. side_px is a multiple of
    cell_px. A constant patch gives zeros. Memory: the result, 9 values a distinct cell and five planes of the image.
    Source: Dalal, Triggs, CVPR 2005.

    >>> dalal_hog(np.zeros((40, 64), np.float32), side_px=16, stride_px=8).shape
    (36, 5, 8)
    """
    count = side_px // cell_px
    margin = side_px // 2 + 1
    padded = np.pad(grey.astype(np.float32, copy=False), margin, mode="edge")
    down, right = central_differences(padded)
    first, last = _FIRST * (np.arange(count) == 0), _LAST * (np.arange(count) == count - 1)
    axes = [
        _Axis.of_cells(
            site_places(length, stride_px)[:, None] + np.arange(count) * cell_px, first | last, cell_px, size
        )
        for length, size in zip(grey.shape, down.shape, strict=True)
    ]
    cells = _histograms(down, right, axes, directions)
    cells /= cell_px**2
    return _blocks(cells, axes, count, block_cells)


_FIRST, _LAST = 1, 2  # a cell's place along the edge of its patch


@dataclass(frozen=True)
class _Axis:
    """Cells along an axis. places : (sites, cells of a patch) which of the distinct cells.

    inside : (distinct cells, length) weights of the pixels whose gradient along this axis is known; border : of those
    at the border of their patch, where it is zero.
    """

    places: Places
    inside: sparse.csr_array
    border: sparse.csr_array

    @classmethod
    def of_cells(cls, starts: Places, kinds: Places, cell_px: int, length: int) -> _Axis:
        """Cells of all patches, those that are the same only once."""
        distinct, places = np.unique(starts * 4 + kinds, return_inverse=True)
        start, kind = distinct // 4, distinct % 4
        outer = np.zeros((len(start), cell_px))
        outer[:, 0] += kind & _FIRST > 0
        outer[:, -1] += kind & _LAST > 0
        return cls(places.reshape(starts.shape), bands_of(start, 1 - outer, length), bands_of(start, outer, length))


def _histograms(down: Image, right: Image, axes: list[_Axis], directions: int) -> Image:
    """(directions, R, C) sums over the distinct cells; at a patch's border only the gradient along it is left."""
    rows, cols = axes
    # in double precision, so that a direction between two bins falls as it does for the patch alone
    degrees = np.rad2deg(np.arctan2(down, right, dtype=np.float64)) % 180
    direction = np.floor(degrees * (directions / 180)).astype(np.uint8)
    cells = histograms(direction, np.hypot(down, right), rows.inside, cols.inside, directions)
    cells[0] += weighted_sums(np.abs(right), rows.border, cols.inside)
    cells[directions // 2] += weighted_sums(np.abs(down), rows.inside, cols.border)
    return cells


def _blocks(cells: Image, axes: list[_Axis], count: int, block_cells: int) -> Image:
    """Normalised blocks of the patches."""
    rows, cols = (axis.places for axis in axes)
    per_side = count - block_cells + 1
    found = np.empty((per_side**2, block_cells**2, len(cells), len(rows), len(cols)), np.float32)
    for block in range(per_side**2):
        for cell in range(block_cells**2):
            row, col = block // per_side + cell // block_cells, block % per_side + cell % block_cells
            found[block, cell] = cells[:, rows[:, row, None], cols[:, col]]
        _shorten(found[block])
        np.minimum(found[block], CLIP, out=found[block])
        _shorten(found[block])
    return found.reshape(-1, len(rows), len(cols))


def _shorten(block: Image) -> None:
    """To length 1, or 0 where nothing changes."""
    block /= np.sqrt(np.square(block).sum(axis=(0, 1)) + np.float32(FLOOR**2))


DALAL16 = DalalHog("dalal16", 16)
DALAL32 = DalalHog("dalal32", 32)
