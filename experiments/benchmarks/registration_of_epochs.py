"""How well and how fast clouds of two dates that lie apart are brought to each other, beside Open3D and small-gicp where installed.

Usage: python experiments/benchmarks/registration_of_epochs.py [--data FOLDER] [--smoke]
A made-up town of 180 m (SYNTHETIC), about 100,000 points a date, a third of the houses fallen; with --data the folders autzen and ign_lidar_hd:
a real scan drawn in two halves that share no point, moved, with and without the houses of one half laid down (a third of them, drawn).
Prints the root mean square of all points from where they belong, before and after, seconds of processor time, and what our gate says.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import label
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_smoke, plain_errors, require_files, title_of

from deepnets4eo.arrays import Floats
from deepnets4eo.lazy import is_installed
from deepnets4eo.points import PointCloud, heights_above_ground, open_cloud
from deepnets4eo.points.features import RuleLabeller
from deepnets4eo.points.rubble.epoch_points import sample_area, surface_points
from deepnets4eo.points.rubble.epochs import register_points
from deepnets4eo.points.rubble.surfaces import Heights

SIDE_M, LOT_M, DENSITY = 180.0, 26, 3.2
MOTIONS = {
    "1.2 m": ((1.0, -0.66, 0.1), 0.0),
    "3.6 m": ((3.0, 2.0, -0.2), 0.0),
    "2°": ((0, 0, 0), 2.0),
}
CELL_M = 2.0  # of houses that hang together
REAL = (("Autzen", "autzen", "autzen_trim.las"), ("IGN, five tiles", "ign_lidar_hd", "*.laz"))
SCALES = ((6.0, 2.0), (3.0, 1.0), (1.5, 0.4))


def make_town_points(*, after: bool, pitched: bool, side_m: float) -> Floats:
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


def scan_halves(files: Sequence[Path]) -> tuple[Floats, Floats, Floats]:
    """Two halves of a real scan, and the second one after a third of its houses fell: their points lie up to 1.5 m above the ground."""
    clouds = [open_cloud(path).read() for path in files]
    cloud = PointCloud(np.concatenate([one.xyz for one in clouds]), source=files[0].parent.name)
    rng = np.random.default_rng(0)
    first = rng.random(len(cloud)) < 0.5
    before, later = cloud.subset(first), cloud.subset(~first)
    rules = RuleLabeller(workers=1)
    of_house = rules.scores(later).argmax(axis=1) == rules.legend.index("building")
    cell = np.floor((later.xyz[:, :2] - later.xyz[:, :2].min(axis=0)) / CELL_M).astype(int)
    built = np.zeros(cell.max(axis=0) + 1, bool)
    built[tuple(cell[of_house].T)] = True
    house, count = label(built)
    falls = np.append(False, rng.random(count) < 1 / 3)[house[tuple(cell.T)]] & of_house
    ground = later.xyz[falls, 2] - heights_above_ground(later)[falls]
    fallen = later.xyz.copy()
    fallen[falls, 2] = ground + rng.uniform(0, 1.5, falls.sum())
    return before.xyz, later.xyz, fallen


def scenes(data: Path | None, *, smoke: bool) -> Iterator[tuple[str, Floats, Floats]]:
    """Name, points of the first date, and points of the second where they belong."""
    side_m = 90.0 if smoke else SIDE_M
    for roofs in ("pitched", "flat"):
        before, later = (
            make_town_points(after=after, pitched=roofs == "pitched", side_m=side_m) for after in (False, True)
        )
        yield f"town, {roofs} roofs (SYNTHETIC)", before, later
    if data is not None:
        for name, folder, pattern in REAL:
            before, later, fallen = scan_halves(require_files(data / folder, pattern))
            yield name, before, later
            yield f"{name}, houses laid down", before, fallen


def by_ours(moving: Floats, fixed: Floats) -> tuple[Floats, str]:
    """(N, 3) points where our registration brings them, and what its gate says."""
    bounds = [*fixed[:, :2].min(axis=0), *fixed[:, :2].max(axis=0)]
    sampling = sample_area(bounds, fixed[:1, :2], 0.0)
    later, first = (surface_points(Heights.open(PointCloud(xyz)), sampling) for xyz in (moving, fixed))
    corners = np.array([[x, y, np.median(fixed[:, 2])] for x in bounds[::2] for y in bounds[1::2]])
    fit = register_points(later, first, corners)
    return fit.motion.apply(moving), fit.status


def by_open3d(moving: Floats, fixed: Floats) -> tuple[Floats, str]:
    """The same by Open3D's point-to-plane ICP with Tukey's loss."""
    import open3d as o3d

    own, corner = o3d.pipelines.registration, fixed.mean(axis=0)
    moving, fixed = moving - corner, fixed - corner  # a turn about a far origin is no small one
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
    return np.asarray(moving @ matrix[:3, :3].T + matrix[:3, 3] + corner), ""


def by_small_gicp(moving: Floats, fixed: Floats) -> tuple[Floats, str]:
    """The same by small-gicp's point-to-plane ICP, which has no robust loss."""
    import small_gicp

    matrix, corner = np.eye(4), fixed.mean(axis=0)
    moving, fixed = moving - corner, fixed - corner
    for reach_m, _ in SCALES:
        matrix = small_gicp.align(
            fixed, moving, matrix, registration_type="PLANE_ICP", max_correspondence_distance=reach_m, downsampling_resolution=0.4,
        ).T_target_source  # fmt: skip
    return np.asarray(moving @ matrix[:3, :3].T + matrix[:3, 3] + corner), ""


def methods() -> Iterator[tuple[str, Callable[[Floats, Floats], tuple[Floats, str]]]]:
    """Ours and those that are installed."""
    yield "ours", by_ours
    for name, module, method in (("Open3D", "open3d", by_open3d), ("small-gicp", "small_gicp", by_small_gicp)):
        if is_installed(module):
            yield name, method


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the real sets; without it only the town")
    add_smoke(parser)
    arguments = parser.parse_args()
    print(title_of("Registration of dates", smoke=arguments.smoke))
    columns = ["scene", "motion", "method", "points", "before, m", "after, m", "seconds", "gate"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for scene, before, after in scenes(arguments.data, smoke=arguments.smoke):
        middle = before.mean(axis=0)
        for motion, (shift, turn_deg) in MOTIONS.items():
            moved = Rotation.from_euler("z", turn_deg, degrees=True).apply(after - middle) + middle + shift
            for name, method in methods():
                start = time.process_time()
                back, gate = method(moved, before)
                took = time.process_time() - start
                off = [np.sqrt(((xyz - after) ** 2).sum(axis=1).mean()) for xyz in (moved, back)]
                cells = [scene, motion, name, f"{len(after):,}", f"{off[0]:.2f}", f"{off[1]:.3f}", f"{took:.1f}", gate]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
