"""Outputs of a prediction: labels, probabilities and entropy, or values, as one COG per product, renamed when complete."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import LEVEL, CogWriter
from deepnets4eo.tiling import Packed

NOTHING = 255  # byte of void and of nodata


class Product:
    """Rasters that a prediction writes, by name."""

    labels: ClassVar[str] = "labels"
    probabilities: ClassVar[str] = "probabilities"
    entropy: ClassVar[str] = "entropy"
    values: ClassVar[str] = "values"  # of the quantity, float32 in its unit; NaN for none


@dataclass(frozen=True)
class Outputs:
    """Files of a prediction, product → path, first `labels` or `values`, with `tags`, and a `level` of compression. InputError for one file of two products."""

    paths: Mapping[str, Path]
    grid: Grid
    legend: Legend
    tags: Mapping[str, str]
    level: int = LEVEL

    def __post_init__(self) -> None:
        if len({path.resolve() for path in self.paths.values()}) < len(self.paths):
            names = [str(path) for path in self.paths.values()]
            raise InputError(f"two outputs have one file: {names}. Give each its own name.")

    @property
    def products(self) -> list[str]:
        """Names of what is written."""
        return list(self.paths)

    def write(self, product: str, rows: Iterable[tuple[Window, ByteImage | FloatImage]]) -> None:
        """Write a product from all its rows. Errors: OutputError where the disk refuses; nothing is left then."""
        with self._writer(product) as writer:
            for window, part in rows:
                writer.write(window, part)

    def _writer(self, product: str) -> CogWriter:
        names, quantity = self.legend.names, self.legend.quantity
        writer = partial(CogWriter, self.paths[product], self.grid, level=self.level)
        if product == Product.labels:
            return writer(nodata=VOID, legend=replace(self.legend, quantity=None), tags=self.tags)
        if product == Product.values and quantity is not None:
            tags = dict(self.tags) | {"MEANING": f"{quantity.name} in {quantity.unit}"} | quantity.to_tags()
            return writer(
                count=quantity.num_channels,
                dtype="float32",
                nodata=math.nan,
                band_names=quantity.band_names,
                tags=tags,
                unit=quantity.unit,
            )
        meaning = "probability of each class"
        if product == Product.entropy:
            meaning, names = "entropy over classes; 1: all are equally probable", ("entropy",)
        tags = dict(self.tags) | Packed.tags(meaning)
        count = bands_of(product, self.legend)
        return writer(count=count, nodata=Packed.nodata, band_names=names, tags=tags)


def bands_of(product: str, legend: Legend) -> int:
    """Return the number of bands of a product: one per class for probabilities, the quantity's bands for values, else one."""
    bands = {Product.probabilities: legend.num_classes, Product.values: legend.num_channels - legend.num_classes}
    return bands.get(product, 1)


def dtype_of(product: str) -> np.dtype[Any]:
    """Type of a product's pixels: float32 for values, else bytes."""
    return np.dtype(np.float32 if product == Product.values else np.uint8)


def nothing(dtype: np.dtype[Any]) -> Any:
    """Return the value of pixels without a result for this data type."""
    return dtype.type(np.nan if dtype.kind == "f" else NOTHING)
