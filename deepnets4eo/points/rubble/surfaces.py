"""Heights of one date on the cells of a block: from a cloud, or from a surface model.

Takes a file of points, points in memory, a raster or a layer. Vegetation and noise of a classified cloud do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.height_grid import class_share, height_grid
from deepnets4eo.points.rubble.vocabulary import NOISE_CLASSES, RUBBLE_CLASS, VEGETATION_CLASSES
from deepnets4eo.terrain.heights import impossible

if TYPE_CHECKING:
    from deepnets4eo.rasters.scene import Layer

HeightSource: TypeAlias = "str | Path | PointCloud | Layer"
CLOUD_SUFFIXES = (".las", ".laz", ".ply", ".pcd", ".txt", ".xyz", ".pts", ".asc", ".csv", ".e57")
WALL_M = 2.0  # above it a cell holds a roof or wall, whose top counts; below, rubble, whose mean counts


@dataclass(frozen=True)
class BlockHeights:
    """Heights of one date on a grid, (h, w) float32 metres, NaN where unknown.

    top : of roofs and walls; mean : of all points of the cell; lowest; rubble : share of the cell's points that are
    classified as rubble, None where no classes say so.
    """

    grid: Grid
    top: FloatImage
    mean: FloatImage
    lowest: FloatImage
    rubble: FloatImage | None = None

    def above(self, terrain: FloatImage) -> FloatImage:
        """(h, w) heights above a terrain: the top of what stands, the mean of what lies."""
        return np.where(self.top - terrain > WALL_M, self.top, self.mean) - terrain

    def above_lying(self, terrain: FloatImage) -> FloatImage:
        """(h, w) heights above a terrain of what lies: the mean of all points, between rafters and walls, too."""
        return self.mean - terrain

    def raise_by(self, by_m: float) -> BlockHeights:
        """The same heights, higher by so many metres."""
        shift = np.float32(by_m)
        return BlockHeights(self.grid, self.top + shift, self.mean + shift, self.lowest + shift, self.rubble)


@dataclass(frozen=True)
class Heights:
    """Where heights of one date come from. Make it with `Heights.open`.

    cloud : a file of points or points in memory; layer : a surface model; one of both is None.
    """

    cloud: Any
    layer: Layer | None

    @classmethod
    def open(cls, source: HeightSource) -> Heights:
        """Open a file by its suffix. Errors: InputError for what is no file of points or heights."""
        from deepnets4eo.rasters.scene import Layer

        if isinstance(source, PointCloud):
            return cls(source, None)
        if isinstance(source, (str, Path)) and Path(source).suffix.lower() in CLOUD_SUFFIXES:
            from deepnets4eo.points.files import open_cloud

            return cls(open_cloud(source), None)
        layer = Layer.open(source)
        if layer.count != 1:
            raise InputError(f"{layer.source} has {layer.count} bands; a surface model has one, of heights in metres.")
        return cls(None, layer)

    @property
    def source(self) -> str:
        """File or other origin, for messages."""
        if self.layer is not None:
            return self.layer.source
        return self.cloud.source if isinstance(self.cloud, PointCloud) else str(self.cloud.path)

    @property
    def crs(self) -> Any:
        """CRS of the heights, None where unknown."""
        if self.layer is None:
            return self.cloud.crs
        return None if self.layer.grid.crs is None else self.layer.grid.crs.proj

    @property
    def synthetic(self) -> bool:
        """Whether the heights are made up, as far as they say so."""
        return bool((self.layer or self.cloud).synthetic)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        if self.layer is not None:
            box = self.layer.grid.extent.boundingbox
            return box.left, box.bottom, box.right, box.top
        xyz = self.cloud.xyz if isinstance(self.cloud, PointCloud) else self.cloud.bounds
        (left, bottom), (right, top) = xyz[:, :2].min(axis=0), xyz[:, :2].max(axis=0)
        return float(left), float(bottom), float(right), float(top)

    @property
    def from_points(self) -> bool:
        """Whether these are points, not a surface model."""
        return self.layer is None

    def chunks(self) -> Iterable[PointCloud]:
        """The points, some at a time."""
        return [self.cloud] if isinstance(self.cloud, PointCloud) else self.cloud.chunks()

    def on(self, grid: Grid) -> BlockHeights:
        """Heights on the cells of a grid, in the CRS of the heights. Errors: InputError where there are none."""
        if self.layer is not None:
            data, valid = self.layer.on(grid, "average").read()
            heights = np.where(valid & ~impossible(data[0]), data[0], np.nan).astype(np.float32)
            return BlockHeights(grid, heights, heights, heights)
        cells = height_grid(self.chunks, grid, leave_out=(*NOISE_CLASSES, *VEGETATION_CLASSES))
        rubble = class_share(self.chunks, grid, RUBBLE_CLASS)
        return BlockHeights(grid, cells.top, cells.mean, cells.lowest, rubble)
