"""Triangles over points by Open3D (extra `open3d`): ball pivoting, whose corners are the points, and Poisson's closed surface near them.

Both compute in float32 or suffer from large coordinates: give positions relative to a corner nearby. Source: Bernardini et al. 1999; Kazhdan
and Hoppe 2013."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Vectors
from deepnets4eo.errors import MissingExtraError
from deepnets4eo.lazy import name_missing_extra

MIN_TRIANGLE_POINTS = 3  # points that span a triangle
SLACK = 1.1  # side of Poisson's cube by that of the points
SHALLOWEST, DEEPEST = 5, 12  # halvings of the cube


def import_open3d() -> Any:
    """Return the package. Raises MissingExtraError, which names the extra or the libraries of the system."""
    try:
        with name_missing_extra():
            import open3d
    except (MissingExtraError, ModuleNotFoundError):
        raise
    except (ImportError, OSError) as error:  # of a library of the system
        raise MissingExtraError(
            f"Open3D is installed, but cannot be imported: {error}. On Debian and Ubuntu: apt-get install libegl1 libgl1 libgomp1 "
            "libusb-1.0-0 libx11-6."
        ) from error
    return open3d


def ball_pivoting(points: NDArray[np.floating], normals: Vectors, radii_m: Sequence[float]) -> NDArray[np.int32]:
    """Return the triangles (F, 3) that balls of these radii rest on when they roll over points (V, 3), on the side of their normals."""
    o3d = import_open3d()
    if len(points) < MIN_TRIANGLE_POINTS:
        return np.zeros((0, 3), np.int32)
    mesh = o3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(
        _with_normals(o3d, points, normals), o3d.utility.DoubleVector(list(radii_m))
    )
    return np.asarray(mesh.triangles, np.int32).reshape(-1, 3)


def poisson(
    points: NDArray[np.floating], normals: Vectors, cell_m: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return vertices (W, 3) and triangles (F, 3) of the surface that fits these normals best, in cells of side `cell_m`.

    The surface closes gaps of any size: remove the parts that lie far from the points.
    """
    o3d = import_open3d()
    if len(points) < MIN_TRIANGLE_POINTS:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    side_m = SLACK * float(np.ptp(points, axis=0).max())
    depth = min(max(math.ceil(math.log2(max(side_m / cell_m, 1))), SHALLOWEST), DEEPEST)
    mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        _with_normals(o3d, points, normals), depth=depth, scale=SLACK, n_threads=1
    )  # one thread: the same triangles every time
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.triangles, np.int32)


def upward(normals: Vectors) -> Vectors:
    """Return normals (V, 3) on the side of the sky, which aerial scans see."""
    return normals * np.where(normals[:, 2:] < 0, -1, 1)


def _with_normals(o3d: Any, points: NDArray[np.floating], normals: Vectors) -> Any:
    """Return the points and normals as an Open3D point cloud."""
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.astype(np.float64)))
    cloud.normals = o3d.utility.Vector3dVector(normals.astype(np.float64))
    return cloud
