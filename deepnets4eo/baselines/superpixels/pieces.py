"""Connected pieces of a large raster of keys, found block by block and numbered as if found at once.

Takes a file of keys and the group of each key; returns the final number of every piece of every block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.arrays import Indices, RegionIds
from deepnets4eo.baselines.superpixels.connection import (
    connected_regions,
    count_pairs,
    group_pairs,
    renumber,
    shared_borders,
    small_region_groups,
)
from deepnets4eo.grid import Window
from deepnets4eo.prefetch import in_order

Line = NDArray[np.int64]  # (2, n): piece and group of the pixels along an edge; −1 is none


@dataclass(frozen=True)
class KeyFile:
    """A raster of keys, −1 being none, and the group of every key."""

    path: Path
    groups: NDArray[np.int32]

    def pieces(self, core: Window) -> tuple[RegionIds, RegionIds]:
        """Return 4-connected pieces of equal group in a window, numbered from 0; and the groups. −1 is none."""
        with rasterio.open(self.path) as file:
            keys = file.read(1, window=RasterioWindow(core.col, core.row, core.width, core.height))
        groups = np.append(self.groups, np.int32(-1))[keys]
        return connected_regions(groups), groups


class _BlockPieces(NamedTuple):
    """Pieces of one block: their pixels, sides they share where one is small, and the edges of the block."""

    sizes: Indices
    pairs: NDArray[np.int64]
    sides: Indices
    edges: dict[str, Line]


def number_pieces(keys: KeyFile, cores: list[Window], min_px: int, workers: int | None) -> list[NDArray[np.int32]]:
    """Return for each block the final numbers of its pieces: touching pieces of one group are one, small ones are merged.

    cores : blocks row by row. Peak memory: 30 bytes a pixel of a block for each worker, 100 bytes a piece.
    """
    all_pieces = _AllPieces()
    below = np.full((2, max(core.col + core.width for core in cores)), -1, np.int64)
    aside = np.zeros((2, 0), np.int64)
    for core, pieces in zip(
        cores, in_order(lambda core: _block_pieces(keys, core, min_px), cores, workers), strict=True
    ):
        edges = {side: _number_edge(line, all_pieces.count) for side, line in pieces.edges.items()}
        all_pieces.add(pieces)
        columns = slice(core.col, core.col + core.width)
        all_pieces.link_edges(below[:, columns], edges["top"])
        if core.col:
            all_pieces.link_edges(aside, edges["left"])
        below[:, columns], aside = edges["bottom"], edges["right"]
    numbers = all_pieces.numbers(min_px)
    return np.split(numbers, np.cumsum([len(sizes) for sizes in all_pieces.sizes])[:-1])


@dataclass
class _AllPieces:
    """Pieces of all blocks so far, numbered consecutively."""

    count: int = 0
    sizes: list[Indices] = field(default_factory=list)
    pairs: list[NDArray[np.int64]] = field(default_factory=list)
    sides: list[Indices] = field(default_factory=list)
    links: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, pieces: _BlockPieces) -> None:
        """Add the next block."""
        self.sizes.append(pieces.sizes)
        self.pairs.append(pieces.pairs + self.count)
        self.sides.append(pieces.sides)
        self.count += pieces.sizes.size

    def link_edges(self, before: Line, here: Line) -> None:
        """Link two edges that face each other: equal groups are one piece, others share sides."""
        same = (before[1] == here[1]) & (before[0] >= 0)
        self.links.append(np.unique(np.stack([before[0, same], here[0, same]], axis=1), axis=0))
        pairs, sides = count_pairs(np.where(same, -1, before[0]), here[0])
        self.pairs.append(pairs)
        self.sides.append(sides)

    def numbers(self, min_px: int) -> NDArray[np.int32]:
        """Return the final number of every piece, (count,) int32, in the order of their first pieces."""
        group = group_pairs(self.count, np.concatenate(self.links))
        sizes = np.bincount(group, np.concatenate(self.sizes)).astype(np.int64)
        pairs = np.concatenate(self.pairs)
        pairs, sides = count_pairs(group[pairs[:, 0]], group[pairs[:, 1]], np.concatenate(self.sides))
        return renumber(small_region_groups(sizes, pairs, sides, min_px)[group].astype(np.int32))[0]


def _block_pieces(keys: KeyFile, core: Window, min_px: int) -> _BlockPieces:
    pieces, groups = keys.pieces(core)
    flat = pieces.ravel()
    sizes = np.bincount(flat[flat >= 0])
    pairs, sides = shared_borders(pieces)
    small = (sizes < min_px)[pairs].any(axis=1) if sizes.size else np.zeros(0, bool)
    cuts: dict[str, tuple[slice | int, slice | int]] = {
        "top": (0, slice(None)), "bottom": (-1, slice(None)), "left": (slice(None), 0), "right": (slice(None), -1),
    }  # fmt: skip
    edges = {side: np.stack([pieces[cut], groups[cut]]).astype(np.int64) for side, cut in cuts.items()}
    return _BlockPieces(sizes, pairs[small], sides[small], edges)


def _number_edge(line: Line, first: int) -> Line:
    """Number the pieces of an edge from `first`."""
    return np.stack([np.where(line[0] < 0, -1, line[0] + first), line[1]])
