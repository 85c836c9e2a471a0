"""Features of points in one table: of neighbours at several scales, of cylinders, of the point itself, height above ground.

The neighbourhoods are spheres of growing radius, in a cloud thinned to a fixed number of voxels per radius.

They follow Thomas et al. (2018, "Semantic classification of 3D point clouds with multiscale spherical neighborhoods").

Features of shape follow Weinmann et al. (2015) and Demantké et al. (2011). All points of a voxel share the
features of its mean.

Memory: the result, and about 200 bytes per point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.features.neighbourhoods import Neighbours, Voxels, for_all_blocks, voxelise
from deepnets4eo.points.features.options import FeatureNames, FeatureOptions

COLUMNS_PER_RADIUS = 2.5  # about 20 columns a cylinder
LOWEST_COLUMNS_PER_RADIUS = 10.0  # about 300: of wide cylinders, the edge of which must not be coarse

TINY = 1e-12  # square metres; a spread below a micrometre is none
MIN_GAP = 1e-6  # between two eigenvalues, as a share of the largest
ENTRIES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # entries of a covariance


def neighbourhood_features(
    cloud: PointCloud, options: FeatureOptions, workers: int | None = None
) -> NDArray[np.float32]:
    """Return features (N, F) float32 of the spheres around points, one radius after the other; 0 with fewer than two
    voxels in the sphere.

    Errors: InputError for missing measurements or too wide a cloud.
    """
    measured, cells = measured_values(cloud, options), options.cells_per_radius
    return np.concatenate(
        [scale_features(cloud, radius, cells, measured, workers) for radius in options.radii_m], axis=1
    )


def scale_features(
    cloud: PointCloud, radius: float, cells_per_radius: float, measured: Sequence[Floats], workers: int | None
) -> NDArray[np.float32]:
    """Return (N, F) float32 features of the spheres of one radius: `GEOMETRY`, then mean and deviation of the
    measurements (N,)."""
    voxels = voxelise(cloud.xyz, radius / cells_per_radius, cloud.source)
    centres = voxels.centres - voxels.centres.mean(axis=0)
    sums = np.stack(
        [voxels.count, *(voxels.total(power) for values in measured for power in (values, values * values))], axis=1
    )

    def of_block(near: Neighbours) -> Floats:
        points = centres[near.index]
        points -= points[: near.cores].mean(axis=0)
        products = np.stack([points[:, i] * points[:, j] for i, j in ENTRIES], axis=1)
        ones = np.ones((len(points), 1))
        total = near.sums(np.concatenate([ones, points, products, sums[near.index]], axis=1))
        geometry = _geometry(total[:, 0], total[:, 1:4].T, total[:, 4:10].T, points[: near.cores].T)
        density = total[:, 10] / (4 / 3 * np.pi * radius**3)
        return np.stack([*geometry, density, *_means(total[:, 10], total[:, 11:].T)], axis=1)

    features = for_all_blocks(centres, radius, len(FeatureNames.geometry) + 2 * len(measured), of_block, workers)
    return features[voxels.voxel]


def measured_values(cloud: PointCloud, options: FeatureOptions) -> list[Floats]:
    """Return (N,) values of each measurement whose means are features. Errors: InputError if one is missing or not finite."""
    for name in options.needs:
        values = getattr(cloud, name)
        if values is None:
            raise InputError(
                f"{cloud.source} has no {name}, which the features need. Leave it out of measured, or add it to the cloud."
            )
        if not np.isfinite(values).all():
            raise InputError(
                f"{cloud.source} has a {name} that is not finite at {int((~np.isfinite(values)).sum()):,} points. Leave it out of "
                "measured."
            )
    return [measurement for group in options.measured for measurement in _values(cloud, group)]


def _values(cloud: PointCloud, group: str) -> Iterator[Floats]:
    """Yield the values of one of `MEANS`, in its order."""
    first, *others = (np.asarray(getattr(cloud, name), np.float64) for name in FeatureNames.needs[group])
    if group == "returns":
        yield first / np.maximum(others[0], 1)
    else:
        yield from np.atleast_2d(first.T)


def _geometry(count: Floats, total: Floats, products: Floats, centre: Floats) -> list[Floats]:
    """Return the features `SHAPES`, `MOMENTS` and `ratio_2d`, each (M,), from sums over neighbours."""
    mean = total / count
    covariance = np.stack([products[k] / count - mean[i] * mean[j] for k, (i, j) in enumerate(ENTRIES)])
    values, vectors = eigen_3x3(covariance)
    known = values[0] > TINY
    offset = mean - centre
    along = np.abs((vectors * offset).sum(axis=1))
    squared = products[5] / count - 2 * centre[2] * mean[2] + centre[2] ** 2
    shapes = _shapes(values, known)
    apart = -np.diff(values, axis=0) > MIN_GAP * values[0]  # else rounding decides where an axis points
    tilts = [
        np.where(known & apart[1], 1 - np.abs(vectors[2, 2]), 0),
        np.where(known & apart[0], np.abs(vectors[0, 2]), 0),
    ]
    return [*shapes, *tilts, *along, offset[2], squared, _ratio_2d(covariance)]


def _shapes(values: Floats, known: Mask) -> list[Floats]:
    l1, l2, l3 = values
    total = values.sum(axis=0)
    largest = np.where(known, l1, 1)
    shares = np.where(known, values / np.where(known, total, 1), 0)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=0)
    ratios = [(l1 - l2) / largest, (l2 - l3) / largest, l3 / largest, np.cbrt(shares.prod(axis=0)), (l1 - l3) / largest]
    return [np.where(known, ratio, 0) for ratio in ratios] + [entropy, total, shares[2]]


def _ratio_2d(covariance: Floats) -> Floats:
    """Return the ratio of the smaller to the larger eigenvalue of x and y; 0 if both are 0."""
    xx, xy, _, yy, _, _ = covariance
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return np.where(middle > TINY, np.maximum(middle - half, 0) / np.maximum(middle + half, TINY), 0)


def _means(count: Floats, sums: Floats) -> Iterator[Floats]:
    """Mean and standard deviation of each measurement, from sums of values and of their squares."""
    for first, second in zip(sums[::2], sums[1::2], strict=True):
        mean = first / count
        yield mean
        yield np.sqrt(np.maximum(second / count - mean * mean, 0))


def eigen_3x3(entries: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues (3, M), descending and at least 0, and unit eigenvectors (3, 3, M) of symmetric, positive
    semi-definite matrices (6, M): xx, xy, xz, yy, yz, zz."""
    values, vectors = np.linalg.eigh(entries[[0, 1, 2, 1, 3, 4, 2, 4, 5]].T.reshape(-1, 3, 3))
    descending = np.ascontiguousarray(values[:, ::-1].T), np.ascontiguousarray(vectors[:, :, ::-1].transpose(2, 1, 0))
    return np.maximum(descending[0], 0), descending[1]


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
    parts = [neighbourhood_features(cloud, options, workers)]
    parts += [column_features(cloud, radius, workers) for radius in options.cylinder_radii_m]
    if options.lowest_radius_m:
        parts.append(heights_above_lowest(cloud, options.lowest_radius_m, workers))
    for group in options.measured:
        parts += [
            np.asarray(getattr(cloud, name), np.float32).reshape(len(cloud), -1) for name in FeatureNames.needs[group]
        ]
    if options.above_ground:
        from deepnets4eo.points.height_grid import heights_above_ground

        parts.append(heights_above_ground(cloud).reshape(-1, 1))
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def column_features(cloud: PointCloud, radius: float, workers: int | None = None) -> NDArray[np.float32]:
    """Return (N, 5) float32 for cylinders of `radius` metres: range and standard deviation of the heights, the point's
    height above the lowest and below the highest, and points a square metre."""
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
    """Return the heights (N, 1) float32 in metres above the lowest point within `radius` metres.

    Water is the lowest surface in its surroundings."""
    heights, columns = _columns(cloud, radius / LOWEST_COLUMNS_PER_RADIUS)
    lowest = _lowest(columns, heights)

    def of_block(near: Neighbours) -> Floats:
        return near.lowest(lowest[near.index])[:, np.newaxis]

    low = for_all_blocks(columns.centres, radius, 1, of_block, workers)[columns.voxel]
    return heights[:, np.newaxis].astype(np.float32) - low


def _columns(cloud: PointCloud, side: float) -> tuple[Floats, Voxels]:
    """Return (N,) heights above the cloud's lowest point, and the points in square columns of `side` metres."""
    return cloud.xyz[:, 2] - cloud.xyz[:, 2].min(), voxelise(cloud.xyz[:, :2], side, cloud.source)


def _lowest(columns: Voxels, heights: Floats) -> Floats:
    """Return the (V,) lowest height of the points of each column."""
    lowest = np.full(len(columns), np.inf)
    np.minimum.at(lowest, columns.voxel, heights)
    return lowest
