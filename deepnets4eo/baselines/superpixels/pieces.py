"""Connected pieces of a big raster of keys, found block by block and numbered as if found at once.

Takes a file of keys and the group that each key belongs to; gives the final number of every piece of every block.
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
    absorbed,
    borders,
    connected,
    count_pairs,
    in_order_of_first,
    union_find_labels,
)
from deepnets4eo.grid import Window
from deepnets4eo.rasters.prefetch import in_order

Line = NDArray[np.int64]  # (2, n): piece and group of the pixels along an edge; −1 is none


@dataclass(frozen=True)
class KeyFile:
    """A raster of keys, −1 being none, and the group of every key."""

    path: Path
    groups: NDArray[np.int32]

    def pieces(self, core: Window) -> tuple[RegionIds, RegionIds]:
        """4-connected pieces of equal group in a window, numbered from 0; and the groups. −1 is none."""
        with rasterio.open(self.path) as file:
            keys = file.read(1, window=RasterioWindow(core.col, core.row, core.width, core.height))
        groups = np.append(self.groups, np.int32(-1))[keys]
        return connected(groups), groups


class _Look(NamedTuple):
    """What is known of one block: pixels of its pieces, sides they share where one is small, and its edges."""

    sizes: Indices
    pairs: NDArray[np.int64]
    sides: Indices
    edges: dict[str, Line]


def number_pieces(keys: KeyFile, cores: list[Window], least_px: int, workers: int | None) -> list[NDArray[np.int32]]:
    """For each block the final numbers of its pieces: what touches and is of one group is one, the small are absorbed.

    cores : blocks row by row. Peak memory: 30 bytes a pixel of a block for each worker, 100 bytes a piece.
    """
    gathered = _Gathered()
    below = np.full((2, max(core.col + core.width for core in cores)), -1, np.int64)
    aside = np.zeros((2, 0), np.int64)
    for core, look in zip(cores, in_order(lambda core: _look(keys, core, least_px), cores, workers), strict=True):
        edges = {side: _shifted(line, gathered.count) for side, line in look.edges.items()}
        gathered.add(look)
        columns = slice(core.col, core.col + core.width)
        gathered.join(below[:, columns], edges["top"])
        if core.col:
            gathered.join(aside, edges["left"])
        below[:, columns], aside = edges["bottom"], edges["right"]
    numbers = gathered.numbers(least_px)
    return np.split(numbers, np.cumsum([len(sizes) for sizes in gathered.sizes])[:-1])


@dataclass
class _Gathered:
    """Pieces of all blocks so far, counted through."""

    count: int = 0
    sizes: list[Indices] = field(default_factory=list)
    pairs: list[NDArray[np.int64]] = field(default_factory=list)
    sides: list[Indices] = field(default_factory=list)
    joints: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, look: _Look) -> None:
        """The next block."""
        self.sizes.append(look.sizes)
        self.pairs.append(look.pairs + self.count)
        self.sides.append(look.sides)
        self.count += look.sizes.size

    def join(self, before: Line, here: Line) -> None:
        """Two edges that face each other: equal groups are one piece, others share sides."""
        same = (before[1] == here[1]) & (before[0] >= 0)
        self.joints.append(np.unique(np.stack([before[0, same], here[0, same]], axis=1), axis=0))
        pairs, sides = count_pairs(np.where(same, -1, before[0]), here[0])
        self.pairs.append(pairs)
        self.sides.append(sides)

    def numbers(self, least_px: int) -> NDArray[np.int32]:
        """The final number of every piece, (count,) int32, in the order of their first pieces."""
        group = union_find_labels(self.count, np.concatenate(self.joints))
        sizes = np.bincount(group, np.concatenate(self.sizes)).astype(np.int64)
        pairs = np.concatenate(self.pairs)
        pairs, sides = count_pairs(group[pairs[:, 0]], group[pairs[:, 1]], np.concatenate(self.sides))
        return in_order_of_first(absorbed(sizes, pairs, sides, least_px)[group].astype(np.int32))[0]


def _look(keys: KeyFile, core: Window, least_px: int) -> _Look:
    pieces, groups = keys.pieces(core)
    flat = pieces.ravel()
    sizes = np.bincount(flat[flat >= 0])
    pairs, sides = borders(pieces)
    small = (sizes < least_px)[pairs].any(axis=1) if sizes.size else np.zeros(0, bool)
    cuts: dict[str, tuple[slice | int, slice | int]] = {
        "top": (0, slice(None)), "bottom": (-1, slice(None)), "left": (slice(None), 0), "right": (slice(None), -1),
    }  # fmt: skip
    edges = {side: np.stack([pieces[cut], groups[cut]]).astype(np.int64) for side, cut in cuts.items()}
    return _Look(sizes, pairs[small], sides[small], edges)


def _shifted(line: Line, first: int) -> Line:
    """Pieces of a block counted through from `first`."""
    return np.stack([np.where(line[0] < 0, -1, line[0] + first), line[1]])
