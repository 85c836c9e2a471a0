"""Faces over points: squares along the surface at each point, or triangles over the points seen from above.

Takes points in metres; triangles with edges or angles beyond the limits are left out, so that gaps stay open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Vectors
from deepnets4eo.errors import InputError

SPLAT = (
    0.65  # half side by the spacing: leaves 1 % of a plane open where points are decimated; larger ones hide each other
)
HALVES = np.array([[[-1, -1], [1, -1], [1, 1]], [[-1, -1], [1, 1], [-1, 1]]], np.float32)


def splats(
    points: NDArray[np.floating], normal: Vectors, spacing_m: NDArray[np.floating], max_edge_m: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Make a square of two triangles at each point, along the surface: faces (2V, 3), each three times its point, and
    corners (2V, 3, 3) in metres. The half side is 0.65 of the spacing, the diagonal at most `max_edge_m`.

    >>> faces, corners = splats(np.zeros((1, 3)), np.array([[0, 0, 1]], np.float32), np.array([1.0]), 2)
    >>> faces.tolist(), np.rint(corners[0, 0] * 100).tolist()
    ([[0, 0, 0], [0, 0, 0]], [-65.0, -65.0, 0.0])
    """
    half = np.minimum(SPLAT * spacing_m, max_edge_m / np.sqrt(8)).astype(np.float32)
    first, second = (half[:, None] * tangent for tangent in _tangents(normal))
    sides = HALVES[None, :, :, 0, None] * first[:, None, None] + HALVES[None, :, :, 1, None] * second[:, None, None]
    corners = (sides + points.astype(np.float32)[:, None, None]).reshape(-1, 3, 3)
    faces = np.arange(len(points), dtype=np.int32).repeat(6).reshape(-1, 3)
    return faces, corners


def _tangents(normal: Vectors) -> tuple[Vectors, Vectors]:
    """Two directions (V, 3) across each normal; without a branch (Duff et al. 2017, JCGT 6(1))."""
    x, y, z = normal.T
    sign = np.where(z < 0, np.float32(-1), np.float32(1))
    a = -1 / (sign + z)
    b = x * y * a
    return (
        np.stack([1 + sign * x * x * a, sign * b, -sign * x], axis=1),
        np.stack([b, sign + y * y * a, -y], axis=1),
    )


def triangles_from_above(
    points: NDArray[np.floating],
    cell_m: float,
    *,
    max_edge_m: float,
    min_angle_deg: float = 0,
    max_angle_deg: float = 180,
) -> NDArray[np.int32]:
    """Join the points that are seen from above to Delaunay triangles (F, 3), counterclockwise. Only the highest point
    of a square cell of `cell_m` is used, since lower ones on walls and under crowns would make needles. Raises
    InputError for points that span no triangle.

    >>> square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    >>> triangles_from_above(square, 0.1, max_edge_m=2).shape
    (2, 3)
    """
    from scipy.spatial import Delaunay, QhullError

    top = highest(points, cell_m)
    try:
        found_triangles = Delaunay(points[top, :2].astype(np.float64)).simplices
    except (QhullError, ValueError) as error:
        raise InputError(
            f"{len(top):,} points seen from above span no triangle; expected three or more that do not lie on a line. "
            "Use the mesh of splats."
        ) from error
    faces = top[found_triangles].astype(np.int32)
    return faces[within_limits(points[faces], max_edge_m, min_angle_deg, max_angle_deg)]


def highest(points: NDArray[np.floating], cell_m: float) -> NDArray[np.int64]:
    """Numbers (n,) of the highest point above each square cell of a side in metres that has any."""
    cells = np.floor((points[:, :2] - points[:, :2].min(axis=0)) / cell_m).astype(np.int64)
    number = cells[:, 0] * (int(cells[:, 1].max()) + 1) + cells[:, 1]
    order = np.lexsort((points[:, 2], number))
    last = np.append(np.diff(number[order]) > 0, True)
    return order[last]


def within_limits(
    corners: NDArray[np.floating], max_edge_m: float, min_angle_deg: float = 0, max_angle_deg: float = 180
) -> NDArray[np.bool_]:
    """Whether the edges and angles of triangles (F, 3, 3) are within limits; (F,) bool.

    >>> within_limits(np.array([[[0, 0, 0], [3, 0, 0], [0, 4, 0.0]]]), 5, 36, 91).tolist()
    [True]
    """
    edges = corners[:, (1, 2, 0)] - corners
    length: Floats = np.sqrt(np.einsum("fec,fec->fe", edges, edges, dtype=np.float64))
    kept: NDArray[np.bool_] = length.max(axis=1) <= max_edge_m
    if min_angle_deg > 0 or max_angle_deg < 180:
        dot = -np.einsum("fec,fec->fe", edges, edges[:, (2, 0, 1)], dtype=np.float64)
        product = np.maximum(length * length[:, (2, 0, 1)], np.finfo(np.float64).tiny)
        angle = np.degrees(np.arccos(np.clip(dot / product, -1, 1)))
        kept &= (angle.min(axis=1) >= min_angle_deg) & (angle.max(axis=1) <= max_angle_deg)
    return kept
