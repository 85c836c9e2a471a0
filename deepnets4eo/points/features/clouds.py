"""Clouds to learn features of points from: cells of 1 m, and points tile by tile with what lies around.

Takes the data section of a recipe, see `deepnets4eo.points.cloud_data`. Memory: a tile with its halo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.cards.legend import Legend
from deepnets4eo.points import cloud_data
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.cloud_data import LEARNT, WITHHELD, CloudData, LabelledCloud, point_parts
from deepnets4eo.tiling.splits import BlockSplit
from deepnets4eo.training.splits import DataSplit

CELL_M = 1.0


@dataclass(frozen=True)
class CloudPart:
    """The points of a tile, then those around it; for the points of the tile class indices (n,) with void 255, which
    are learnt from, which are validated on, and the number of their block of ground."""

    cloud: PointCloud
    classes: NDArray[np.uint8]
    learnt: Mask
    validated: Mask
    blocks: Indices


def find_clouds(data: CloudData) -> list[LabelledCloud]:
    """Return the clouds that a data section names, at least one, with cells of 1 m. Raises InputError where no file
    matches, or one cannot be read."""
    return cloud_data.find_clouds(data, CELL_M)


def parts_of_cloud(
    split: DataSplit[LabelledCloud], number: int, legend: Legend, data: CloudData, halo_m: float
) -> Iterator[CloudPart]:
    """Yield the labelled points of cloud `number` with those within `halo_m` around them, tile by tile; every point is
    in one part. Raises InputError where the file has no classification, or codes that the legend does not have."""
    named, of_cloud = split.scenes[number], split.splits[number]
    assert isinstance(of_cloud, BlockSplit)
    across = -(-of_cloud.shape[1] // of_cloud.block_px)
    for cloud, own in named.pieces(legend, data, halo_m):
        assert cloud.classification is not None
        xy = cloud.xyz[:own, :2]
        part, block = point_parts(split, number, xy), named.cells(xy) // of_cloud.block_px
        yield CloudPart(
            cloud, cloud.classification[:own], part == LEARNT, part == WITHHELD,
            (number << 32) + block[:, 0] * across + block[:, 1],
        )  # fmt: skip
