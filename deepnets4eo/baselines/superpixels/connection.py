"""Connected regions: of an image in memory, and of a large raster of keys, found block by block and numbered as if at
once.

Ids are 0 … N − 1 in the order of first pixels; −1 (none) stays −1. Inputs are not checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.arrays import Indices, RegionIds
from deepnets4eo.grid import Window
from deepnets4eo.prefetch import in_order

Line = NDArray[np.int64]  # (2, n): piece and group of the pixels along an edge; −1 is none


def connected_regions(codes: NDArray[np.integer]) -> RegionIds:
    """Number the 4-connected parts of equal code, (h, w) int32 from 0 in the order of first pixels; −1 stays −1."""
    from skimage.measure import label

    ids: RegionIds = label(codes, background=-1, connectivity=1).astype(np.int32)
    ids -= 1
    return ids


def renumber(ids: RegionIds) -> tuple[RegionIds, int]:
    """Number the regions from 0 in the order of first pixels, −1 stays −1; returns the new ids and their number."""
    flat = ids.ravel()
    values, first = np.unique(flat, return_index=True)
    first, values = first[values >= 0], values[values >= 0]
    numbers = np.full(int(values.max(initial=-1)) + 2, -1, np.int32)  # the last entry is for −1
    numbers[values[np.argsort(first)]] = np.arange(values.size, dtype=np.int32)
    return numbers[ids], values.size


def count_pairs(
    one: NDArray[np.integer], other: NDArray[np.integer], times: Indices | None = None
) -> tuple[NDArray[np.int64], Indices]:
    """Return unordered pairs of different ids ≥ 0, (n, 2) sorted, and how often each occurs, (n,).

    times : how often each entry counts, by default once."""
    meets = (one != other) & (one >= 0) & (other >= 0)
    low, high = (choose(one[meets], other[meets]).astype(np.int64) for choose in (np.minimum, np.maximum))
    codes, inverse = np.unique(low << 32 | high, return_inverse=True)
    weights = None if times is None else times[meets]
    counts = np.bincount(inverse, weights, codes.size).astype(np.int64)
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1), counts


def shared_borders(ids: RegionIds) -> tuple[NDArray[np.int64], Indices]:
    """Return pairs of regions that share sides of pixels, and how many sides each pair shares."""
    across, down = (ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])
    one, other = (np.concatenate([across[side].ravel(), down[side].ravel()]) for side in (0, 1))
    return count_pairs(one, other)


def group_pairs(count: int, pairs: NDArray[np.int64]) -> Indices:
    """Return the group 0 … of each of `count` items, (count,) int64: both items of a pair have the same group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def small_region_groups(sizes: Indices, pairs: NDArray[np.int64], sides: Indices, min_px: int) -> Indices:
    """Return the group (N,) of each region, after regions below `min_px` joined the neighbour with most shared sides.

    sizes : (N,) pixels. pairs, sides : as `shared_borders` returns them; those of small regions suffice."""
    group = np.arange(len(sizes))
    while True:
        one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
        both = np.concatenate([sides, sides])
        small = sizes[one] < min_px
        if not small.any():
            return group
        one, other, both = one[small], other[small], both[small]
        order = np.lexsort([other, -both, one])
        best = order[np.flatnonzero(np.diff(one[order], prepend=-1))]
        step = group_pairs(len(sizes), np.stack([one[best], other[best]], axis=1))
        group = step[group]
        sizes = np.bincount(step, sizes).astype(np.int64)
        pairs, sides = count_pairs(step[pairs[:, 0]], step[pairs[:, 1]], sides)


def merge_small_regions(ids: RegionIds, min_px: int) -> RegionIds:
    """Merge the regions of an image by `small_region_groups` and number them anew."""
    flat = ids.ravel()
    sizes = np.bincount(flat[flat >= 0])
    if (sizes >= min_px).all():
        return ids
    group = small_region_groups(sizes, *shared_borders(ids), min_px)
    return renumber(np.append(group, -1).astype(np.int32)[ids])[0]


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
    """Return for each block (`cores`, row by row) the final numbers of its pieces; small ones are merged.

    Peak memory: 30 bytes a pixel of a block for each worker, 100 bytes a piece."""
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
