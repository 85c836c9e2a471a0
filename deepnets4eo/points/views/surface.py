"""A surface of triangles over decimated points, with what is known at each of them; what all views are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.errors import InputError
from deepnets4eo.options import option_group
from deepnets4eo.points.views.attributes import NoiseKind
from deepnets4eo.points.views.near_vertices import NearVertices

MeshKind = Literal["splats", "delaunay"]


@option_group
class SurfaceOptions:
    """How a surface is made of a cloud.

    Parameters
    ----------
    voxel_m
        Side of the voxels of which one point each is kept, metres; 0.1 as published for terrestrial scans, 0.5 suits
        aerial ones of 5 to 40 points a square metre.
    neighbours
        Points around each that its normal and noise are estimated from; the published 200 are twelve times as slow.
    noise
        "variances", smallest by largest variance of these points, as the papers describe it; "normals", how normals
        estimated from random planes agree, as the public code measures it (`normal_disagreement`).
    mesh
        "splats", a small square along the surface at each point, for any cloud; "delaunay", triangles over the points
        seen from above, for aerial clouds, where walls are closed as far as max_edge_m allows.
    max_edge_m
        Longest edge of a triangle, and longest diagonal of a splat, metres; 2 m is the published search radius.
    min_angle_deg, max_angle_deg
        Smallest and largest angle of a triangle, degrees ("delaunay"); 0 and 180 keep all. Published: 10 and 120.
    drop_mixed
        Whether triangles whose corners are of different classes are left out, as published for training.
    ground_gsd_m
        Side of the cells whose lowest points are filtered for the ground, metres; see `heights_above_ground`.
    max_building_m
        Width of the largest building, metres, for the ground filter.
    """

    voxel_m: float = Field(default=0.1, gt=0)
    neighbours: int = Field(default=16, ge=3)
    noise: NoiseKind = "variances"
    mesh: MeshKind = "splats"
    max_edge_m: float = Field(default=2.0, gt=0)
    min_angle_deg: float = Field(default=0.0, ge=0, lt=60)
    max_angle_deg: float = Field(default=180.0, gt=60, le=180)
    drop_mixed: bool = False
    ground_gsd_m: float = Field(default=1.0, gt=0)
    max_building_m: float = Field(default=50.0, gt=0)


@dataclass(frozen=True, eq=False)
class Surface:
    """Vertices, which are points of a cloud, and faces over them; coordinates are relative to `origin`.

    Parameters
    ----------
    origin
        (3,) float64, whole metres in the CRS of the cloud.
    vertices
        (V, 3) float32, metres east, north and up of the origin.
    faces
        (F, 3) int32, the vertices whose triangle a face is; for splats three times the same.
    point_index
        (V,) int64, which point of the cloud each vertex is.
    verticality
        (V,) float32, 0 where the surface lies flat, 1 where it is upright.
    noise
        (V,) float32, 0 on a plane, 1 where the points around spread evenly in all directions, see `Attributes`.
    height_m
        (V,) float32, metres above ground.
    colour
        (V, 3) uint8, red, green, blue.
    intensity
        (V,) float32, in the units of the cloud.
    classes
        (V,) uint8, codes of the cloud.
    corners
        (F, 3, 3) float32, corners of the faces where these are not the vertices themselves: splats.
    near
        Vertices near the points of the cloud and near each other, by which `to_points` is quicker; None without a cloud.

    Raises
    ------
    InputError
        Faces that name vertices which are not there, or attributes of another length.
    """

    origin: NDArray[np.float64]
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    point_index: NDArray[np.int64]
    verticality: NDArray[np.float32]
    noise: NDArray[np.float32]
    height_m: NDArray[np.float32]
    colour: NDArray[np.uint8] | None = None
    intensity: NDArray[np.float32] | None = None
    classes: NDArray[np.uint8] | None = None
    corners: NDArray[np.float32] | None = None
    near: NearVertices | None = None

    def __post_init__(self) -> None:
        if self.faces.size and not 0 <= int(self.faces.min()) <= int(self.faces.max()) < len(self.vertices):
            raise InputError(
                f"faces name vertices {self.faces.min()} to {self.faces.max()}, but there are {len(self.vertices):,}; "
                "expected numbers from 0 to one less than there are"
            )
        for name in ("point_index", "verticality", "noise", "height_m", "colour", "intensity", "classes"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.vertices):
                raise InputError(
                    f"{len(values):,} values of {name} for {len(self.vertices):,} vertices; expected one each"
                )
        if self.corners is not None and self.corners.shape != (len(self.faces), 3, 3):
            raise InputError(f"corners have the shape {self.corners.shape}; expected ({len(self.faces)}, 3, 3)")

    def triangles(self) -> NDArray[np.float32]:
        """(F, 3, 3) float32: the corners of every face, metres from the origin."""
        return self.vertices[self.faces] if self.corners is None else self.corners
