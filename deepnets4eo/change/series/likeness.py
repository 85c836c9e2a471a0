"""Cosine similarity of every pixel of a series with the vector of one pixel, as a map. Memory: a block of all dates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.change.pair import check_one_space
from deepnets4eo.change.series.dates import DatedImage, is_stac
from deepnets4eo.change.series.features import unit_vectors
from deepnets4eo.change.series.options import SeriesInputs
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.grid import READ_PX, Window, blocks, transformer
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.read_as import IMAGE, Door

ALIKE = 0.9  # cosine, of the share in the headline


@dataclass(frozen=True)
class Likeness:
    """A series that is searched for pixels like the one at a point of an example."""

    series: ImageSeries
    example: str
    point: tuple[float, float]

    @classmethod
    def open(cls, source: str, point: str, example: str | None, inputs: SeriesInputs) -> Likeness:
        """Open what is searched. Raises InputError.

        source : a folder, list or STAC collection by date, or a single raster as the only date
        point : X,Y as in `vector_at`
        example : the raster with the pixel; by default the only raster that is searched
        """
        position = _parse_point(point)
        inputs.check()
        if Path(source).is_dir() or is_stac(source):
            series = ImageSeries.from_words(source, inputs)
        else:
            series = ImageSeries([DatedImage(date.min, (source,))], bands=inputs.chosen_bands)
        if example is None and len(series) > 1:
            raise InputError(
                f"{source} has {len(series)} dates. Name the raster that holds the example: --like-in FILE."
            )
        return cls(series, example or source, position)

    def write(self, path: str | Path, progress: Callable[[float], None] | None = None) -> str:
        """Write the cosine with the example, −1 to 1, one band per date, NaN without data; returns the shares above `ALIKE` in words."""
        example = IMAGE.check(Layer.open(self.example), Door("the example"))
        layer, names = example.report(), [day.isoformat() for day in self.series.dates]
        check_one_space([*self.series.first_layers, layer])
        if layer.count != len(self.series.band_names):
            raise InputError(
                f"{layer.source} has {layer.count} bands, what is searched {len(self.series.band_names)}. Give rasters of the same bands."
            )
        wanted, windows = vector_at(layer, self.point), blocks(self.series.shape, READ_PX)
        tags = {"LIKE": f"{self.point[0]!r},{self.point[1]!r} of {layer.source}"}
        tags |= {"SYNTHETIC": "yes"} if self.series.synthetic or layer.synthetic else {}
        alike, known = np.zeros((2, len(names)))
        with CogWriter(
            path, self.series.grid, count=len(names), dtype="float32", nodata=math.nan, tags=tags,
            band_names=names if len(names) > 1 else ["cosine"],
        ) as writer:  # fmt: skip
            for number, window in enumerate(windows, start=1):
                bands = np.full((len(names), window.height, window.width), np.nan, np.float32)
                for index, cosine in enumerate(bands):
                    image, valid = self.series.read(index, window)
                    cosine[valid] = wanted @ unit_vectors(image[:, valid])
                alike += (bands > ALIKE).sum(axis=(1, 2))
                known += np.isfinite(bands).sum(axis=(1, 2))
                writer.write(window, bands)
                if progress is not None:
                    progress(number / len(windows))
        shares = ", ".join(f"{share:.2%}" for share in alike / np.maximum(known, 1))
        return f"cosine above {ALIKE:g} on {shares} of the pixels"


def vector_at(layer: Layer, point: tuple[float, float]) -> NDArray[np.float32]:
    """Return the unit vector (C,) of the pixel at a point. Raises InputError for a point outside, or without data.

    A point is longitude and latitude, or in the CRS of the raster if it cannot be degrees; column and row if the raster has
    no CRS.
    """
    x, y = point
    if layer.grid.crs is not None and abs(x) <= 180 and abs(y) <= 90:
        x, y = transformer("EPSG:4326", layer.grid.crs).transform(x, y)
    col, row = (
        math.floor(coordinate) if math.isfinite(coordinate) else -1 for coordinate in ~layer.grid.affine * (x, y)
    )
    data, valid = layer.read(Window(row, col, 1, 1))
    if not valid[0, 0] or not np.any(data):
        raise InputError(
            f"{layer.source} has no data at {point[0]:g},{point[1]:g} (column {col}, row {row} of {layer.shape[1]} × {layer.shape[0]}). "
            "Give longitude,latitude of a pixel that it shows."
        )
    return unit_vectors(data.astype(np.float32))[:, 0, 0]


def _parse_point(text: str) -> tuple[float, float]:
    """Return the numbers of X,Y. Raises InputError."""
    try:
        x, y = (float(word) for word in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--like {text} is neither the id of a change nor a position. Write longitude,latitude, as in 12.49,41.89."
        ) from error
    return x, y
