"""A cloud of a flat field with a box on it, 40 m x 20 m, and what stands for its file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.points import PointCloud

GROUND, BUILDING = 2, 6
LEGEND = Legend(
    "two", (LegendClass(GROUND, "ground", (1, 0, 0)), LegendClass(BUILDING, "building", (0, 1, 0))), void_values=(1,)
)
WEST, SOUTH = 600_000.0, 5_000_000.0
COLOURS = {GROUND: (40, 90, 30), BUILDING: (220, 80, 60)}


def make_cloud(step_m=0.5, *, colours=True, seed=0):
    """Ground at 100 m, the flat roof of a box of 8 m x 8 m in each half 6 m above it; coordinates in metres."""
    rng = np.random.default_rng(seed)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0.25, 40, step_m), np.arange(0.25, 20, step_m)))
    roof = (np.abs(x % 20 - 10) < 4) & (np.abs(y - 10) < 4)
    z = 100 + 6.0 * roof + rng.normal(0, 0.01, len(x))
    codes = np.where(roof, BUILDING, GROUND).astype(np.uint8)
    table = np.zeros((256, 3), np.uint8)
    for code, colour in COLOURS.items():
        table[code] = colour
    return PointCloud(
        np.column_stack([x + WEST, y + SOUTH, z]), colour=table[codes] if colours else None, classification=codes
    )


@dataclass
class CloudInMemory:
    """Stands for an opened file."""

    cloud: PointCloud
    path: Path = Path("field.las")
    crs = file_crs = None

    @property
    def point_count(self):
        return len(self.cloud)

    @property
    def bounds(self):
        return np.stack([self.cloud.xyz.min(axis=0), self.cloud.xyz.max(axis=0)])

    def read(self):
        return self.cloud

    def check_extent(self):
        """Points in memory are near each other."""


def write_las(cloud, path):
    """The cloud as a LAS file."""
    import laspy

    las = laspy.create(point_format=7, file_version="1.4")
    las.header.offsets, las.header.scales = np.floor(cloud.xyz.min(axis=0)), [0.001] * 3
    las.x, las.y, las.z = cloud.xyz.T
    las.classification = cloud.classification
    if cloud.colour is not None:
        las.red, las.green, las.blue = cloud.colour.T.astype(np.uint16) * 257
    las.write(path)
    return path
