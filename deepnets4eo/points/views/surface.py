"""A surface of triangles over decimated points, with what is known at each of them; what all views are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.options import option_group
from deepnets4eo.points.views.attributes import NoiseKind

SLACK = 1 + 1e-6  # distances of the lists are rounded to float32
MOST_LEFT = 0.85  # share of undecided points from which a shorter table of them costs more than it saves
Search = Callable[[Floats], Indices]  # (n, 3) positions → (n,) nearest vertices by a tree

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


@dataclass(frozen=True, eq=False)
class NearVertices:
    """A vertex near each point (N,), any vertex is right but a far one is slow, and the nearest vertices (V, k) of each
    vertex, itself first, with their distances in metres."""

    of_point: NDArray[np.int32]
    around: NDArray[np.int32]
    distance_m: NDArray[np.float32]

    def nearest(self, vertices: NDArray[np.float32], xyz: Floats, points: slice, search: Search) -> Indices:
        """Find the vertex nearest to each of some of the points (n, 3); `search` answers where the lists do not decide."""
        best = self.of_point[points].astype(np.int64)
        listed = self.around.shape[1]
        first_m = _distances(xyz, vertices.take(best, axis=0))
        left = _Undecided(np.arange(len(xyz)), best * listed, xyz, first_m, first_m.copy())
        for rank in range(1, listed):  # every list begins with the vertex itself
            left = self._without_decided(left, rank, MOST_LEFT)
            other = self.around.take(left.list_start + rank)
            distance = _distances(left.xyz, vertices.take(other, axis=0))
            nearer = np.flatnonzero(distance < left.least_m)
            best[left.row.take(nearer)] = other.take(nearer)
            left.least_m[nearer] = distance.take(nearer)
        left = self._without_decided(left, listed - 1)
        if listed < len(vertices) and len(left.row):
            best[left.row] = search(left.xyz)
        return best

    def _without_decided(self, left: _Undecided, rank: int, most_left: float = 1.0) -> _Undecided:
        """Those for which vertices from a rank on may be nearer; all, where more than a share of them is such."""
        to_vertex_m = self.distance_m.take(left.list_start + rank)
        rows = np.flatnonzero(to_vertex_m < (left.first_m + left.least_m) * SLACK)
        if len(rows) > most_left * len(left.row):
            return left
        return _Undecided._make(values.take(rows, axis=0) for values in left)

    def nearest_known(self, known: Mask) -> Indices:
        """Return for each vertex that is not known the nearest known one in its list, −1 where the list holds none."""
        around = self.around[~known]
        listed = known[around]
        first = listed.argmax(axis=1)
        every = np.arange(len(around))
        return np.where(listed[every, first], around[every, first], -1).astype(np.int64)


class _Undecided(NamedTuple):
    """Points (n,) whose nearest vertex may be another one: row among all, where the list of their first vertex starts,
    position (n, 3), distance of the first vertex, and of the nearest so far."""

    row: Indices
    list_start: Indices
    xyz: Floats
    first_m: Floats
    least_m: Floats


def _distances(xyz: Floats, others: NDArray[np.float32]) -> Floats:
    away = xyz - others
    return np.sqrt(np.einsum("nk,nk->n", away, away))
