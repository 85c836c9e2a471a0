"""Roofs before the event as triangles, by ball pivoting over the points under an outline (extra `open3d`), for CityJSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.local_planes import decimate, surface_attributes
from deepnets4eo.points.meshes import ball_pivoting, upward
from deepnets4eo.points.rubble.surfaces import Heights

if TYPE_CHECKING:
    import geopandas as gpd

DENSE_M2 = 4.0  # points a square metre of outline from which a roof is more than its prism
ROOF_SHARE = 0.5  # of the mean height above the terrain, from which a point is of the roof
VOXEL_M = 0.5  # a point each is a corner
RADII_M = (0.5, 0.75, 1.0, 1.5)


class Roof(NamedTuple):
    """Corners (V, 3) in the coordinates of the heights, and triangles (F, 3), counterclockwise from above."""

    corners: Floats
    faces: NDArray[np.int32]

    @property
    def area_m2(self) -> float:
        """The sum of the triangles, along the roof."""
        a, b, c = self.corners[self.faces].swapaxes(0, 1)
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def roofs_before(heights: Heights, buildings: gpd.GeoDataFrame) -> dict[str, Roof]:
    """Return the roof of each building, by id, that has at least 4 points a square metre and a known height.

    Parameters
    ----------
    heights : points before the event
    buildings : with the columns of `MEANING`, in the coordinates of the heights

    Memory: one chunk, and 32 bytes a point on a roof. Raises MissingExtraError without Open3D.
    """
    parts = [roof_points(cloud, buildings) for cloud in heights.chunks()]
    row, xyz = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(row, kind="stable")
    ends = np.searchsorted(row[order], np.arange(len(buildings) + 1))
    roofs = {}
    for number, (name, area) in enumerate(zip(buildings["id"], buildings.area, strict=True)):
        points = xyz[order[ends[number] : ends[number + 1]]]
        if len(points) >= max(DENSE_M2 * area, 1) and len((roof := make_roof(points)).faces):
            roofs[str(name)] = roof
    return roofs


def roof_points(cloud: PointCloud, buildings: gpd.GeoDataFrame) -> tuple[NDArray[np.int64], Floats]:
    """Return the row of the building (P,) and the coordinates (P, 3) of the points of a cloud that are on a roof."""
    used = cloud.counted
    if cloud.classification is not None and cloud.asprs:
        used = used & ~np.isin(cloud.classification, PointCloud.vegetation_codes)
    left, bottom, right, top = buildings.total_bounds
    x, y, _ = cloud.xyz.T
    near = np.flatnonzero(used & (x >= left) & (x <= right) & (y >= bottom) & (y <= top))
    tree = shapely.STRtree(buildings.geometry.to_numpy())
    point, row = tree.query(shapely.points(cloud.xyz[near, :2]), predicate="intersects")
    lowest = (buildings["terrain_m"] + ROOF_SHARE * buildings["height_pre_m"]).to_numpy(float)[row]
    high = cloud.xyz[near[point], 2] >= lowest  # never where one of them is unknown
    return row[high].astype(np.int64), cloud.xyz[near[point[high]]]


def make_roof(points: Floats) -> Roof:
    """Return the triangles between points (P, 3) of a roof, one of each voxel of 0.5 m."""
    corners = points[decimate(points, VOXEL_M)]
    local = (corners - corners.mean(axis=0)).astype(np.float32)
    return Roof(corners, ball_pivoting(local, upward(surface_attributes(local).normal), RADII_M))
