"""How well and how fast clouds of two dates that lie apart are brought to each other, beside Open3D and small-gicp where installed.

Usage: python experiments/benchmarks/registration_of_epochs.py [--smoke]
A made-up town of 180 m (SYNTHETIC), about 100,000 points a date, a third of the houses fallen. Prints the root mean square of all points
from where they belong, before and after, and seconds of processor time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_smoke, plain_errors, title_of

from deepnets4eo.arrays import Floats
from deepnets4eo.lazy import is_installed
from deepnets4eo.points import PointCloud
from deepnets4eo.points.rubble.epoch_points import sample_area, surface_points
from deepnets4eo.points.rubble.epochs import register_points
from deepnets4eo.points.rubble.surfaces import Heights

SIDE_M, LOT_M, DENSITY = 180.0, 26, 3.2
MOTIONS = {
    "1.2 m": ((1.0, -0.66, 0.1), 0.0),
    "3.6 m": ((3.0, 2.0, -0.2), 0.0),
    "2°": ((0, 0, 0), 2.0),
}
SCALES = ((6.0, 2.0), (3.0, 1.0), (1.5, 0.4))


def town(*, after: bool, pitched: bool, side_m: float) -> Floats:
    """(N, 3) points of hilly ground and houses, with noise of 2 cm."""
    rng, own = np.random.default_rng(after), np.random.default_rng(0)
    xy = rng.uniform(0, side_m, (int(DENSITY * side_m**2), 2))
    z = 100 + 0.03 * xy[:, 0] + 1.5 * np.sin(xy[:, 1] / 40)
    for corner in np.mgrid[20 : side_m - 20 : LOT_M, 20 : side_m - 20 : LOT_M].reshape(2, -1).T:
        low, size = corner + own.uniform(-3, 3, 2), own.uniform(8, 15, 2)
        height, falls = own.uniform(3, 9), own.random() < 1 / 3
        inside = ((xy > low) & (xy < low + size)).all(axis=1)
        roof = height + pitched * (2 - 4 * np.abs(xy[inside, 0] - low[0] - size[0] / 2) / size[0])
        z[inside] += rng.uniform(0, 1.5, inside.sum()) if after and falls else roof
    return np.column_stack([xy, z + rng.normal(0, 0.02, len(xy))])


def by_ours(moving: Floats, fixed: Floats) -> Floats:
    """(N, 3) points where our registration brings them."""
    bounds = [*fixed[:, :2].min(axis=0), *fixed[:, :2].max(axis=0)]
    sampling = sample_area(bounds, fixed[:1, :2], 0.0)
    later, first = (surface_points(Heights.open(PointCloud(xyz)), sampling) for xyz in (moving, fixed))
    corners = np.array([[x, y, 100.0] for x in bounds[::2] for y in bounds[1::2]])
    return register_points(later, first, corners).motion.apply(moving)


def by_open3d(moving: Floats, fixed: Floats) -> Floats:
    """The same by Open3D's point-to-plane ICP with Tukey's loss."""
    import open3d as o3d

    own = o3d.pipelines.registration
    clouds = [
        o3d.geometry.PointCloud(o3d.utility.Vector3dVector(xyz)).voxel_down_sample(0.4) for xyz in (moving, fixed)
    ]
    clouds[1].estimate_normals(o3d.geometry.KDTreeSearchParamKNN(16))
    matrix = np.eye(4)
    for reach_m, tukey_m in SCALES:
        plane = own.TransformationEstimationPointToPlane(own.TukeyLoss(k=tukey_m))
        matrix = own.registration_icp(
            *clouds, reach_m, matrix, plane, own.ICPConvergenceCriteria(max_iteration=60)
        ).transformation
    return np.asarray(moving @ matrix[:3, :3].T + matrix[:3, 3])


def by_small_gicp(moving: Floats, fixed: Floats) -> Floats:
    """The same by small-gicp's point-to-plane ICP, which has no robust loss."""
    import small_gicp

    matrix = np.eye(4)
    for reach_m, _ in SCALES:
        matrix = small_gicp.align(
            fixed, moving, matrix, registration_type="PLANE_ICP", max_correspondence_distance=reach_m, downsampling_resolution=0.4,
        ).T_target_source  # fmt: skip
    return np.asarray(moving @ matrix[:3, :3].T + matrix[:3, 3])


def methods() -> Iterator[tuple[str, Callable[[Floats, Floats], Floats]]]:
    """Ours and those that are installed."""
    yield "ours", by_ours
    for name, module, method in (("Open3D", "open3d", by_open3d), ("small-gicp", "small_gicp", by_small_gicp)):
        if is_installed(module):
            yield name, method


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_smoke(parser)
    smoke = parser.parse_args().smoke
    print(title_of("Registration of dates", smoke=smoke))
    print("| roofs | motion | method | points | before, m | after, m | seconds |\n|---|---|---|---|---|---|---|")
    for pitched in (True, False):
        before, after = (town(after=late, pitched=pitched, side_m=90.0 if smoke else SIDE_M) for late in (False, True))
        middle = before.mean(axis=0)
        for motion, (shift, turn_deg) in MOTIONS.items():
            moved = Rotation.from_euler("z", turn_deg, degrees=True).apply(after - middle) + middle + shift
            for name, method in methods():
                start = time.process_time()
                back = method(moved, before)
                took = time.process_time() - start
                off = [np.sqrt(((xyz - after) ** 2).sum(axis=1).mean()) for xyz in (moved, back)]
                roofs = "pitched" if pitched else "flat"
                print(
                    f"| {roofs} | {motion} | {name} | {len(after):,} | {off[0]:.2f} | {off[1]:.3f} | {took:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    with plain_errors():
        main()
