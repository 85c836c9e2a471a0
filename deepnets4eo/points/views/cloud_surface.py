"""From a cloud to a surface: decimation, normals, noise, height above ground, faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.ground import heights_above_ground
from deepnets4eo.points.views.attributes import surface_attributes
from deepnets4eo.points.views.decimation import decimate_with_voxels
from deepnets4eo.points.views.meshing import splats, triangles_from_above
from deepnets4eo.points.views.near_vertices import NearVertices
from deepnets4eo.points.views.surface import Surface, SurfaceOptions

DEFAULTS = SurfaceOptions()


def make_surface(cloud: PointCloud, options: SurfaceOptions = DEFAULTS) -> Surface:
    """Make a surface of a cloud.

    Parameters
    ----------
    cloud
        N points, e.g. those of a tile and its halo. Withheld points and noise take no part. For training, first leave out
        points without a class, so that none stands for a voxel.
    options
        Voxels, neighbours, faces.

    Returns
    -------
    Up to one vertex for each voxel, with its attributes and the measurements of the point kept; a point that lies in no
    face has no pixel in any view.

    Raises
    ------
    InputError
        No point that counts; coordinates that lie too far apart; for the mesh "delaunay" points that span no triangle.

    Memory: about 40 bytes a point and 480 a vertex.

    Examples
    --------
    >>> cloud = PointCloud(np.random.default_rng(0).uniform(0, 9, (5000, 3)) * (1, 1, 0))
    >>> surface = make_surface(cloud, SurfaceOptions(voxel_m=0.5))
    >>> surface.vertices.shape, surface.faces.shape
    ((324, 3), (648, 3))
    """
    kept, of_point = _decimated(cloud, options.voxel_m)
    part = cloud.subset(kept)
    origin = np.floor(part.xyz.min(axis=0))
    vertices = (part.xyz - origin).astype(np.float32)
    attributes = surface_attributes(vertices, options.neighbours, options.noise)
    corners: NDArray[np.float32] | None = None
    if options.mesh == "splats":
        faces, corners = splats(vertices, attributes.normal, attributes.spacing_m, options.max_edge_m)
    else:
        faces = triangles_from_above(
            vertices, options.voxel_m, max_edge_m=options.max_edge_m, min_angle_deg=options.min_angle_deg,
            max_angle_deg=options.max_angle_deg,
        )  # fmt: skip
        if options.drop_mixed:
            faces = _of_one_class(faces, part)
    return Surface(
        origin=origin,
        vertices=vertices,
        faces=faces,
        point_index=kept,
        verticality=attributes.verticality,
        noise=attributes.noise,
        height_m=heights_above_ground(part, gsd_m=options.ground_gsd_m, max_building_m=options.max_building_m),
        colour=part.colour,
        intensity=part.intensity,
        classes=part.classification,
        corners=corners,
        near=NearVertices(of_point, attributes.around, attributes.distance_m),
    )


def _decimated(cloud: PointCloud, voxel_m: float) -> tuple[Indices, NDArray[np.int32]]:
    """The points that are kept, one of each voxel, and which of them is of the voxel of each point that counts."""
    counted = np.flatnonzero(cloud.counted)
    if not len(counted):
        raise InputError(f"{cloud.source}: no point is left without noise and withheld points. Check its classes")
    kept, of_point = decimate_with_voxels(cloud.xyz[counted], voxel_m, cloud.source)
    return counted[kept], of_point


def _of_one_class(faces: NDArray[np.int32], cloud: PointCloud) -> NDArray[np.int32]:
    if cloud.classification is None:
        raise InputError(f"{cloud.source}: drop_mixed needs classes, but the points have none. Leave drop_mixed out")
    of_corners = cloud.classification[faces]
    return faces[(of_corners == of_corners[:, :1]).all(axis=1)]
