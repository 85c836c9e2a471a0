"""All features of points in one table: of spheres, of cylinders, of the point itself, and its height above ground.

Takes a cloud and options; the columns are those of `feature_names`. Memory: 4 bytes a value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.features.columns import column_features, heights_above_lowest
from deepnets4eo.points.features.eigenfeatures import neighbourhood_features
from deepnets4eo.points.features.options import NEEDS, FeatureOptions


def point_features(
    cloud: PointCloud, options: FeatureOptions | None = None, *, workers: int | None = None
) -> NDArray[np.float32]:
    """Return all features of points.

    Parameters
    ----------
    cloud
        N points.
    options
        Scales and measurements.
    workers
        Threads, by default one a core; the values do not depend on them.

    Returns
    -------
    ndarray
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
