"""Clouds to train on: found by patterns, split in blocks of x and y, read tile by tile with what lies around.

Takes the data section of a recipe; refuses patterns without a file. Memory: a tile with its halo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.cards.dataset_card import TRAIN, VAL
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.codes import legend_codes
from deepnets4eo.points.features.recipe import CloudData
from deepnets4eo.points.files import CloudFile, open_cloud
from deepnets4eo.points.tiles import TiledPoints, sort_in_tiles
from deepnets4eo.tiling.splits import BlockSplit
from deepnets4eo.training.splits import DataSplit, SplitRule, assign_blocks


@dataclass(frozen=True)
class LabelledCloud:
    """A file of points with classes; its grid has cells of 1 m, rows from north to south.

    Parameters
    ----------
    name
        Unique among the clouds.
    file
        The points.
    """

    name: str
    file: CloudFile

    @cached_property
    def grid(self) -> Grid:
        """Where its points lie, in cells of 1 m."""
        (left, bottom, _), (right, top, _) = np.floor(self.file.bounds)
        shape = int(top - bottom) + 1, int(right - left) + 1
        return Grid(shape, Affine.translation(left, top + 1) * Affine.scale(1, -1), self.file.crs)

    def cells(self, cloud: PointCloud) -> Indices:
        """(N, 2) row and column of each point's cell."""
        affine = self.grid.affine
        rows = np.floor(affine.f - cloud.xyz[:, 1])
        cols = np.floor(cloud.xyz[:, 0] - affine.c)
        cells = np.column_stack([rows, cols]).astype(np.int64)
        return np.clip(cells, 0, np.array(self.grid.shape) - 1)


@dataclass(frozen=True)
class CloudPart:
    """Points of a tile with those around it.

    Parameters
    ----------
    cloud
        First the points of the tile, then those around it.
    classes
        (n,) uint8 class indices of the points of the tile, 255 void.
    learnt, validated
        (n,) which of them are learnt from, and which validated on.
    blocks
        (n,) number of the block of ground of each of them.
    """

    cloud: PointCloud
    classes: NDArray[np.uint8]
    learnt: Mask
    validated: Mask
    blocks: Indices


def find_clouds(data: CloudData) -> list[LabelledCloud]:
    """Return the clouds that a data section names, in the order of their paths.

    Parameters
    ----------
    data
        Folders and patterns.

    Returns
    -------
    list
        At least one.

    Raises
    ------
    InputError
        No file matches, or one cannot be read.
    """
    paths = sorted({path for folder in data.folders for pattern in data.clouds for path in Path(folder).glob(pattern)})
    if not paths:
        raise InputError(
            f"no file in {', '.join(data.folders) or 'no folder'} matches {', '.join(data.clouds)}. Give the folder of the clouds "
            "with --data, and their patterns with data.clouds."
        )
    names = [path.stem for path in paths]
    unique = [name if names.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(names)]
    return [LabelledCloud(name, open_cloud(path)) for name, path in zip(unique, paths, strict=True)]


def split_clouds(clouds: list[LabelledCloud], data: CloudData) -> DataSplit[LabelledCloud]:
    """Return which blocks of x and y of each cloud are learnt from and validated on, as scenes are split.

    Parameters
    ----------
    clouds
        As of `find_clouds`.
    data
        How they are split.

    Returns
    -------
    DataSplit
        The parts train and val; train alone where nothing is validated.

    Raises
    ------
    InputError
        A part would stay empty.
    """
    rule = SplitRule(
        data.split,
        data.val_share,
        data.split_seed,
        val_names=data.val_scenes,
        block_px=data.block_m,
        buffer_px=data.buffer_m,
    )
    return DataSplit(clouds, assign_blocks(clouds, rule), "none" if rule.whole else data.split)


def parts_of_cloud(
    split: DataSplit[LabelledCloud], number: int, legend: Legend, data: CloudData, halo_m: float
) -> Iterator[CloudPart]:
    """Yield the labelled points of a cloud with those around them, tile by tile.

    Parameters
    ----------
    split
        Of all clouds.
    number
        Index of the cloud.
    legend
        Of the classes.
    data
        Largest number of points of a tile, and what becomes of unknown codes.
    halo_m
        How far around a tile points are added, metres.

    Yields
    ------
    CloudPart
        Every point is in one of them.

    Raises
    ------
    InputError
        The file has no classification, or codes that the legend does not have.
    """
    named, of_cloud = split.scenes[number], split.splits[number]
    assert isinstance(of_cloud, BlockSplit)
    usable = (
        of_cloud.mask(TRAIN, Window(0, 0, *of_cloud.shape))
        if TRAIN in of_cloud.parts
        else np.zeros(of_cloud.shape, bool)
    )
    across = -(-of_cloud.shape[1] // of_cloud.block_px)
    for cloud, own in _tiles(named.file, data.tile_points, halo_m):
        points = cloud.subset(np.arange(own))
        codes = legend_codes(points, legend, unknown_is_void=data.unknown_labels == "void")
        cells = named.cells(points)
        block = cells // of_cloud.block_px
        yield CloudPart(
            cloud, legend.to_index()[codes], usable[cells[:, 0], cells[:, 1]], of_cloud.contains(VAL, cells),
            (number << 32) + block[:, 0] * across + block[:, 1],
        )  # fmt: skip


def _tiles(file: CloudFile, most_points: int, halo_m: float) -> Iterator[tuple[PointCloud, int]]:
    """Clouds, and how many of their points, the first ones, are of the tile."""
    if file.point_count <= most_points:
        cloud = file.read()
        yield cloud, len(cloud)
        return
    with TemporaryDirectory(prefix="deepnets4eo-points-") as folder:
        for _ in sort_in_tiles(file, Path(folder) / "tiles", most_points=most_points, halo_m=halo_m):
            pass
        tiles = TiledPoints(Path(folder) / "tiles", file.crs, str(file.path))
        for tile in tiles.tiles:
            read = tiles.read(tile, halo_m)
            if read is not None:
                yield read.cloud, len(read.index)
