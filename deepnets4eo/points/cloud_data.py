"""The labelled clouds of a recipe: files by patterns, and blocks of x and y to learn from and to validate on.

Clouds are read one at a time, large ones by tiles. Refuses folders without clouds, parts that would stay empty, and codes that
the legend lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Indices
from deepnets4eo.cards import Legend, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.formats import warn_of_left_out
from deepnets4eo.grid import Grid, Window
from deepnets4eo.options import Section
from deepnets4eo.points.cloud import PointCloud, has_asprs_noise, legend_codes
from deepnets4eo.points.files import CloudFile, is_cloud_path, open_cloud
from deepnets4eo.points.tiles import TiledPoints, sort_in_tiles
from deepnets4eo.training import WHOLE, DataSplit, SplitRule, say_learnt_ground


class PointPart:
    """The part of a split that a point is in; `neither` in the buffer between both."""

    learnt: ClassVar[int] = 0
    withheld: ClassVar[int] = 1
    neither: ClassVar[int] = 2


class CloudData(Section):
    """The clouds, and their points for training and for validation."""

    folders: tuple[str, ...] = Field(default=(), description="where the clouds are; --data sets it")
    clouds: tuple[str, ...] = Field(
        default=("**/*.laz", "**/*.las"), min_length=1, description="patterns of the files within the folders"
    )
    unknown_labels: Literal["error", "void"] = Field(default="error", description="codes that the legend lacks")
    most_points: int = Field(
        default=20_000_000, ge=1000, description="clouds of more points are cut in tiles, which bounds memory"
    )
    split: Literal["blocks", "scenes"] = Field(
        default="blocks", description="blocks: squares of x and y of each cloud; scenes: whole clouds"
    )
    val_share: float = Field(
        default=0.2, ge=0, lt=1, description="share of the blocks or clouds that are validated on; 0: none"
    )
    val_scenes: tuple[str, ...] = Field(default=(), description="with split: scenes; names or patterns of clouds")
    split_seed: int = Field(
        default=0, ge=0, description="apart from train.seed: same validation part in every training"
    )
    block_m: float | None = Field(
        default=None, gt=0, description="side of a block; none: a fifth of the shorter side, 64 to 512 cells"
    )
    buffer_m: float | None = Field(
        default=None, ge=0, description="points nearer to a validation block are not learnt from; none: 32 cells"
    )


class CloudPiece(NamedTuple):
    """Points that are worked on at once, classified by class indices (void 255); those after the first `own` surround them."""

    cloud: PointCloud
    own: int


@dataclass(frozen=True)
class LabelledCloud:
    """A file of labelled points with a unique name, on a grid of cells whose edges are multiples of `cell_m`."""

    name: str
    file: CloudFile
    cell_m: float

    @property
    def grid(self) -> Grid:
        """Return the cells within the bounds of the points. Errors: InputError if they are too far apart."""
        self.file.check_extent()
        (left, bottom), (right, top) = np.floor(self.file.bounds[:, :2] / self.cell_m).astype(np.int64).tolist()
        affine = Affine.scale(self.cell_m, -self.cell_m) * Affine.translation(left, -(top + 1))
        return Grid((top - bottom + 1, right - left + 1), affine, self.file.crs)

    def cells(self, xy: NDArray[np.float64]) -> Indices:
        """Return (N, 2) row and column of the cell of each position (N, 2), metres in the CRS of the cloud."""
        affine, shape = self.grid.affine, self.grid.shape
        down, right = (affine.f - xy[:, 1]) / self.cell_m, (xy[:, 0] - affine.c) / self.cell_m
        cells = np.floor(np.column_stack([down, right])).astype(np.int64)
        return np.clip(cells, 0, np.array(shape) - 1)

    def pieces(
        self, legend: Legend, data: CloudData, halo_m: float, folder: Path | None = None
    ) -> Iterator[CloudPiece]:
        """Yield all points, or tiles in `folder` with a halo of `halo_m` metres if there are more than `data.most_points`.

        Each point is an own point of exactly one piece. Memory: 100 bytes per point of a piece. Errors: InputError without fitting
        classes.
        """
        if self.file.point_count <= data.most_points:
            cloud = self.file.read()
            yield from _pieces(cloud, len(cloud), legend, data)
            return
        with TemporaryDirectory(dir=folder, prefix=".deepnets4eo-tiles-") as tiles:
            for _ in sort_in_tiles(self.file, Path(tiles), most_points=data.most_points, halo_m=halo_m):
                pass
            tiled = TiledPoints(Path(tiles), self.file.crs, str(self.file.path), asprs=self.file.asprs)
            for tile in tiled.tiles:
                points = tiled.read(tile, halo_m)
                if points is not None:
                    yield from _pieces(points.cloud, len(points.index), legend, data)


def find_clouds(data: CloudData, cell_m: float) -> list[LabelledCloud]:
    """Return the clouds of a recipe by name. Raises InputError for no folder, no match, or a file that cannot be read."""
    if not data.folders:
        raise InputError("no clouds were given. Pass --data FOLDER.")
    named: list[tuple[str, Path]] = []
    for folder in map(Path, data.folders):
        matches = sorted({path for pattern in data.clouds for path in folder.glob(_any_case(pattern))})
        if not matches:
            raise InputError(
                f"no file in {folder} matches {' or '.join(data.clouds)}. Give the folder of the clouds, or set data.clouds."
            )
        warn_of_left_out(
            folder, matches, f"Read are {' and '.join(data.clouds)}; to read others too, --set \"data.clouds=['**/*.laz','**/*.ply','**/*.txt']\".",
            counts=is_cloud_path, what="cloud",
        )  # fmt: skip
        prefix = f"{folder.name}-" if len(data.folders) > 1 else ""
        named += [(prefix + "-".join(path.relative_to(folder).with_suffix("").parts), path) for path in matches]
    times = Counter(name for name, _ in named)
    unique = [(name if times[name] == 1 else f"{name}-{number}", path) for number, (name, path) in enumerate(named)]
    return [LabelledCloud(name, open_cloud(path), cell_m) for name, path in sorted(unique)]


def _any_case(pattern: str) -> str:
    """Return a pattern whose ending is found in small and capital letters, such as .las and .LAS."""
    stem, dot, ending = pattern.rpartition(".")
    if not dot or not ending.isalnum():
        return pattern
    return (
        f"{stem}.{''.join(f'[{letter.lower()}{letter.upper()}]' if letter.isalpha() else letter for letter in ending)}"
    )


def split_clouds(clouds: Sequence[LabelledCloud], data: CloudData) -> DataSplit[LabelledCloud]:
    """Split clouds in squares, or as a whole, into train and val. Raises InputError where a split would stay empty."""
    cell_m = clouds[0].cell_m
    block_px, buffer_px = (None if side is None else round(side / cell_m) for side in (data.block_m, data.buffer_m))
    rule = SplitRule(
        data.split, data.val_share, data.split_seed, val_names=data.val_scenes,
        block_px=None if block_px is None else max(block_px, 1), buffer_px=buffer_px,
    )  # fmt: skip
    split = DataSplit(clouds, rule.assign_blocks(clouds), WHOLE if rule.whole else data.split)
    say_learnt_ground(split)
    return split


def point_parts(split: DataSplit[LabelledCloud], number: int, xy: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the split (N,) uint8 of points (N, 2) of cloud `number`: LEARNT, WITHHELD, or NEITHER in the buffer
    between them.

    Memory: a byte for each cell of the box around the points.
    """
    if not len(xy):
        return np.empty(0, np.uint8)
    cells = split.scenes[number].cells(xy)
    first, last = cells.min(axis=0), cells.max(axis=0)
    usable = split.mask(number, SplitPart.train, Window(*first.tolist(), *(last - first + 1).tolist()))
    learnt = usable[tuple((cells - first).T)]
    return np.select(
        [split.splits[number].contains(SplitPart.val, cells), learnt],
        [PointPart.withheld, PointPart.learnt],
        PointPart.neither,
    ).astype(np.uint8)


def _pieces(cloud: PointCloud, own: int, legend: Legend, data: CloudData) -> Iterator[CloudPiece]:
    """Yield the points without noise, nothing if no own point is left."""
    counted = replace(cloud, asprs=cloud.asprs and has_asprs_noise(legend)).counted
    if counted[:own].any():
        part = cloud if counted.all() else cloud.subset(counted)
        codes = legend_codes(part, legend, unknown_is_void=data.unknown_labels == "void")
        part = replace(part, classification=legend.to_index()[codes], asprs=False)
        yield CloudPiece(part, int(counted[:own].sum()))
