"""All features of points in one table: of spheres, of cylinders, of the point itself, and its height above ground.

Takes a cloud and options; the columns are those of `feature_names`. Memory: 4 bytes a value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.features.eigenfeatures import neighbourhood_features
from deepnets4eo.points.features.neighbourhoods import Neighbours, Voxels, for_all_blocks, voxelise
from deepnets4eo.points.features.options import NEEDS, FeatureOptions

COLUMNS_PER_RADIUS = 2.5  # about 20 columns a cylinder
LOWEST_COLUMNS_PER_RADIUS = 10.0  # about 300: of wide cylinders, the edge of which must not be coarse


def point_features(
    cloud: PointCloud, options: FeatureOptions | None = None, *, workers: int | None = None
) -> NDArray[np.float32]:
    """Return all features of points.

    Parameters
    ----------
    cloud : N points
    options : scales and measurements
    workers : threads, by default one a core; the values do not depend on them

    Returns
    -------
    (N, F) float32, finite; the columns of `feature_names`. 0 at withheld points and noise, which take no part.

    Raises
    ------
    InputError
        A measurement is missing or not finite, or the cloud is too wide for its voxels.

    Examples
    --------
    >>> point_features(PointCloud(np.eye(3)), FeatureOptions(measured=(), above_ground=False)).shape
    (3, 62)
    """
    chosen = options or FeatureOptions()
    return at_counted(cloud, lambda counted: _features(counted, chosen, workers), 0)


def _features(cloud: PointCloud, options: FeatureOptions, workers: int | None) -> NDArray[np.float32]:
    parts = [neighbourhood_features(cloud, options, workers=workers)]
    parts += [column_features(cloud, radius, workers) for radius in options.cylinder_radii_m]
    if options.lowest_radius_m:
        parts.append(heights_above_lowest(cloud, options.lowest_radius_m, workers))
    for group in options.measured:
        parts += [np.asarray(getattr(cloud, name), np.float32).reshape(len(cloud), -1) for name in NEEDS[group]]
    if options.above_ground:
        from deepnets4eo.points.ground import heights_above_ground

        parts.append(heights_above_ground(cloud).reshape(-1, 1))
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def column_features(cloud: PointCloud, radius: float, workers: int | None = None) -> NDArray[np.float32]:
    """Return (N, 5) float32 for cylinders of `radius` metres: range and standard deviation of the heights, the point's
    height above the lowest and below the highest, and points a square metre; 0 at points that do not count. Raises
    InputError where the cloud is too wide for columns of radius / 2.5."""
    return at_counted(cloud, lambda counted: _column_features(counted, radius, workers), 0)


def _column_features(cloud: PointCloud, radius: float, workers: int | None) -> NDArray[np.float32]:
    heights, columns = _columns(cloud, radius / COLUMNS_PER_RADIUS)
    lowest, negated = _lowest(columns, heights), _lowest(columns, -heights)
    sums = np.stack([columns.count, columns.total(heights), columns.total(heights * heights)], axis=1)

    def of_block(near: Neighbours) -> Floats:
        total = near.sums(sums[near.index])
        count, mean = total[:, 0], total[:, 1] / total[:, 0]
        std = np.sqrt(np.maximum(total[:, 2] / count - mean * mean, 0))
        low, high = near.lowest(lowest[near.index]), -near.lowest(negated[near.index])
        return np.stack([low, high, std, count / (np.pi * radius**2)], axis=1)

    low, high, std, density = for_all_blocks(columns.centres, radius, 4, of_block, workers)[columns.voxel].T
    own = heights.astype(np.float32)
    return np.stack([high - low, std, own - low, high - own, density], axis=1)


def heights_above_lowest(cloud: PointCloud, radius: float, workers: int | None = None) -> NDArray[np.float32]:
    """Return the heights (N, 1) float32 in metres above the lowest point within `radius` metres, 0 at points that do
    not count: water lies lowest in its surroundings. Raises InputError where the cloud is too wide for columns of
    radius / 10."""
    return at_counted(cloud, lambda counted: _above_lowest(counted, radius, workers), 0)


def _above_lowest(cloud: PointCloud, radius: float, workers: int | None) -> NDArray[np.float32]:
    heights, columns = _columns(cloud, radius / LOWEST_COLUMNS_PER_RADIUS)
    lowest = _lowest(columns, heights)

    def of_block(near: Neighbours) -> Floats:
        return near.lowest(lowest[near.index])[:, np.newaxis]

    low = for_all_blocks(columns.centres, radius, 1, of_block, workers)[columns.voxel]
    return heights[:, np.newaxis].astype(np.float32) - low


def _columns(cloud: PointCloud, side: float) -> tuple[Floats, Voxels]:
    """(N,) heights above the cloud's lowest point, and the points in square columns of `side` metres."""
    return cloud.xyz[:, 2] - cloud.xyz[:, 2].min(), voxelise(cloud.xyz[:, :2], side, cloud.source)


def _lowest(columns: Voxels, heights: Floats) -> Floats:
    """(V,) the least height of the points of each column."""
    lowest = np.full(len(columns), np.inf)
    np.minimum.at(lowest, columns.voxel, heights)
    return lowest
