"""Label rasters of any tool as class indices: with a legend or without, where every value is a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.label_reader import LabelReader
from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.read_as import LABELS, Door

READ_PX = 1024
MAX_CLASSES = 60  # of a raster without a legend; one with more values is hardly a map of classes
MAX_VALUE = 2**31  # beyond it, values are ids or times, and several would be one number in floating point
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassMap:
    """A label raster as indices of classes. read : window → (h, w) uint8, void 255; colours : None if unknown."""

    source: str
    grid: Grid
    names: tuple[str, ...]
    colours: tuple[Colour | None, ...]
    read: Callable[[Window], ByteImage]

    @classmethod
    def open(cls, source: LayerLike, legend: Legend | None = None) -> ClassMap:
        """Open a label raster in its own or another legend; without one, each value is a class. Errors: InputError, LabelError."""
        layer = LABELS.open(source, Door("the map"))
        legend = legend or layer.legend
        if legend is None:
            return cls._of_values(layer)
        reader = LabelReader(layer, legend)
        layer.warn_of_legend(legend)
        colours = tuple(member.color for member in legend.classes)
        return cls(layer.source, layer.grid, legend.names, colours, reader.read)

    @property
    def windows(self) -> list[Window]:
        """Blocks of the raster."""
        height, width = self.grid.shape
        return blocks((height, width), READ_PX)

    @classmethod
    def _of_values(cls, layer: Layer) -> ClassMap:
        values: set[float] = set()
        for window in blocks(layer.shape, READ_PX):
            data, valid = layer.read(window)
            present = np.unique(data[0][valid])
            values |= set(present[: MAX_CLASSES + 1].tolist())
            if layer.count != 1 or (present != np.rint(present)).any() or len(values) > MAX_CLASSES:
                raise InputError(
                    f"{layer.source} is no label raster: expected one band with at most {MAX_CLASSES} whole numbers. "
                    "Give the map of classes, or state its legend."
                )
        if any(abs(value) >= MAX_VALUE for value in values):
            raise InputError(
                f"{layer.source} has values of {MAX_VALUE:,} or more, which are no numbers of classes. Give the map of classes."
            )
        ordered = np.array(sorted(values), np.int64)

        def read(window: Window) -> ByteImage:
            data, valid = layer.read(window)
            indices = np.searchsorted(ordered, np.where(valid, data[0], ordered[0] if len(ordered) else 0))
            return np.where(valid, indices, VOID).astype(np.uint8)

        palette = layer.palette or {}
        names = tuple(f"class {value}" for value in ordered.tolist())
        return cls(layer.source, layer.grid, names, tuple(palette.get(value) for value in ordered.tolist()), read)

    def unite(self, other: ClassMap) -> tuple[ClassMap, ClassMap]:
        """Return both maps with the classes of either, by name. Errors: InputError (other grids)."""
        if self.grid != other.grid:
            raise InputError(
                f"{self.source} has the grid {self.grid.shape}, {other.source} {other.grid.shape} or another georeference. "
                "Warp one to the grid of the other by nearest neighbour first."
            )
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        colour_of = dict(zip(other.names, other.colours, strict=True)) | dict(
            zip(self.names, self.colours, strict=True)
        )
        colours = tuple(colour_of[name] for name in names)
        return self._as_classes(names, colours), other._as_classes(names, colours)

    def _as_classes(self, names: tuple[str, ...], colours: Sequence[Colour | None]) -> ClassMap:
        table = np.full(256, VOID, np.uint8)
        table[: len(self.names)] = [names.index(name) for name in self.names]
        return ClassMap(self.source, self.grid, names, tuple(colours), lambda window: table[self.read(window)])
