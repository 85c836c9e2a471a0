"""The clouds of a recipe: files by patterns, their extent as a grid that can be split in blocks, and classes of points.

Takes the data section of a recipe; clouds are read one at a time. Refuses folders without clouds, clouds without what a
network needs, and codes that the legend lacks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.cards.dataset_card import TRAIN, VAL
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.codes import legend_codes
from deepnets4eo.points.files import CloudFile, open_cloud
from deepnets4eo.points.snapnet.recipe import MEASURED, CloudSection
from deepnets4eo.points.tiles import TiledPoints, sort_in_tiles
from deepnets4eo.training.splits import DataSplit, SplitRule, assign_blocks

WHOLE = "none"  # kind of a split without validation part
LEARNT, WITHHELD, NEITHER = 0, 1, 2  # parts of a point


class Piece(NamedTuple):
    """Points that are worked on at once; those after the first `own` only surround them.

    Their classification is class indices, void 255.
    """

    cloud: PointCloud
    own: int


@dataclass(frozen=True)
class LabelledCloud:
    """A file of labelled points, and its extent in x and y as a grid of cells of `cell_m`."""

    name: str
    file: CloudFile
    cell_m: float

    @property
    def grid(self) -> Grid:
        """The cells, those of the north first."""
        low, high = self.file.bounds[:, :2]
        cols, rows = (int(count) for count in np.floor((high - low) / self.cell_m) + 1)
        affine = Affine(self.cell_m, 0, float(low[0]), 0, -self.cell_m, float(low[1]) + rows * self.cell_m)
        return GeoBox((rows, cols), affine, self.file.crs)

    def pieces(self, legend: Legend, data: CloudSection, folder: Path, halo_m: float) -> Iterator[Piece]:
        """All points at once, or those of tiles where there are more than `data.most_points`.

        Memory: some 100 bytes a point of one piece; disk: tiles in a temporary folder within `folder`.
        """
        if self.file.point_count <= data.most_points:
            cloud = _with_indices(self.file.read(), legend, data)
            yield Piece(cloud, len(cloud))
            return
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tiles-") as tiles:
            for _ in sort_in_tiles(self.file, Path(tiles), most_points=data.most_points, halo_m=halo_m):
                pass
            tiled = TiledPoints(Path(tiles), self.file.crs, str(self.file.path))
            for tile in tiled.tiles:
                points = tiled.read(tile, halo_m)
                if points is not None:
                    yield Piece(_with_indices(points.cloud, legend, data), len(points.index))


def find_clouds(data: CloudSection, cell_m: float) -> list[LabelledCloud]:
    """The clouds of a recipe, sorted by name.

    Parameters
    ----------
    data
        Its folders and patterns.
    cell_m
        Side of a cell of their grids, metres.

    Raises
    ------
    InputError
        No folder was given, or no file in one matches.
    """
    if not data.folders:
        raise InputError("no clouds were given. Pass --data FOLDER.")
    paths: dict[str, Path] = {}
    for folder in map(Path, data.folders):
        matches = sorted({path for pattern in data.clouds for path in folder.glob(pattern)})
        if not matches:
            raise InputError(
                f"no file in {folder} matches {' or '.join(data.clouds)}. Give the folder of the clouds, or set data.clouds."
            )
        prefix = f"{folder.name}-" if len(data.folders) > 1 else ""
        paths |= {prefix + "-".join(path.relative_to(folder).with_suffix("").parts): path for path in matches}
    return [LabelledCloud(name, open_cloud(path), cell_m) for name, path in sorted(paths.items())]


def split_clouds(clouds: Sequence[LabelledCloud], data: CloudSection) -> DataSplit[LabelledCloud]:
    """Split clouds in squares of x and y, or as a whole, into what is learnt from and what is validated on.

    Parameters
    ----------
    clouds
        With grids of one cell size.
    data
        `split`, `val_share`, `val_scenes`, `split_seed`, `block_m`, `buffer_m`.

    Raises
    ------
    InputError
        When a part would stay empty.
    """
    cell_m = clouds[0].cell_m
    block_px, buffer_px = (None if side is None else round(side / cell_m) for side in (data.block_m, data.buffer_m))
    rule = SplitRule(
        data.split, data.val_share, data.split_seed, val_names=data.val_scenes,
        block_px=None if block_px is None else max(block_px, 1), buffer_px=buffer_px,
    )  # fmt: skip
    return DataSplit(clouds, assign_blocks(clouds, rule), WHOLE if rule.whole else data.split)


def point_parts(split: DataSplit[LabelledCloud], number: int, xy: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The part of each point: LEARNT, WITHHELD for validation, or NEITHER in the buffer between them.

    Parameters
    ----------
    split
        Of the clouds.
    number
        Of the cloud among them.
    xy
        (N, 2) metres in the CRS of the cloud.
    """
    grid, of_cloud = split.scenes[number].grid, split.splits[number]
    col, row = np.floor(apply_affine(~grid.affine, xy)).astype(np.int64).T
    cells = np.column_stack([np.clip(row, 0, grid.shape[0] - 1), np.clip(col, 0, grid.shape[1] - 1)])
    learnt = of_cloud.contains(TRAIN, cells) & ~of_cloud.near(VAL, np.hstack([cells, cells + 1]))
    return np.select([of_cloud.contains(VAL, cells), learnt], [WITHHELD, LEARNT], NEITHER).astype(np.uint8)


def check_measured(cloud: PointCloud, layers: Sequence[str]) -> None:
    """Refuse a cloud that lacks what the layers of its snapshots need.

    Parameters
    ----------
    cloud
        Points.
    layers
        Of the network: image, composite, intensity.

    Raises
    ------
    InputError
        Naming the layer and what to do.
    """
    for layer in layers:
        measured = MEASURED.get(layer)
        if measured is not None and getattr(cloud, measured) is None:
            raise InputError(
                f"{cloud.source} has no {measured}, which the layer {layer!r} shows. Add it (colours: from an orthophoto), or "
                "use a model of the layer composite alone, such as points/snapnet-composite."
            )


def _with_indices(cloud: PointCloud, legend: Legend, data: CloudSection) -> PointCloud:
    codes = legend_codes(cloud, legend, unknown_is_void=data.unknown_labels == "void")
    return replace(cloud, classification=legend.to_index()[codes])
