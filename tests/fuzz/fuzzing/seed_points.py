"""Sound files of points as seeds: LAS and LAZ of old and new point formats, text with labels beside, and PLY."""

from __future__ import annotations

from pathlib import Path

import laspy
import numpy as np
import pyproj

from fuzzing.seed import Seed, make_folder

POINTS = 400
PLY = "ply\nformat ascii 1.0\nelement vertex {count}\nproperty double x\nproperty double y\nproperty double z\nend_header\n"


def make_points(root: Path) -> dict[str, list[Seed]]:
    """Points on 20 × 20 m with intensity, returns, classes and colours."""
    folder = root / "points"
    xyz = np.round(np.random.default_rng(3).random((POINTS, 3)) * [20, 20, 6], 2) + [360_000, 4_099_976, 0]
    for name, version, point_format in (("old.las", "1.2", 3), ("old.laz", "1.2", 1), ("new.laz", "1.4", 8), ("new.las", "1.4", 6)):  # fmt: skip
        _write_las(make_folder(folder / name.replace(".", "-")) / name, xyz, version, point_format)
    rows = np.column_stack([xyz, np.arange(POINTS) % 99, *(np.arange(POINTS) % 256,) * 3])
    np.savetxt(make_folder(folder / "text") / "a.txt", rows, fmt="%.2f")
    np.savetxt(folder / "text" / "a.labels", np.arange(POINTS) % 9, fmt="%d")
    mains = [("old-las", "old.las"), ("old-laz", "old.laz"), ("new-laz", "new.laz"), ("new-las", "new.las"), ("text", "a.txt")]  # fmt: skip
    near = xyz - xyz[0]
    path = make_folder(folder / "ply") / "a.ply"
    path.write_text(PLY.format(count=POINTS) + "".join(f"{x} {y} {z}\n" for x, y, z in near))
    mains.append(("ply", path.name))
    return {"points": [Seed(folder / name, main) for name, main in mains]}


def _write_las(path: Path, xyz: np.ndarray, version: str, point_format: int) -> None:
    header = laspy.LasHeader(version=version, point_format=point_format)
    header.scales, header.offsets = np.full(3, 0.01), np.floor(xyz.min(axis=0))
    header.add_extra_dim(laspy.ExtraBytesParams("deviation", "uint16"))
    header.add_crs(pyproj.CRS.from_epsg(32615))
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = xyz.T
    number = np.arange(len(xyz))
    cloud.intensity, cloud.deviation = number.astype(np.uint16), number.astype(np.uint16)
    cloud.return_number, cloud.number_of_returns = np.ones(len(xyz), np.uint8), np.ones(len(xyz), np.uint8)
    cloud.classification = (number % 7).astype(np.uint8)
    if point_format in (3, 8):
        cloud.red, cloud.green, cloud.blue = (number % 256).astype(np.uint16) * np.array([[1], [256], [257]], np.uint16)
    cloud.write(path)
