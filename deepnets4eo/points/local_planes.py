"""Planes through the neighbours of points: normals, how upright and how rough the surface is; and one point per voxel."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Vectors
from deepnets4eo.errors import InputError
from deepnets4eo.prefetch import in_order

NoiseKind = Literal["variances", "normals"]
MAX_VOXELS = 1 << 62
BLOCK = 1 << 14
MIN_PLANE_POINTS = 3  # points that make a plane
RANK_ONE = 1e-7  # middle by largest variance: points on a line have no normal
SPACING_RANK = 4  # on a square lattice the fourth nearest point is as far away as the first
# Normals by random planes
ESTIMATES, PLANES = 5, 24  # normals of a point, and the random planes that vote for each; the public code draws 700
SAME_COSINE = np.float32(np.cos(np.radians(10)))  # planes whose normals differ by less vote together
POINTS_AT_ONCE = 512  # points: what is computed for so many stays in the cache
LOWEST = 0.95  # mean |cosine| between the estimates that is shown as 1, as in the public code


class Attributes(NamedTuple):
    """Unit normal (V, 3) of either sign, verticality 0 flat to 1 upright, noise λ3 / λ1 (or `normal_disagreement`), and
    distance to the fourth nearest point."""

    normal: Vectors
    verticality: NDArray[np.float32]
    noise: NDArray[np.float32]
    spacing_m: NDArray[np.float32]


def surface_attributes(
    points: NDArray[np.floating], neighbours: int = 16, noise: NoiseKind = "variances"
) -> Attributes:
    """Estimate normals and roughness of points (V, 3) by the principal axes of the nearest points. Memory: 100 bytes a
    point, and a few MiB a thread."""
    from scipy.spatial import cKDTree

    count = min(neighbours, len(points))
    tree = cKDTree(points, balanced_tree=False, compact_nodes=True)
    columns = np.ascontiguousarray(points.T)
    made = Attributes(
        normal=np.zeros((len(points), 3), np.float32),
        verticality=np.zeros(len(points), np.float32),
        noise=np.zeros(len(points), np.float32),
        spacing_m=np.zeros(len(points), np.float32),
    )
    made.normal[:, 2] = 1

    def fill(start: int) -> None:
        part = slice(start, start + BLOCK)
        distance, index = (values.reshape(-1, count) for values in tree.query(tree.data[part], count))
        made.spacing_m[part] = distance[:, min(SPACING_RANK, count - 1)]
        if count >= MIN_PLANE_POINTS:
            variances, axes = np.linalg.eigh(_covariances(columns, index))
            normal = axes[:, :, 0]
            normal[variances[:, 1] <= RANK_ONE * variances[:, 2]] = (0, 0, 1)
            made.normal[part] = normal
            made.verticality[part] = np.arccos(np.minimum(np.abs(normal[:, 2]), 1)) / (np.pi / 2)
            if noise == "normals":
                made.noise[part] = normal_disagreement(columns, index)
                return
            largest = variances[:, 2]
            np.divide(variances[:, 0], largest, out=made.noise[part], where=largest > 0, casting="same_kind")

    for _ in in_order(fill, range(0, len(points), BLOCK)):
        pass
    return made


def _covariances(columns: NDArray[np.floating], index: NDArray[np.integer]) -> Floats:
    """Return (n, 3, 3) float64 of the points of each row of an index (n, k)."""
    around = np.stack([column[index] for column in columns], axis=1).astype(np.float64)
    around -= around.mean(axis=2, keepdims=True)
    return around @ around.transpose(0, 2, 1) / index.shape[1]


def normal_disagreement(columns: NDArray[np.floating], index: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return (n,) (1 − m) / 0.05, at most 1, where m is the mean of |cos| over the 10 pairs of 5 normals
    (after Boulch and Marlet 2012).

    A normal is the mean of the largest group of similar normals among 24 planes through three nearby points; 0 without
    a plane.
    """
    noise = np.empty(len(index), np.float32)
    for start in range(0, len(index), POINTS_AT_ONCE):
        part = slice(start, start + POINTS_AT_ONCE)
        around = np.stack([column[index[part]] for column in columns]).astype(np.float64)
        noise[part] = _disagreement((around - around[:, :, :1]).astype(np.float32))
    return noise


def _disagreement(around: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n,) of the points (3, n, k) around each of n, relative to one of them."""
    estimates = [_voted_normal(around, positions) for positions in drawn_positions(around.shape[2])]
    pairs = [np.abs((estimate * other).sum(axis=0)) for estimate, other in combinations(estimates, 2)]
    spanned = np.all([estimate.any(axis=0) for estimate in estimates], axis=0)
    noise: NDArray[np.float32] = np.clip((1 - np.mean(pairs, axis=0)) / (1 - LOWEST), 0, 1)
    return np.where(spanned, noise, np.float32(0))


@cache
def drawn_positions(count: int) -> Indices:
    """Return (5, 24, 3) positions in lists of neighbours of this length: three different ones a plane, the same in every call."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(count, 3, replace=False) for _ in range(ESTIMATES * PLANES)]
    return np.array(draws, np.int64).reshape(ESTIMATES, PLANES, 3)


def _voted_normal(around: NDArray[np.float32], positions: Indices) -> NDArray[np.float32]:
    """Return (3, n) mean normal of the largest group of like planes; 0 where all planes are degenerate."""
    normals = _plane_normals(*(around[:, :, positions[:, number]] for number in range(3)))
    x, y, z = normals
    cosines = x[:, :, None] * x[:, None]  # (n, planes, planes)
    cosines += y[:, :, None] * y[:, None]
    cosines += z[:, :, None] * z[:, None]
    largest = np.count_nonzero(np.abs(cosines) > SAME_COSINE, axis=2).argmax(axis=1)
    with_largest = cosines[np.arange(len(cosines)), largest]
    weights = np.where(np.abs(with_largest) > SAME_COSINE, np.sign(with_largest), np.float32(0))
    return _unit((normals * weights).sum(axis=2))


def _plane_normals(
    corner: NDArray[np.float32], second: NDArray[np.float32], third: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return unit normals (3, n, planes) of the planes through three points each; 0 if the three points are on a line."""
    ax, ay, az = second - corner
    bx, by, bz = third - corner
    return _unit(np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (3, …) scaled to length 1; vectors of length 0 stay unchanged."""
    length = np.sqrt((vectors * vectors).sum(axis=0))
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def decimate(xyz: Floats, voxel_m: float = 0.1, source: str = "points in memory") -> Indices:
    """Return the points (V,) nearest to the middles of voxels, which count from coordinate 0, in their order. Raises
    InputError for coordinates too far apart. Memory: 60 bytes a point."""
    low, high = (np.floor(limit(xyz, axis=0) / voxel_m) for limit in (np.min, np.max))
    sizes = [int(side) + 1 for side in high - low]
    if math.prod(sizes) > MAX_VOXELS:
        raise InputError(
            f"{source}: the points lie within {' x '.join(f'{side * voxel_m:,.0f}' for side in sizes)} m, too far apart for "
            f"voxels of {voxel_m} m. Remove points with wrong coordinates, or choose larger voxels."
        )
    number, distance = np.zeros(len(xyz), np.int64), np.zeros(len(xyz))
    for axis in range(3):
        position = xyz[:, axis] / voxel_m
        corner = np.floor(position)
        number = number * sizes[axis] + (corner - low[axis]).astype(np.int64)
        distance += (position - corner - 0.5) ** 2
    order = np.lexsort((distance, number))  # stable: of equal ones the first
    number = number[order]
    return order[np.append(True, number[1:] != number[:-1])]
