"""How fast features of neighbourhoods are: ours against the plain way, point by point with SciPy and NumPy, in one run.

Usage: python experiments/benchmarks/points_features.py [--cloud FILE] [--points 200000] [--threads 2]
Without a file: a miniature city's scan at 20 points a square metre. Both ways make eight eigenvalue features in spheres of three radii; ours makes
more (moments, density, means of intensity and returns). The plain way is timed on some points: the others cost the same. A second plain way is vectorised:
the 20 nearest points of the thinned cloud, and NumPy's eigenvalues of all at once. Prints points a second of wall time and of processor time, and ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deepnets4eo.points import PointCloud
from deepnets4eo.points.features import FeatureOptions, point_features
from deepnets4eo.points.features.eigenfeatures import neighbourhood_features
from deepnets4eo.synthetic import City

NEIGHBOURS = 20
REPEATS = 3


def make_city(points: int) -> PointCloud:
    """A scan of a miniature city, cut to a number of points. SYNTHETIC."""
    side_px = 64 * max(round(np.sqrt(points / 20 / 0.25**2) / 64), 4)
    scan = City(1, side_px, gsd_m=0.25).points(20.0)
    return scan.subset(np.arange(min(points, len(scan))))


def features_of(values: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Eight features (…, 8) from eigenvalues (…, 3), the smallest first, and their vectors (…, 3, 3)."""
    l3, l2, l1 = np.moveaxis(np.maximum(values, 1e-12), -1, 0)
    total = l1 + l2 + l3
    shares = np.stack([l1, l2, l3]) / total
    entropy = -(shares * np.log(shares)).sum(axis=0)
    columns = [(l1 - l2) / l1, (l2 - l3) / l1, l3 / l1, np.cbrt(shares.prod(axis=0)), entropy, total, l3 / total]
    return np.stack([*columns, 1 - np.abs(vectors[..., 2, 0])], axis=-1)


def point_by_point(cloud: PointCloud, radii_m: tuple[float, ...], chosen: NDArray[Any]) -> NDArray[Any]:
    """The plain way: each chosen point's neighbours, their covariance, its eigenvalues."""
    xyz = cloud.xyz - cloud.xyz.mean(axis=0)
    tree, rows = cKDTree(xyz), []
    for number in chosen:
        for radius in radii_m:
            near = xyz[tree.query_ball_point(xyz[number], radius)]
            values, vectors = np.linalg.eigh(np.cov(near.T, bias=True)) if len(near) > 2 else (np.zeros(3), np.eye(3))
            rows.append(features_of(values, vectors))
    return np.array(rows).reshape(len(chosen), -1)


def nearest_at_once(cloud: PointCloud, radii_m: tuple[float, ...], cells_per_radius: float) -> NDArray[Any]:
    """The vectorised way: the nearest points in the cloud thinned at each scale, all eigenvalues in one call."""
    xyz, scales = cloud.xyz - cloud.xyz.mean(axis=0), []
    for radius in radii_m:
        _, kept = np.unique(np.floor(xyz / radius * cells_per_radius), axis=0, return_index=True)
        _, near = cKDTree(xyz[kept]).query(xyz, k=min(NEIGHBOURS, len(kept)))
        offsets = xyz[kept][near]
        offsets -= offsets.mean(axis=1, keepdims=True)
        scales.append(features_of(*np.linalg.eigh(offsets.transpose(0, 2, 1) @ offsets / near.shape[1])))
    return np.concatenate(scales, axis=1)


def best_time(work: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, float]:
    """Least seconds of wall time and of processor time."""
    wall, busy = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        busy.append(time.process_time() - used)
    return min(wall), min(busy)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cloud", type=Path, help="LAS or LAZ with intensity and returns")
    parser.add_argument("--points", type=int, default=200_000, help="of the miniature city, without a file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sample", type=int, default=1000, help="points that the plain way is timed on")
    options = parser.parse_args()
    if options.cloud:
        from deepnets4eo.points.files import open_cloud

        cloud = open_cloud(options.cloud).read()
    else:
        cloud = make_city(options.points)
    scales = FeatureOptions(measured=("intensity", "returns"))
    chosen = np.random.default_rng(0).choice(len(cloud), min(options.sample, len(cloud)), replace=False)
    neighbourhood_features(cloud.subset(chosen), scales)  # libraries are loaded
    count = len(cloud)
    ways: dict[str, tuple[float, float]] = {
        f"ours, {options.threads} threads": best_time(
            lambda: neighbourhood_features(cloud, scales, workers=options.threads)
        ),
        "ours, 1 thread": best_time(lambda: neighbourhood_features(cloud, scales, workers=1)),
        f"ours with cylinders and heights, {options.threads} threads": best_time(
            lambda: point_features(cloud, scales, workers=options.threads)
        ),
        f"{NEIGHBOURS} nearest at once": best_time(
            lambda: nearest_at_once(cloud, scales.radii_m, scales.cells_per_radius), 1
        ),
    }
    wall, busy = best_time(lambda: point_by_point(cloud, scales.radii_m, chosen), 1)
    ways["point by point"] = (wall / len(chosen) * count, busy / len(chosen) * count)
    ours = ways["ours, 1 thread"][1]
    print(f"{count:,} points, radii {scales.radii_m} m; the published desktop reference: about 55,000 points a second")
    for name, (wall, busy) in ways.items():
        print(
            f"{name}: {count / wall:,.0f} points/s of wall time, {count / busy:,.0f} a second of processor time; "
            f"{busy / ours:.1f} times our processor time"
        )


if __name__ == "__main__":
    main()
