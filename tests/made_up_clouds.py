"""Made-up clouds for the tests of points: files of a known content, and a labeller whose reach is known."""

from __future__ import annotations

from pathlib import Path

import laspy
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.points import PointCloud

LEGEND = Legend(
    "three",
    (
        LegendClass(2, "few", (1, 1, 1)),
        LegendClass(5, "some", (2, 2, 2)),
        LegendClass(64, "many", (3, 3, 3)),
    ),
)
ORIGIN = np.array([700_000.0, 6_600_000.0, 50.0])


def scattered(count: int, *, seed: int = 0, side_m: float = 40.0) -> NDArray[np.float64]:
    """(count, 3) points on a square, denser in one corner, with centimetres as files store them."""
    rng = np.random.default_rng(seed)
    xy = side_m * rng.random((count, 2)) ** 1.5
    return np.round(np.column_stack([xy, 5 * rng.random(count)]) + ORIGIN, 2)


def write_las(
    path: Path,
    xyz: NDArray[np.float64],
    *,
    version: str = "1.4",
    point_format: int = 8,
    crs: str | None = "EPSG:2154",
    colours: NDArray[np.uint16] | None = None,
    scale: float = 0.01,
) -> Path:
    """A LAS or LAZ file whose every dimension differs from point to point, with extra bytes and a record of its own."""
    header = laspy.LasHeader(version=version, point_format=point_format)
    header.scales, header.offsets = np.full(3, scale), np.floor(xyz.min(axis=0))
    header.add_extra_dim(laspy.ExtraBytesParams("deviation", "uint16", "of the echo"))
    header.vlrs.append(laspy.VLR(user_id="someone", record_id=7, description="mine", record_data=b"keep me"))
    if crs is not None:
        from pyproj import CRS

        header.add_crs(CRS.from_user_input(crs))
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = xyz.T
    number = np.arange(len(xyz))
    cloud.intensity = (number * 7 % 3000).astype(np.uint16)
    cloud.number_of_returns = (1 + number % 3).astype(np.uint8)
    cloud.return_number = (1 + number % 3 // 2).astype(np.uint8)
    cloud.classification = np.array([2, 5, 6], np.uint8)[number % 3]
    cloud.user_data = (number % 200).astype(np.uint8)
    cloud.point_source_id = (number % 9).astype(np.uint16)
    cloud.deviation = (number % 500).astype(np.uint16)
    names = set(cloud.point_format.dimension_names)
    if "gps_time" in names:
        cloud.gps_time = number * 1e-4
    if "scan_angle_rank" in names:
        cloud.scan_angle_rank = (number % 41 - 20).astype(np.int8)
    if "red" in names and colours is not None:
        cloud.red, cloud.green, cloud.blue = colours.T
    cloud.write(path)
    return path


class NeighbourCount:
    """Labels by the number of points within its reach, in the plane: exact, whatever the order of the points.

    reach_m : its halo. unknown_every : points with a neighbour count that this divides have no scores; 0 for none.
    """

    legend = LEGEND

    def __init__(self, reach_m: float = 3.0, unknown_every: int = 0, needs: tuple[str, ...] = ()) -> None:
        self.halo_m = reach_m
        self.needs = needs
        self._unknown_every = unknown_every
        self.calls = 0

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """(N, 3): 0.75 for the class of the count modulo 3, the rest shared."""
        self.calls += 1
        xy = np.round((cloud.xyz[:, :2] - ORIGIN[:2]) * 100)  # whole centimetres: no rounding decides
        tree = cKDTree(xy)
        counts = tree.query_ball_point(xy, 100 * self.halo_m, return_length=True)
        scores = np.full((len(cloud), 3), 0.125, np.float32)
        scores[np.arange(len(cloud)), counts % 3] = 0.75
        if self._unknown_every:
            scores[counts % self._unknown_every == 0] = np.nan
        return scores
