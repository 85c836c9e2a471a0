"""Superpixels of overlapping blocks merged into one map, without seams along the blocks' edges.

Takes the superpixels of each block and its halo; returns a key per pixel, and the pairs of keys of the same region.
A region that lies completely in its block is kept, so blocks meet along outlines of regions, not along straight lines;
larger regions are joined where both blocks found about the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, RegionIds
from deepnets4eo.grid import Window

MIN_SHARED = 0.5  # share of the pixels of two regions in the common area from which on they are one region


@dataclass(frozen=True)
class Block:
    """The superpixels of one block.

    core : its part of the scene. window : the core and its halo, inside the scene. ids : (h, w) of the window.
    valid : (h, w) of the core. first : key of its region 0. whole : (N,) regions not cut by the window. own : (N,) whole
    ones centred in the core.
    """

    core: Window
    window: Window
    ids: RegionIds
    valid: NDArray[np.bool_]
    first: int
    whole: NDArray[np.bool_]
    own: NDArray[np.bool_]

    @classmethod
    def build(
        cls, core: Window, window: Window, ids: RegionIds, valid: NDArray[np.bool_], first: int, shape: tuple[int, int]
    ) -> Block:
        """Make the block and find its whole and its own regions. shape : of the scene."""
        flat = ids.ravel().astype(np.intp)
        pixels = np.bincount(flat)
        whole = np.ones(pixels.size, bool)
        sides = (
            (window.row > 0, ids[0]),
            (window.col > 0, ids[:, 0]),
            (window.row + window.height < shape[0], ids[-1]),
            (window.col + window.width < shape[1], ids[:, -1]),
        )
        for cut, line in sides:
            if cut:
                whole[line] = False
        inside = core.within(window)
        own = whole.copy()
        for axis, (start, length) in enumerate(((inside.row, inside.height), (inside.col, inside.width))):
            along = np.arange(ids.shape[axis], dtype=np.float64).reshape((-1, 1) if axis == 0 else (1, -1))
            centre = np.bincount(flat, np.broadcast_to(along, ids.shape).ravel()) / pixels + 0.5
            own &= (centre >= start) & (centre < start + length)
        return cls(core, window, ids, valid, first, whole, own)

    @property
    def keys(self) -> int:
        """Number of its regions."""
        return self.whole.size


def merge_core(block: Block, around: Sequence[Block]) -> RegionIds:
    """Return keys of the pixels of a block's core, (h, w) int32; −1 where not valid.

    around : all blocks whose windows reach into the core, itself too, in the scene's order. A pixel goes to the first
    block that has its region as its own, else to the first that has it whole, else to its own block.
    """
    core = block.core
    keys = np.full((core.height, core.width), -1, np.int32)
    for status in ("own", "whole"):
        for other in around:
            part = _intersection(core, other.window)
            if not part.height or not part.width:
                continue
            target = keys[part.within(core).slices]
            ids = other.ids[part.within(other.window).slices]
            taken = (target < 0) & getattr(other, status)[ids]
            target[taken] = ids[taken] + other.first
    left = keys < 0
    keys[left] = block.ids[core.within(block.window).slices][left] + block.first
    keys[~block.valid] = -1
    return keys


def match_regions(one: Block, other: Block) -> Indices:
    """Return pairs of keys (n, 2) of the same region: more than half of their pixels in the common area are shared.

    For two regions that are cut by the windows, half of the smaller one suffices: each block has another part of a large one.
    """
    common_window = _intersection(one.window, other.window)
    if not common_window.height or not common_window.width:
        return np.zeros((0, 2), np.int64)
    first, second = (
        block.ids[common_window.within(block.window).slices].ravel().astype(np.int64) for block in (one, other)
    )
    codes, common = np.unique(first * other.keys + second, return_counts=True)
    a, b = codes // other.keys, codes % other.keys
    in_one, in_other = np.bincount(first, minlength=one.keys)[a], np.bincount(second, minlength=other.keys)[b]
    same = common > MIN_SHARED * (in_one + in_other - common)
    same |= ~one.whole[a] & ~other.whole[b] & (common > MIN_SHARED * np.minimum(in_one, in_other))
    return np.stack([a[same] + one.first, b[same] + other.first], axis=1)


def _intersection(one: Window, other: Window) -> Window:
    """Return the part of the scene in both windows; height or width 0 where there is none."""
    row, col = max(one.row, other.row), max(one.col, other.col)
    bottom = min(one.row + one.height, other.row + other.height)
    right = min(one.col + one.width, other.col + other.width)
    return Window(row, col, max(bottom - row, 0), max(right - col, 0))
