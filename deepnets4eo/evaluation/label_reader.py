"""Label rasters of values, of colours or in another legend, read as class indices 0 … K − 1 of one legend, void 255.

Refuses values and colours that its legend does not have, naming file and window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rasterio.io import DatasetReader

from deepnets4eo.arrays import ByteImage, Mask, Pixels
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.grid import Grid, Window, whole
from deepnets4eo.options import Unknown
from deepnets4eo.rasters import ArraySource, Layer, LayerView, Scene, whole_numbers
from deepnets4eo.tiling import spread_windows

PROBE_PX, PROBES = 256, 4  # windows in which masks of 0 and 255 are looked for, 4 by 4
FLOAT_PX = 512  # window in the middle that is looked at for fractions

Keep = Callable[[Window], Mask]  # which labels of a window count


@dataclass(frozen=True)
class Remedies:
    """Remedies that messages on labels give to users: `unknown` makes labels void, `stored_legend` names the file's legend."""

    unknown: str = ""
    stored_legend: str = ""


OF_EVALUATION = Remedies('unknown="void" (--unknown void)', "--set reference_legend=")


class LabelReader:
    """Reads a label raster, stored in the legend `own`, as indices of `legend`; LabelError for others unless unknown="void"."""

    def __init__(
        self,
        layer: Layer,
        legend: Legend,
        own: Legend | None = None,
        unknown: Unknown = "error",
        *,
        remedies: Remedies = OF_EVALUATION,
    ) -> None:
        layer = layer.as_stored().in_declared_colours()
        if layer.count not in (1, 3) or (layer.count == 3 and layer.dtype != np.uint8):
            raise InputError(
                f"{layer.source} has {layer.count} bands of {layer.dtype}, expected label values in one band or "
                "colours in three of uint8. Choose the right file, or extract its label band first."
            )
        if layer.dtype.kind not in "iu" and not _holds_whole_numbers(layer):
            raise InputError(
                f"{layer.source} is {layer.dtype}, expected integer labels. Take the argmax of scores first."
            )
        self.layer, self._own, self._unknown, self._remedies = layer, own or legend, unknown, remedies
        self._palette = palette_colours(layer, self._own)
        with self._naming_remedy():
            values = np.arange(256) if own is None else own.remap_to(legend, missing=unknown)
        self._indices = legend.to_index()[values]
        # values that are class indices already need no look-up
        known = np.array([*self._own.values, *self._own.void_values, VOID])
        self._in_order = unknown == "error" and np.array_equal(self._indices[known], known)

    @classmethod
    def for_training(cls, layer: Layer, legend: Legend, own: Legend | None = None, *, unknown: Unknown) -> LabelReader:
        """Return the reader of labels that a recipe names, whose messages name keys of recipes."""
        remedies = Remedies("--set data.unknown_labels=void", "--set data.labels_legend=")
        return cls(layer, legend, own, unknown, remedies=remedies)

    @property
    def has_colors(self) -> bool:
        """Return whether the raster contains colours, or indices into a colour palette, instead of class values."""
        return self.layer.count == 3 or self._palette is not None

    @property
    def hidden_class(self) -> str | None:
        """The class whose value or colour the raster declares as nodata: its pixels are read as void."""
        return self.layer.hidden_class(self._own)

    @property
    def hidden_note(self) -> str | None:
        """Return the warning about a hidden class and what to do about it, or None without a hidden class."""
        return self.layer.hidden_class_note(self._own)

    @property
    def mask_note(self) -> str | None:
        """Return what to do with a mask of 0 and 255, whose 255 is read as void; None for other labels. Reads 16 small windows."""
        if self.has_colors or self._own.num_classes != 2 or VOID in {self.layer.nodata, *self._own.file_values}:
            return None
        windows = spread_windows(self.layer.shape, (PROBE_PX, PROBE_PX), PROBES)
        values = set(np.concatenate([np.unique(self.layer.read(window)[0]) for window in windows]).tolist())
        if values != {0, VOID}:
            return None
        return (
            f"{self.layer.source} holds only 0 and 255, and 255 is void: nothing is labelled {self._own.names[1]!r}. If it is a "
            f"mask, {self._mask_option}write 1 for 255, e.g. with gdal_translate -scale 0 255 0 1."
        )

    @property
    def _mask_option(self) -> str:
        """Return the advice to name the legend of masks with the same classes, or '' if no such legend is available."""
        name = f"{self._own.name}-mask"
        known = self._remedies.stored_legend and name in Legend.available()
        return f"give {self._remedies.stored_legend}{name}, or " if known else ""

    def on(self, grid: Grid) -> LabelReader:
        """Return a reader of the same labels on another grid, by nearest neighbour."""
        reader = object.__new__(LabelReader)
        reader.__dict__ = self.__dict__ | {"layer": self.layer.on(grid, "nearest")}
        return reader

    def read(self, window: Window) -> np.ndarray:
        """Return class indices, (h, w) uint8, void in invalid pixels. Peak memory: about 12 × the window."""
        data, valid = self.layer.read(window)
        data = data if self._palette is None else self._palette[:, data[0]]
        labels = self._encode(data, valid, window) if self.has_colors else self._values(data[0], valid)
        return labels if self._in_order else self._indices[labels]

    def _values(self, labels: np.ndarray, valid: np.ndarray) -> np.ndarray:
        if labels.dtype != np.uint8:
            labels = whole_numbers(labels, valid, self.layer.source)
        labels = self._own.from_file(labels)
        labels[~valid] = VOID
        if self._unknown == "error":
            with self._naming_remedy():
                self._own.check(labels, self.layer.source)
        if labels.dtype != np.uint8:
            labels[(labels < 0) | (labels > VOID)] = VOID
        return labels.astype(np.uint8, copy=False)

    def _encode(self, data: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
        colors = data
        if not valid.all():
            colors = np.where(valid, data, np.array(self._own.void_color, np.uint8)[:, None, None])
        try:
            with self._naming_remedy():
                return self._own.encode(colors, self._unknown)
        except LabelError as error:
            raise LabelError(f"{self.layer.source}, near row {window.row}, column {window.col}: {error}") from error

    @contextmanager
    def _naming_remedy(self) -> Iterator[None]:
        """Add to a LabelError what can be done about labels without a class."""
        try:
            yield
        except LabelError as error:
            if not self._remedies.unknown:
                raise
            raise LabelError(f"{error} Or leave them out with {self._remedies.unknown}.") from error


class LegendLabels(LayerView):
    """A source of label values in one legend, whatever values or colours the file holds; void where `keep` is False."""

    reads_legend = True

    def __init__(self, reader: LabelReader, legend: Legend, keep: Keep | None = None) -> None:
        super().__init__(reader.layer, np.uint8, VOID, [Scene.label_layer])
        self.reader, self.legend, self._keep, self._values = reader, legend, keep, legend.from_index()

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        """Return label values (1, h, w) uint8, and the mask of pixels that are not void."""
        labels = self._values[self.reader.read(window)]
        if self._keep is not None:
            labels = np.where(self._keep(window), labels, np.uint8(VOID))
        return labels[None], labels != VOID

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        """Label values on a coarser grid, by nearest neighbour."""
        coarse = LegendLabels(self.reader.on(self.grid.zoom_to(shape)), self.legend)
        return coarse.read(whole(coarse.grid), bands)

    def open_dataset(self, bands: Sequence[int] | None = None) -> DatasetReader:
        """Open a GDAL dataset of all labels, read into memory, with one band."""
        return ArraySource(self.read(whole(self.grid), self.bands)[0], self.grid, VOID).open_dataset()


def palette_colours(layer: Layer, legend: Legend) -> ByteImage | None:
    """Return (3, 256) colours of a palette that gives them to other values than the legend, as masks by colour do, else None."""
    table = layer.palette
    if table is None:
        return None
    elsewhere = sum(entry.color in table.values() for entry in legend.classes)
    only_known = set(table.values()) <= {legend.void_color, *(entry.color for entry in legend.classes)}
    if (elsewhere < 2 and not only_known) or elsewhere <= sum(
        table.get(entry.value) == entry.color for entry in legend.classes
    ):
        return None
    colours = np.zeros((3, 256), np.uint8)
    for number, colour in table.items():
        colours[:, number] = colour
    return colours


def _holds_whole_numbers(layer: Layer) -> bool:
    """Return whether the floats of one band are whole numbers in a window in the middle."""
    height, width = layer.shape
    row, col = max(0, (height - FLOAT_PX) // 2), max(0, (width - FLOAT_PX) // 2)
    data, valid = layer.read(Window(row, col, min(height, FLOAT_PX), min(width, FLOAT_PX)))
    values = data[0][valid]
    return layer.count == 1 and layer.dtype.kind == "f" and bool((values == np.rint(values)).all())
