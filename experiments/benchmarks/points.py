"""Speed of features and of views of point clouds, each beside the plain way.

Run: python experiments/benchmarks/points.py features|views|open3d [options, see --help of each]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_json, store_part

from deepnets4eo.points import PointCloud, open_cloud
from deepnets4eo.points.features import FeatureOptions, point_features
from deepnets4eo.points.features.eigenfeatures import neighbourhood_features
from deepnets4eo.points.local_planes import decimate, surface_attributes
from deepnets4eo.points.views import Camera, SurfaceOptions, Views, Votes, make_surface, to_points
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


def time_features(words: list[str]) -> None:
    """How fast features of neighbourhoods are: ours against the plain way, point by point with SciPy and NumPy, in one run.

    Usage: python experiments/benchmarks/points.py features [--cloud FILE] [--points 200000] [--threads 2]
    Without a file: a miniature city's scan at 20 points a square metre. Both ways make eight eigenvalue features in spheres of three radii; ours makes
    more (moments, density, means of intensity and returns). The plain way is timed on some points: the others cost the same. A second plain way is vectorised:
    the 20 nearest points of the thinned cloud, and NumPy's eigenvalues of all at once. Prints points a second of wall time and of processor time, and ratios.
    """
    parser = argparse.ArgumentParser(
        "points.py features", description=time_features.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cloud", type=Path, help="LAS or LAZ with intensity and returns")
    parser.add_argument("--points", type=int, default=200_000, help="of the miniature city, without a file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sample", type=int, default=1000, help="points that the plain way is timed on")
    add_json(parser)
    options = parser.parse_args(words)
    if options.cloud:
        from deepnets4eo.points import open_cloud

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
    store_part(
        options.json, "features", synthetic=options.cloud is None, points=count, thousand_points_per_s=count / ours / 1e3,
        point_by_point_ratio=ways["point by point"][1] / ours, nearest_ratio=ways[f"{NEIGHBOURS} nearest at once"][1] / ours,
    )  # fmt: skip


NUM_CLASSES = 8
VOXEL_M = 0.1
SPACING_M = 0.2
COMPARED = 5  # views that the depth buffer computes, too


@dataclass
class Clock:
    """Seconds, wall and processor, by part."""

    parts: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time within the context to a part."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        before = self.parts.get(name, (0.0, 0.0))
        self.parts[name] = (
            before[0] + time.perf_counter() - wall, before[1] + time.process_time() - processor,
        )  # fmt: skip

    def total(self) -> tuple[float, float]:
        """Wall and processor seconds of all parts."""
        return sum(wall for wall, _ in self.parts.values()), sum(processor for _, processor in self.parts.values())


def terrestrial_scan(points: int) -> PointCloud:
    """A street with facades and trees, seen from one position: points thin out with the square of the distance."""
    rng = np.random.default_rng(0)
    reach = 60 * rng.random(points) ** 0.7
    angle = rng.uniform(0, 2 * np.pi, points)
    xyz = np.column_stack([reach * np.cos(angle), reach * np.sin(angle), 0.01 * reach + rng.normal(0, 0.01, points)])
    beyond = np.abs(xyz[:, 1]) > 9  # the facades of both sides
    xyz[beyond, 2] = rng.uniform(0, 12, int(beyond.sum()))
    xyz[beyond, 1] = np.sign(xyz[beyond, 1]) * 9 + rng.normal(0, 0.01, int(beyond.sum()))
    crown = np.flatnonzero(rng.random(points) < 0.1)
    trees = np.array([(-25, 6, 6), (-10, -6, 6), (12, 6, 6), (30, -6, 6)])
    xyz[crown] = trees[rng.integers(0, 4, len(crown))] + rng.normal(0, 0.9, (len(crown), 3))
    xyz = xyz[np.argsort(angle, kind="stable")]  # as a scanner turns
    return PointCloud(xyz + (651_000, 6_861_000, 35), colour=rng.integers(0, 256, (points, 3), np.uint8))


def time_chain(points: int, directions: int, json: Path | None) -> None:
    """From points to scores of points, without the network."""
    cloud = terrestrial_scan(points)
    clock = Clock()
    options = SurfaceOptions(voxel_m=VOXEL_M)
    with clock.part("surface"):
        surface = make_surface(cloud, options)
    scores = np.random.default_rng(1).dirichlet(np.ones(NUM_CLASSES), (224, 224)).transpose(2, 0, 1).astype(np.float32)
    votes = Votes(surface, NUM_CLASSES)
    with clock.part("views"):  # and their images, while votes are added, as users run it
        cameras = Camera.around(surface, directions, seed=0)
        for view, _ in Views(surface).render(cameras):
            votes.add(view, scores)
    with clock.part("points"):
        to_points(surface, votes.vertex_scores(), cloud)
    wall, processor = clock.total()
    print(f"chain: {points:,} points, {len(surface.vertices):,} vertices, {len(cameras)} views, {NUM_CLASSES} classes")
    _print_parts(clock)
    cores = len(os.sched_getaffinity(0))
    print(f"  {points / wall:,.0f} points a second by the wall clock on {cores} cores (shared machine)")
    print(f"  {points / processor:,.0f} points a second of processor time")
    store_part(
        json,
        "views",
        threads=cores,
        synthetic=True,
        points=points,
        views=len(cameras),
        million_points_per_s=points / processor / 1e6,
    )
    _print_inside(cloud)


def _print_parts(clock: Clock) -> None:
    for name, (wall, processor) in clock.parts.items():
        print(f"  {name:13s} {wall:7.2f} s   processor {processor:7.2f} s")


def _print_inside(cloud: PointCloud) -> None:
    """The two largest parts of making the surface, once more alone."""
    clock = Clock()
    with clock.part("decimation"):
        kept = decimate(cloud.xyz, VOXEL_M)
    vertices = (cloud.xyz[kept] - np.floor(cloud.xyz.min(axis=0))).astype(np.float32)
    with clock.part("attributes"):
        surface_attributes(vertices)
    for (name, (_, seconds)), count in zip(clock.parts.items(), (len(cloud), len(kept)), strict=True):
        print(f"  within surface: {name} {count / seconds:,.0f} points a second and core")


def time_views(words: list[str]) -> None:
    """Speed of the chain from a cloud over views to its labels.

    Run: python experiments/benchmarks/points.py views [--points 10000000 --directions 50]
    The chain leaves out the network, in whose place scores
    are made up beforehand. Processor time counts all threads: on a machine that is shared it is what can be compared.
    """
    parser = argparse.ArgumentParser(
        "points.py views", description=time_views.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--directions", type=int, default=50)
    add_json(parser)
    options = parser.parse_args(words)
    time_chain(options.points, options.directions, options.json)


def time_open3d(words: list[str]) -> None:
    """Normals and thinning beside Open3D, in one run, in turns.

    Run: python experiments/benchmarks/points.py open3d --data FOLDER [--voxel 0.25]
    FOLDER has clouds (LAZ). Ours are normals with roughness and spacing, as views need them; Open3D's the normals alone, and covariances with
    the same roughness and spacing from them. Its thinning averages the points of a voxel, ours keeps one of them. Median of five, processor time.
    """
    parser = argparse.ArgumentParser(
        "points.py open3d", description=time_open3d.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--voxel", type=float, default=0.25, help="metres")
    options = parser.parse_args(words)
    import open3d as o3d

    xyz = PointCloud.join([open_cloud(path).read() for path in sorted(options.data.glob("*.laz"))]).xyz
    xyz = xyz - np.floor(xyz.min(axis=0))
    points = xyz[decimate(xyz, options.voxel)]
    nearest, local = o3d.geometry.KDTreeSearchParamKNN(16), points.astype(np.float32)

    def cloud(positions: NDArray[Any]) -> Any:
        return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(positions))

    def normals() -> Any:
        made = cloud(points)
        made.estimate_normals(nearest)
        return np.asarray(made.normals)

    def covariances() -> Any:
        made = cloud(points)
        made.estimate_covariances(nearest)
        cKDTree(local, balanced_tree=False).query(local, 5)
        return np.linalg.eigh(np.asarray(made.covariances))[1][:, :, 0]

    ways: dict[str, Callable[[], Any]] = {
        "ours: normals, roughness, spacing": lambda: surface_attributes(local).normal,
        "Open3D: normals": normals,
        "Open3D: covariances, our roughness and spacing": covariances,
        "ours: thinning": lambda: decimate(xyz, options.voxel),
        "Open3D: thinning": lambda: cloud(xyz).voxel_down_sample(options.voxel),
    }
    clock: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, way in ways.items():
            started = time.process_time()
            way()
            clock[name].append(time.process_time() - started)
    print(f"{len(xyz):,} points, {len(points):,} after thinning to {options.voxel} m")
    for name, seconds in clock.items():
        print(f"  {name:48s} {np.median(seconds):.2f} s")
    alike = np.abs((surface_attributes(local).normal * normals()).sum(axis=1)) > np.cos(np.radians(2))
    print(f"  normals within 2°: {alike.mean():.2%}")


PARTS = {"features": time_features, "views": time_views, "open3d": time_open3d}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"Name what is measured: {', '.join(PARTS)}.")
    PARTS[sys.argv[1]](sys.argv[2:])
