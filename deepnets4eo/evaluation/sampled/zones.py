"""Zones of a map's confidence: tenths of its area, from the surest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deepnets4eo.arrays import ByteImage, Floats, Indices
from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.sampled.classes import ClassMap
from deepnets4eo.evaluation.sampled.draw import PixelSample
from deepnets4eo.grid import Window
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.read_as import SCORES, Door

ZONES = 10
MAX_MEASURED_PX = 1_000_000  # pixels from which the limits of the zones are taken


@dataclass(frozen=True)
class Zones:
    """Zones 0 … Z − 1 of falling confidence.

    Parameters
    ----------
    limits : lowest confidence of each zone
    sizes : (Z, K) hectares of each class in each zone; pixels without a CRS
    zone_of : (n,) zone of each point of the sample
    """

    limits: list[float]
    sizes: Floats
    zone_of: Indices

    @classmethod
    def measure(cls, confidence: LayerLike, classes: ClassMap, sample: PixelSample) -> Zones:
        """Read the confidence of the whole map. Errors: InputError (another grid, several bands, unknown at a labelled pixel)."""
        layer = SCORES.assess(Layer.open(confidence), Door("the confidence")).report()
        if layer.grid != classes.grid or layer.count != 1:
            raise InputError(
                f"{layer.source} has {layer.count} bands of {layer.shape}, expected one band on the grid of {classes.source}."
            )
        windows = classes.windows
        step = max(1, int(np.prod(layer.shape)) // MAX_MEASURED_PX)
        parts = [_known(layer, classes, window)[0][::step] for window in windows]
        seen = np.concatenate(parts)
        levels = np.quantile(seen, 1 - np.arange(1, ZONES) / ZONES)
        limits = np.unique([*levels, seen.min()])[::-1]

        def zone(values: Floats) -> Indices:
            return np.minimum(np.searchsorted(-limits, -values, side="left"), len(limits) - 1)

        number = len(classes.names)
        ground, sizes = GroundArea(classes.grid), np.zeros(len(limits) * number)
        for window in windows:
            values, labels = _known(layer, classes, window)
            hectares = np.broadcast_to(ground.pixels(window), (window.height, window.width))
            cells = zone(values) * number + labels
            sizes += np.bincount(cells, hectares[classes.read(window) != VOID], minlength=len(sizes))
        points = [
            layer.read(Window(row, col, 1, 1))[0][0, 0, 0]
            for row, col in zip(sample.row.tolist(), sample.col.tolist(), strict=True)
        ]
        return cls(limits.tolist(), sizes.reshape(-1, number), zone(np.array(points, np.float64)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"limits": self.limits, "sizes": self.sizes.tolist(), "zone_of": self.zone_of.tolist()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Zones:
        """Return what `to_dict` made."""
        return cls(stored["limits"], np.array(stored["sizes"], float), np.array(stored["zone_of"]))

    @property
    def count(self) -> int:
        """Number of zones."""
        return len(self.limits)

    def areas(self, area: Floats) -> list[Floats]:
        """Return the area (K,) of each class in each zone and all surer ones. area : of the classes, and of "other"."""
        sizes = np.column_stack([self.sizes.cumsum(axis=0), np.zeros(self.count)])
        whole = np.where(sizes[-1] > 0, sizes[-1], 1)
        return list(sizes / whole * area)


def _known(layer: Layer, classes: ClassMap, window: Window) -> tuple[Floats, ByteImage]:
    """Return confidences and classes of the labelled pixels of a window."""
    (data, valid), labels = layer.read(window), classes.read(window)
    known = labels != VOID
    if not valid[known].all():
        raise InputError(f"{layer.source} has no value at some pixels that {classes.source} labels. Give a whole one.")
    return data[0][known].astype(np.float64), labels[known]
