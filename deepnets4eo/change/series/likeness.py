"""Cosine similarity of every pixel of a series with the vector of one pixel, as a map. Memory: a block of all dates."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.change.pair import check_one_space
from deepnets4eo.change.series.dates import STAC_SUFFIXES, DatedImage
from deepnets4eo.change.series.features import unit_vectors
from deepnets4eo.change.series.options import SeriesInputs
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.grid import READ_PX, Window, blocks, transformer
from deepnets4eo.rasters import CogWriter, Layer

ALIKE = 0.9  # cosine, of the share in the headline


def parse_point(text: str) -> tuple[float, float]:
    """The numbers of X,Y. Errors: InputError."""
    try:
        x, y = (float(word) for word in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--like {text} is neither the id of a change nor a position. Write longitude,latitude, as in 12.49,41.89."
        ) from error
    return x, y


def vector_at(layer: Layer, point: tuple[float, float]) -> NDArray[np.float32]:
    """The unit vector (C,) of the pixel at a point. Errors: InputError for a point outside, or without data.

    A point is longitude and latitude, or in the CRS of the raster where it cannot be degrees; column and row where the
    raster has no CRS.
    """
    x, y = point
    if layer.grid.crs is not None and abs(x) <= 180 and abs(y) <= 90:
        x, y = transformer("EPSG:4326", layer.grid.crs).transform(x, y)
    col, row = (math.floor(one) if math.isfinite(one) else -1 for one in ~layer.grid.affine * (x, y))
    data, valid = layer.read(Window(row, col, 1, 1))
    if not valid[0, 0] or not np.any(data):
        raise InputError(
            f"{layer.source} has no data at {point[0]:g},{point[1]:g} (column {col}, row {row} of {layer.shape[1]} × {layer.shape[0]}). "
            "Give longitude,latitude of a pixel that it shows."
        )
    return unit_vectors(data.astype(np.float32))[:, 0, 0]


def open_searched(source: str, inputs: SeriesInputs) -> ImageSeries:
    """A folder, list or STAC collection by date, or a raster alone as the only date."""
    if Path(source).is_dir() or Path(source).suffix.lower() in STAC_SUFFIXES:
        return ImageSeries.from_words(source, inputs)
    return ImageSeries([DatedImage(date.min, (source,))], bands=inputs.chosen_bands)


def write_likeness(
    series: ImageSeries,
    example: str,
    point: tuple[float, float],
    path: str | Path,
    progress: Callable[[float], None] | None = None,
) -> list[float]:
    """Write the cosine with the example, −1 to 1, one band a date, NaN without data; returns the share of each date above `ALIKE`."""
    layer, names = Layer.open(example), [day.isoformat() for day in series.dates]
    check_one_space([*series.first_layers, layer])
    if layer.count != len(series.band_names):
        raise InputError(
            f"{layer.source} has {layer.count} bands, what is searched {len(series.band_names)}. Give rasters of the same bands."
        )
    wanted, windows = vector_at(layer, point), blocks(series.shape, READ_PX)
    tags = {"LIKE": f"{point[0]!r},{point[1]!r} of {layer.source}"}
    tags |= {"SYNTHETIC": "yes"} if series.synthetic or layer.synthetic else {}
    alike, known = np.zeros((2, len(names)))
    with CogWriter(
        path, series.grid, count=len(names), dtype="float32", nodata=math.nan, tags=tags,
        band_names=names if len(names) > 1 else ["cosine"],
    ) as writer:  # fmt: skip
        for number, window in enumerate(windows, start=1):
            bands = np.full((len(names), window.height, window.width), np.nan, np.float32)
            for index, cosine in enumerate(bands):
                image, valid = series.read(index, window)
                cosine[valid] = wanted @ unit_vectors(image[:, valid])
            alike += (bands > ALIKE).sum(axis=(1, 2))
            known += np.isfinite(bands).sum(axis=(1, 2))
            writer.write(window, bands)
            if progress is not None:
                progress(number / len(windows))
    return [float(share) for share in alike / np.maximum(known, 1)]
