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
from deepnets4eo.prefetch import in_order

NoiseKind = Literal["variances", "normals"]

BLOCK = 1 << 14
FEWEST = 3  # points that make a plane
RANK_ONE = 1e-7  # length of a cross product by the square of the largest variance: points on a line have no normal
SPACING_RANK = 4  # on a square lattice the fourth nearest point is as far away as the first


class Attributes(NamedTuple):
    """Attributes of V points: unit normal (V, 3) of either sign, verticality 0 flat to 1 upright, noise λ3 / λ1 (or
    `normal_disagreement`), distance to the fourth nearest point, and the at most 16 nearest points, itself first,
    with their distances in metres."""

    normal: Vectors
    verticality: NDArray[np.float32]
    noise: NDArray[np.float32]
    spacing_m: NDArray[np.float32]
    around: NDArray[np.int32]
    distance_m: NDArray[np.float32]


def surface_attributes(
    points: NDArray[np.floating], neighbours: int = 16, noise: NoiseKind = "variances"
) -> Attributes:
    """Estimate normals and roughness of points (V, 3) by the principal axes of the nearest points around each; quick
    where points that follow each other lie near each other. Memory: 200 bytes a point, and a few MiB a thread.

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
    """Return ascending variances (n, 3) along the principal axes of symmetric 3 x 3 matrices (6, n: xx, yy, zz, xy, xz,
    yz), and the unit axes (n, 3) of the least. By the cosine formula (Smith 1961, CACM 4(4)), about five times as
    fast as `numpy.linalg.eigh` on such stacks.

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
