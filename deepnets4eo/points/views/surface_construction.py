"""From points to a surface: of a cloud, or a depth image."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask, Vectors
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.height_grid import heights_above_ground
from deepnets4eo.points.local_planes import Attributes, decimate, surface_attributes
from deepnets4eo.points.meshes import ball_pivoting, poisson, upward
from deepnets4eo.points.views.camera import Camera
from deepnets4eo.points.views.surface import Surface, SurfaceOptions
from deepnets4eo.system import cores

# half side by the spacing: leaves 1 % of a plane open where points are decimated; larger ones hide each other
SPLAT = 0.65
HALVES = np.array([[[-1, -1], [1, -1], [1, 1]], [[-1, -1], [1, 1], [-1, 1]]], np.float32)

DEFAULTS = SurfaceOptions()
BALLS = (0.75, 1.0, 1.5, 2.0)  # radii by the median spacing; by the voxel, 59 % of IGN LiDAR HD were in no triangle
MAX_BARE_SHARE = 0.25  # of the points; aerial scans with trees leave 11 to 15 % in no triangle
log = logging.getLogger(__name__)

FLOOR_PERCENTILE = 1


def make_surface(cloud: PointCloud, options: SurfaceOptions = DEFAULTS) -> Surface:
    """Make a surface of a cloud.

    Parameters
    ----------
    cloud : N points; withheld points and noise are ignored. For training, remove points without a class first
    options : voxels, neighbours, faces

    Returns
    -------
    A vertex for each voxel, with its attributes and the measurements of the point kept; Poisson's vertices take the measurements of the
    nearest point. Memory: about 60 bytes per point and 350 per vertex; more for the cells of Poisson's method.

    Raises
    ------
    InputError
        No point counts, or the coordinates are too far apart.
    MissingExtraError
        A mesh of triangles is requested without Open3D.

    Examples
    --------
    >>> cloud = PointCloud(np.random.default_rng(0).uniform(0, 9, (5000, 3)) * (1, 1, 0))
    >>> surface = make_surface(cloud, SurfaceOptions(voxel_m=0.5))
    >>> surface.vertices.shape, surface.faces.shape
    ((324, 3), (648, 3))
    """
    counted = np.flatnonzero(cloud.counted)
    if not len(counted):
        raise InputError(f"{cloud.source}: no point is left without noise and withheld points. Check its classes")
    kept = counted[decimate(cloud.xyz[counted], options.voxel_m, cloud.source)]
    part = cloud.subset(kept)
    origin = np.floor(part.xyz.min(axis=0))
    vertices = (part.xyz - origin).astype(np.float32)
    attributes = surface_attributes(vertices, options.neighbours, options.noise)
    height_m = heights_above_ground(part, gsd_m=options.ground_gsd_m, max_building_m=options.max_building_m)
    corners, own = None, np.arange(len(vertices))
    if options.mesh == "splats":
        faces, corners = splats(vertices, attributes.normal, attributes.spacing_m, options.max_edge_m)
    else:
        vertices, faces, own = triangles(vertices, attributes, options)
    return Surface(
        origin=origin,
        vertices=vertices,
        faces=faces,
        point_index=kept[own],
        verticality=attributes.verticality[own],
        noise=attributes.noise[own],
        height_m=height_m[own],
        colour=None if part.colour is None else part.colour[own],
        intensity=None if part.intensity is None else part.intensity[own],
        classes=None if part.classification is None else part.classification[own],
        corners=corners,
    )


def triangles(
    points: NDArray[np.float32], attributes: Attributes, options: SurfaceOptions
) -> tuple[NDArray[np.float32], NDArray[np.int32], Indices]:
    """Return vertices (V, 3), triangles (F, 3) with edges of at most `max_edge_m`, and the point nearest to each vertex.

    Poisson's surface is kept only within half of `max_edge_m` of a point. Balls follow the median spacing
    of the points. Warns if many vertices are in no triangle. Raises MissingExtraError without Open3D.
    """
    from scipy.spatial import cKDTree

    normal, own = upward(attributes.normal), np.arange(len(points))
    if options.mesh == "poisson":
        vertices, faces = poisson(points, normal, options.voxel_m)
        away, nearest = (
            cKDTree(points, balanced_tree=False).query(vertices, workers=cores()) if len(vertices) else ([], [])
        )
        faces = faces[(np.asarray(away) <= options.max_edge_m / 2)[faces].all(axis=1)]
        if len(faces):
            used, position = np.unique(faces, return_inverse=True)
            points, own, faces = vertices[used], nearest[used], position.reshape(-1, 3).astype(np.int32)
    else:
        spacing_m = max(float(np.median(attributes.spacing_m)), options.voxel_m)
        faces = ball_pivoting(points, normal, [radius * spacing_m for radius in BALLS])
    corners = points[faces]
    edges = np.linalg.norm(corners - corners[:, [1, 2, 0]], axis=2)
    faces = faces[(edges <= options.max_edge_m).all(axis=1)]
    bare = 1 - len(np.unique(faces)) / len(points)
    if bare > MAX_BARE_SHARE:
        log.warning(
            "%.0f %% of %s vertices are in no triangle, and no view shows them. Raise surface.max_edge_m or "
            "surface.voxel_m, or set surface.mesh=splats.", 100 * bare, f"{len(points):,}",
        )  # fmt: skip
    return points, faces, own


def splats(
    points: NDArray[np.floating], normal: Vectors, spacing_m: NDArray[np.floating], max_edge_m: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Make a square of two triangles at each point, along the surface; the diagonal is at most `max_edge_m`.

    Returns faces (2V, 3), each three times its point, and corners (2V, 3, 3) in metres.
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
    return (np.stack([1 + sign * x * x * a, sign * b, -sign * x], axis=1), np.stack([b, sign + y * y * a, -y], axis=1))


def surface_of_depth(
    depth_m: NDArray[np.floating],
    intrinsics: tuple[float, float, float, float],
    *,
    pose: NDArray[np.floating] = Camera.level,
    colour: NDArray[np.uint8] | None = None,
    classes: NDArray[np.uint8] | None = None,
    jump: float = 0.05,
) -> Surface:
    """Make a surface of a depth image (h, w) in metres (0, NaN, inf: unknown), with a vertex for each known pixel.

    Triangles join neighbours whose depths differ by at most the share `jump`. Heights are above the lowest hundredth.
    """
    known = np.isfinite(depth_m) & (depth_m > 0)
    fx, fy, cx, cy = intrinsics
    rows, columns = np.nonzero(known)
    forward = depth_m[known].astype(np.float64)
    inside = np.column_stack([(columns - cx) / fx * forward, (rows - cy) / fy * forward, forward])
    points = inside @ np.asarray(pose, np.float64)[:3, :3].T + np.asarray(pose, np.float64)[:3, 3]
    vertices = points.astype(np.float32)
    attributes, faces = surface_attributes(vertices), _faces(known)
    of_corners = forward[faces]
    near = of_corners.min(axis=1)
    return Surface(
        origin=np.zeros(3),
        vertices=vertices,
        faces=faces[of_corners.max(axis=1) - near <= jump * near],
        point_index=np.flatnonzero(known),
        verticality=attributes.verticality,
        noise=attributes.noise,
        height_m=(points[:, 2] - np.percentile(points[:, 2], FLOOR_PERCENTILE)).astype(np.float32),
        colour=None if colour is None else np.ascontiguousarray(colour[:, known].T),
        classes=None if classes is None else classes[known],
    )


def _faces(known: Mask) -> NDArray[np.int32]:
    """Return (F, 3) int32: two triangles between four pixels, where their corners are known, counted over the known pixels."""
    number = np.where(known, np.cumsum(known).reshape(known.shape) - 1, -1).astype(np.int32)
    upper_left, upper_right = number[:-1, :-1], number[:-1, 1:]
    lower_left, lower_right = number[1:, :-1], number[1:, 1:]
    halves = ((upper_left, lower_left, upper_right), (upper_right, lower_left, lower_right))
    faces = np.concatenate([np.stack(half, axis=-1).reshape(-1, 3) for half in halves])
    return faces[(faces >= 0).all(axis=1)]
