"""Surface of triangles over decimated points, with the attributes of each point; the basis of all views.

The neighbours of each point determine its normal, and how upright and how rough the surface is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.options import option_group
from deepnets4eo.points.local_planes import NoiseKind

MeshKind = Literal["splats", "ball_pivoting", "poisson"]


@option_group
class SurfaceOptions:
    """Options for making a surface from a cloud.

    Parameters
    ----------
    voxel_m : side of the voxels, metres; one point per voxel is kept; published 0.1, for aerial scans 0.5
    neighbours : number of points that normal and noise are estimated from; the published 200 are twelve times as slow
    noise
        "variances", smallest by largest variance of these points, as in the papers; "normals", as measured by the public
        code (`normal_disagreement`).
    mesh
        "splats", a small square along the surface at each point; "ball_pivoting", triangles between the points, and "poisson",
        triangles of a smooth surface near them, both by Open3D (extra `open3d`) from normals towards the sky.
    max_edge_m : longest edge of a triangle, and longest diagonal of a splat, metres
    ground_gsd_m, max_building_m : as for `heights_above_ground`, metres
    """

    voxel_m: float = Field(default=0.1, gt=0)
    neighbours: int = Field(default=16, ge=3)
    noise: NoiseKind = "variances"
    mesh: MeshKind = "splats"
    max_edge_m: float = Field(default=2.0, gt=0)
    ground_gsd_m: float = Field(default=1.0, gt=0)
    max_building_m: float = Field(default=50.0, gt=0)


@dataclass(frozen=True, eq=False)
class Surface:
    """Vertices, which are points of a cloud or near them, and faces over them; coordinates are relative to `origin`.

    Parameters
    ----------
    origin : (3,) float64, whole metres in the CRS of the cloud
    vertices : (V, 3) float32, metres east, north and up of the origin
    faces : (F, 3) int32, the vertices whose triangle a face is; for splats three times the same
    point_index : (V,) int64, which point of the cloud each vertex is, or is nearest to
    verticality : (V,) float32, 0 flat to 1 upright
    noise : (V,) float32, 0 on a plane to 1, see `Attributes`
    height_m : (V,) float32, metres above ground
    colour : (V, 3) uint8, red, green, blue
    intensity : (V,) float32
    classes : (V,) uint8, codes of the cloud
    corners : (F, 3, 3) float32, of splats
    """

    origin: Floats
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    point_index: Indices
    verticality: NDArray[np.float32]
    noise: NDArray[np.float32]
    height_m: NDArray[np.float32]
    colour: NDArray[np.uint8] | None = None
    intensity: NDArray[np.float32] | None = None
    classes: NDArray[np.uint8] | None = None
    corners: NDArray[np.float32] | None = None
