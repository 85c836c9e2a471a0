"""A cloud thinned to voxels, and sums over all voxels within a radius, by blocks that fit into memory.

Refuses extents that no voxel index can count. Memory in addition to the result: a block's pairs, 20 MB per thread on surfaces, at
most about 200 MB in dense clouds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.errors import InputError

VOXELS_PER_RADIUS = 3.0

BLOCK_VOXELS = 16_000  # whose neighbours are searched at once
LARGEST_INDEX = 1 << 20  # of a voxel along an axis: three of them fit into 64 bits


@dataclass(frozen=True, eq=False)
class Voxels:
    """Means of the points of each voxel (V, D), the voxel of each point (N,), and points of each voxel (V,)."""

    centres: Floats
    voxel: Indices
    count: Floats

    def __len__(self) -> int:
        return len(self.centres)

    def total(self, values: NDArray[np.floating]) -> Floats:
        """Return (V,) sums of values (N,) over the points of each voxel."""
        return np.bincount(self.voxel, values, len(self)).astype(np.float64, copy=False)


def voxelise(points: Floats, side_m: float, source: str = "the cloud") -> Voxels:
    """Return the voxels of a cloud (N, D) by position, x varying slowest. The grid goes through the origin, so that
    tiles of one cloud have the same voxels.

    Raises InputError for more than a million voxels along an axis.
    """
    cells = np.floor(points / side_m)
    cells -= _by_column(np.min, cells)
    corner = _by_column(np.min, points)
    if cells.max() >= LARGEST_INDEX:
        extent = float(np.ptp(points, axis=0).max())
        raise InputError(
            f"{source} extends over {extent:,.0f} m, which is more than {LARGEST_INDEX:,} voxels of {side_m:g} m. Remove points "
            "with wrong coordinates, or label it in tiles."
        )
    key = np.zeros(len(points), np.int64)
    for axis in cells.astype(np.int64).T:
        key = key * LARGEST_INDEX + axis
    _, voxel, count = np.unique(key, return_inverse=True, return_counts=True)
    shifted = points - corner  # so that sums of large coordinates lose nothing
    centres = np.stack([np.bincount(voxel, axis) for axis in shifted.T], axis=1) / count[:, None]
    return Voxels(centres + corner, voxel, count.astype(np.float64))


def _by_column(reduction: Callable[[Floats], np.floating[Any]], points: Floats) -> Floats:
    """Return the minimum or maximum of each column of (N, D); NumPy takes 25 times as long along the first axis."""
    return np.array([reduction(column) for column in points.T])


def blocks_with_halo(centres: Floats, radius: float, most: int = BLOCK_VOXELS) -> Iterator[tuple[Indices, Indices]]:
    """Yield indices of the voxels (V, D) in boxes of at most `most`, and of those nearer than the radius along each axis."""
    every = np.arange(len(centres))
    waiting = [(every, every[:0])]
    while waiting:
        core, halo = waiting.pop()
        own = centres[core]
        low, high = _by_column(np.min, own), _by_column(np.max, own)
        axis = int(np.argmax(high - low))
        if len(core) <= most or low[axis] == high[axis]:
            yield core, halo
            continue
        middle = (low[axis] + high[axis]) / 2
        at, around = centres[core, axis], centres[halo, axis]
        lower, upper = core[at < middle], core[at >= middle]
        below, above = at[at < middle], at[at >= middle]
        waiting.append((lower, np.append(halo[around < middle + radius], upper[above < middle + radius])))
        waiting.append((upper, np.append(halo[around >= middle - radius], lower[below >= middle - radius])))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of voxels within a radius. `index` (M,) are the voxels of the block, which are the first `cores`, and its
    halo; `first` and `second` (P,) are positions in it."""

    index: Indices
    cores: int
    first: NDArray[np.int32]
    second: NDArray[np.int32]

    def sums(self, values: Floats) -> Floats:
        """(cores, C) sums of values (M, C) over each voxel and its neighbours."""
        from scipy import sparse

        size = len(self.index)
        pairs = sparse.coo_matrix((np.ones(len(self.first)), (self.first, self.second)), shape=(size, size))
        total = values + pairs @ values
        total += pairs.T @ values
        return total[: self.cores]

    def lowest(self, values: Floats) -> Floats:
        """Return (cores,) the lowest of values (M,) at each voxel and its neighbours."""
        least = values.copy()
        np.minimum.at(least, self.first, values[self.second])
        np.minimum.at(least, self.second, values[self.first])
        return least[: self.cores]


def find_neighbours(centres: Floats, core: Indices, halo: Indices, radius: float) -> Neighbours:
    """Return the pairs of voxels of a block and its halo that are at most a radius apart, metres."""
    from scipy.spatial import cKDTree

    index = np.append(core, halo)
    points = centres[index]
    tree = cKDTree(points - points.mean(axis=0), compact_nodes=False, balanced_tree=False)
    pairs = tree.query_pairs(radius, output_type="ndarray")
    first, second = pairs.astype(np.int32).T
    return Neighbours(index, len(core), first, second)


def for_all_blocks(
    centres: Floats,
    radius: float,
    width: int,
    work: Callable[[Neighbours], NDArray[np.floating]],
    workers: int | None = None,
) -> NDArray[np.float32]:
    """Return (V, width) float32 of what `work` computes from the neighbours of each voxel in threads."""
    from deepnets4eo.prefetch import in_order

    def of_block(block: tuple[Indices, Indices]) -> tuple[Indices, NDArray[np.floating]]:
        return block[0], work(find_neighbours(centres, *block, radius))

    values = np.empty((len(centres), width), np.float32)
    for core, computed in in_order(of_block, blocks_with_halo(centres, radius), workers):
        values[core] = computed
    return values


def smooth_scores(
    xyz: Floats, scores: NDArray[np.float32], radius_m: float, *, workers: int | None = None
) -> NDArray[np.float32]:
    """Return the mean scores (N, K) float32 of all points in voxels within `radius_m` metres of the point's own voxel.

    The voxels are a third of the radius wide.

    Scores are NaN if nothing is known. Raises InputError for a radius that is not above 0, or another number of
    scores.
    """
    if not radius_m > 0 or len(scores) != len(xyz):
        raise InputError(
            f"radius_m={radius_m} with {len(scores):,} scores of {len(xyz):,} points; expected a radius above 0, and scores of "
            "every point."
        )
    voxels = voxelise(xyz, radius_m / VOXELS_PER_RADIUS)
    known: Mask = ~np.isnan(scores.sum(axis=1))
    weighted: Floats = np.where(known[:, np.newaxis], scores, 0).astype(np.float64)
    sums = np.stack([voxels.total(known.astype(np.float64)), *(voxels.total(column) for column in weighted.T)], axis=1)

    def of_block(near: Neighbours) -> Floats:
        total = near.sums(sums[near.index])
        count = total[:, :1]
        return np.where(count > 0, total[:, 1:] / np.maximum(count, 1), np.nan)

    return for_all_blocks(voxels.centres, radius_m, scores.shape[1], of_block, workers)[voxels.voxel]
