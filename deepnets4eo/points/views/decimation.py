"""One point for each voxel: the one nearest the middle of the voxel.

Takes coordinates in metres of any sign and size; refuses extents in which voxels cannot be numbered.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.errors import InputError
from deepnets4eo.prefetch import in_order

BLOCK = 1 << 18
MOST = 1 << 62  # voxels, and voxels times points that are sorted as one number


def decimate(xyz: Floats, voxel_m: float = 0.1, source: str = "points in memory") -> Indices:
    """Return the points (V,) kept, one of each voxel (the one nearest its middle, the first of equal ones), in the
    order of the voxels, which count from coordinate 0. Raises InputError for coordinates too far apart. Memory: 40
    bytes a point.

    >>> decimate(np.array([[-0.01, 0, 0], [0.01, 0, 0], [0.04, 0.05, 0.05]])).tolist()
    [0, 2]
    """
    return _nearest(*_sorted_by_voxel(xyz, voxel_m, source))


def decimate_with_voxels(
    xyz: Floats, voxel_m: float = 0.1, source: str = "points in memory"
) -> tuple[Indices, NDArray[np.int32]]:
    """Do the same, and return for each point (N,) the position of the kept point of its voxel.

    >>> kept, of_point = decimate_with_voxels(np.array([[-0.01, 0, 0], [0.01, 0, 0], [0.04, 0.05, 0.05]]))
    >>> of_point.tolist()
    [0, 1, 1]
    """
    distance, groups = _sorted_by_voxel(xyz, voxel_m, source)
    of_point = np.empty(len(xyz), np.int32)
    of_point[groups.order] = np.repeat(np.arange(len(groups.starts), dtype=np.int32), groups.counts)
    return _nearest(distance, groups), of_point


def _sorted_by_voxel(xyz: Floats, voxel_m: float, source: str) -> tuple[Floats, _Groups]:
    """Each point's distance from the middle of its voxel, and the points by voxels."""
    low, high = (np.floor(limit(xyz, axis=0) / voxel_m) for limit in (np.min, np.max))
    sizes = [int(side) + 1 for side in high - low]
    if math.prod(sizes) > MOST:
        raise InputError(
            f"{source}: the points lie within {' x '.join(f'{side * voxel_m:,.0f}' for side in sizes)} m, too far apart for "
            f"voxels of {voxel_m} m. Remove points with wrong coordinates, or choose larger voxels."
        )
    number, distance = np.empty(len(xyz), np.int64), np.empty(len(xyz))

    def fill(start: int) -> None:
        part = slice(start, start + BLOCK)
        number[part], distance[part] = _voxels(xyz[part], voxel_m, low, sizes)

    for _ in in_order(fill, range(0, len(xyz), BLOCK)):
        pass
    return distance, _groups(number, math.prod(sizes))


def _voxels(xyz: Floats, voxel_m: float, low: Floats, sizes: list[int]) -> tuple[Indices, Floats]:
    """Number of each point's voxel, and the squared distance from its middle in voxels, which orders as metres do."""
    number, distance = np.zeros(len(xyz), np.int64), np.zeros(len(xyz))
    for axis in range(3):
        position = xyz[:, axis] / voxel_m
        corner = np.floor(position)
        number *= sizes[axis]
        number += (corner - low[axis]).astype(np.int64)
        position -= corner
        position -= 0.5
        position *= position
        distance += position
    return number, distance


class _Groups(NamedTuple):
    """Points (N,) sorted by voxel, then by themselves; starts (V,): where each voxel's first stands."""

    order: Indices
    starts: Indices

    @property
    def counts(self) -> Indices:
        """(V,) number of points of each voxel."""
        return np.diff(self.starts, append=len(self.order))


def _groups(number: Indices, voxels: int) -> _Groups:
    bits = max(len(number) - 1, 1).bit_length()
    if voxels << bits <= MOST:  # sorting one number is several times faster than sorting positions
        number <<= bits
        number |= np.arange(len(number))
        number.sort()
        order = number & ((1 << bits) - 1)
        number >>= bits
    else:
        order = np.argsort(number, kind="stable")
        number = number[order]
    first = np.ones(len(number), bool)
    np.not_equal(number[1:], number[:-1], out=first[1:])
    return _Groups(order, np.flatnonzero(first))


def _nearest(distance: Floats, groups: _Groups) -> Indices:
    ordered = distance[groups.order]
    least = np.minimum.reduceat(ordered, groups.starts)
    nearest = np.flatnonzero(ordered == np.repeat(least, groups.counts))
    firsts = nearest[np.searchsorted(nearest, groups.starts)]
    return groups.order[firsts]
