"""What the points around each point say of the surface there: its normal, how upright it is, how rough.

Takes points in metres near their origin; blocks bound the memory, threads share them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Vectors
from deepnets4eo.points.views.near_vertices import LISTED
from deepnets4eo.points.views.normal_agreement import normal_disagreement
from deepnets4eo.rasters.prefetch import in_order

NoiseKind = Literal["variances", "normals"]

BLOCK = 1 << 14
FEWEST = 3  # points that make a plane
RANK_ONE = 1e-7  # length of a cross product by the square of the largest variance: points on a line have no normal
SPACING_RANK = 4  # on a square lattice the fourth nearest point is as far away as the first


class Attributes(NamedTuple):
    """Of each of V points.

    Parameters
    ----------
    normal
        (V, 3) float32, length 1, of either sign; upwards where fewer than 3 points make no plane.
    verticality
        (V,) float32: the angle between normal and vertical by 90°, acos|n_z| / (π/2); 0 flat, 1 upright.
    noise
        (V,) float32: smallest by largest variance of the points around, λ3 / λ1, as the papers of SnapNet describe it; 0 on
        planes and lines, 1 where the points spread evenly. Or what the public code measures, `normal_disagreement`.
    spacing_m
        (V,) float32, distance to the fourth nearest point, or the farthest where there are fewer.
    around
        (V, k) int32, the nearest points of each, itself included, the nearest first; at most 16.
    distance_m
        (V, k) float32, how far they are away.
    """

    normal: Vectors
    verticality: NDArray[np.float32]
    noise: NDArray[np.float32]
    spacing_m: NDArray[np.float32]
    around: NDArray[np.int32]
    distance_m: NDArray[np.float32]


def surface_attributes(
    points: NDArray[np.floating], neighbours: int = 16, noise: NoiseKind = "variances"
) -> Attributes:
    """Estimate normals and roughness from the nearest points around each, by their principal axes.

    Parameters
    ----------
    points
        (V, 3) metres; quick where points that follow each other lie near each other, as `decimate` orders them.
    neighbours
        How many points are used, the point itself included.
    noise
        How noise is measured: by "variances", or by the agreement of estimated "normals".

    Returns
    -------
    The attributes of each point.

    Memory: 200 bytes a point, and a few MiB a thread.

    >>> flat = np.column_stack([*np.divmod(np.arange(100.0), 10), np.zeros(100)])
    >>> attributes = surface_attributes(flat)
    >>> float(attributes.verticality.max()), float(attributes.noise.max().round(9)), float(attributes.spacing_m[55])
    (0.0, 0.0, 1.0)
    """
    from scipy.spatial import cKDTree

    count = min(neighbours, len(points))
    tree = cKDTree(points, balanced_tree=False, compact_nodes=True)
    columns = np.ascontiguousarray(points.T)
    listed = min(count, LISTED)
    made = Attributes(
        normal=np.zeros((len(points), 3), np.float32),
        verticality=np.zeros(len(points), np.float32),
        noise=np.zeros(len(points), np.float32),
        spacing_m=np.zeros(len(points), np.float32),
        around=np.zeros((len(points), listed), np.int32),
        distance_m=np.zeros((len(points), listed), np.float32),
    )
    made.normal[:, 2] = 1

    def fill(start: int) -> None:
        part = slice(start, start + BLOCK)
        distance, index = (values.reshape(-1, count) for values in tree.query(tree.data[part], count))
        made.spacing_m[part] = distance[:, min(SPACING_RANK, count - 1)]
        made.around[part], made.distance_m[part] = index[:, :listed], distance[:, :listed]
        if count >= FEWEST:
            variances, normal = principal_axes(_covariances(columns, index))
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
    """(6, n) float64: xx, yy, zz, xy, xz, yz of the points of each row of an index (n, k)."""
    around = [column[index].astype(np.float64, copy=False) for column in columns]
    for values in around:
        values -= values.mean(axis=1, keepdims=True)
    x, y, z = around
    pairs = ((x, x), (y, y), (z, z), (x, y), (x, z), (y, z))
    return np.stack([np.einsum("nk,nk->n", first, second) for first, second in pairs]) / index.shape[1]


def principal_axes(covariances: Floats) -> tuple[Floats, Floats]:
    """Variances along the principal axes of symmetric 3 x 3 matrices, and the axis of the least.

    Parameters
    ----------
    covariances
        (6, n) float64: xx, yy, zz, xy, xz, yz.

    Returns
    -------
    (n, 3) float64 variances, ascending, none below 0; (n, 3) float64 axes of length 1, upwards where all are equal.

    The roots of the characteristic polynomial by the cosine formula (Smith 1961, CACM 4(4)); the axis is the longest of
    the cross products of rows. About five times as fast as `numpy.linalg.eigh` on stacks of so small matrices.

    >>> variances, axes = principal_axes(np.array([[4.0], [1.0], [2.0], [0.0], [0.0], [0.0]]))
    >>> variances.round(12).tolist(), np.abs(axes).tolist()
    ([[1.0, 2.0, 4.0]], [[0.0, 1.0, 0.0]])
    """
    scale = np.maximum(covariances[:3].max(axis=0), np.finfo(np.float64).tiny)
    xx, yy, zz, xy, xz, yz = covariances / scale
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    spread = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    half_determinant = (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)) / 2
    cube = spread**3
    cosine = np.divide(half_determinant, cube, out=np.ones_like(cube), where=cube > 0)
    angle = np.arccos(np.clip(cosine, -1, 1)) / 3
    largest = mean + 2 * spread * np.cos(angle)
    least = mean + 2 * spread * np.cos(angle + 2 * np.pi / 3)
    variances = np.stack([least, 3 * mean - largest - least, largest], axis=1)
    axes = _axis(xx - least, yy - least, zz - least, xy, xz, yz)
    return np.maximum(variances, 0) * scale[:, None], axes


def _axis(a: Floats, b: Floats, c: Floats, xy: Floats, xz: Floats, yz: Floats) -> Floats:
    """(n, 3) the direction that matrices of rank 2 map to 0: the longest cross product of two of their rows."""
    products = np.stack(
        [
            np.stack([xy * yz - xz * b, xz * xy - a * yz, a * b - xy * xy]),
            np.stack([xy * c - xz * yz, xz * xz - a * c, a * yz - xy * xz]),
            np.stack([b * c - yz * yz, yz * xz - xy * c, xy * yz - b * xz]),
        ]
    )
    squares = (products**2).sum(axis=1)
    longest = squares.argmax(axis=0)
    every = np.arange(len(longest))
    axis, length = products[longest, :, every], np.sqrt(squares[longest, every])
    axis[length < RANK_ONE] = (0, 0, 1)
    length[length < RANK_ONE] = 1
    return axis / length[:, None]
