"""Breaks of the seasonal curves of a series as a raster: decimal year, magnitude and statistic of the first break of each pixel.

Memory: a block of all dates, about 60 MB."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.series.features import reading
from deepnets4eo.change.series.harmonic import HarmonicOptions, check_start, decimal_years, detect_breaks
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.grid import blocks
from deepnets4eo.jobs import SharedWork
from deepnets4eo.rasters import CogWriter, normalised_difference, role_indices

BLOCK_PX = 128
BAND_NAMES = ("break_year", "magnitude", "statistic")
NDVI = "ndvi"


def write_breaks(
    series: ImageSeries,
    path: str | Path,
    start: date,
    *,
    quantity: str | None = None,
    options: HarmonicOptions | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
    shared: SharedWork | None = None,
) -> Path:
    """Write the breaks of all pixels since `start` to a float32 COG, NaN for pixels without a break or history.

    quantity : a band or "ndvi", by default NDVI if red and near infrared are known, else the first band
    shared : looks for breaks in other processes

    Raises InputError for a quantity that the series does not have, or a start without history.
    """
    quantity = quantity or default_quantity(series)
    _quantity(series, quantity)
    options = options or HarmonicOptions()
    check_start(decimal_years(series.dates), decimal_years([start])[0], options)
    work, windows = BreakBlocks(series, quantity, start, options), blocks(series.shape, BLOCK_PX)
    names = [str(number) for number in range(len(windows))]
    results = map(work, names) if shared is None else shared.results(reading, (work,), names)
    all_tags = dict(tags or {}) | {"break_of": quantity, "monitored_from": start.isoformat()}
    all_tags |= {"SYNTHETIC": "yes"} if series.synthetic else {}
    with CogWriter(
        path, series.grid, count=3, dtype="float32", nodata=math.nan, band_names=BAND_NAMES, tags=all_tags
    ) as writer:
        for number, (window, arrays) in enumerate(zip(windows, results, strict=True)):
            writer.write(window, arrays["bands"])
            if progress is not None:
                progress((number + 1) / len(windows))
    return Path(path)


def default_quantity(series: ImageSeries) -> str:
    """Return NDVI if red and near infrared are known, else the first band."""
    return NDVI if {"red", "nir"} <= set(role_indices(series.band_names)) else series.band_names[0]


@dataclass(frozen=True)
class BreakBlocks:
    """Blocks of pixels, by number, that are searched for breaks of a quantity since a date."""

    series: ImageSeries
    quantity: str
    start: date
    options: HarmonicOptions

    def __call__(self, name: str) -> dict[str, NDArray[Any]]:
        """Look for the breaks of a block; `bands` (3, h, w) float32 as in `BAND_NAMES`."""
        series, take = self.series, _quantity(self.series, self.quantity)
        window = blocks(series.shape, BLOCK_PX)[int(name)]
        values = np.zeros((len(series), window.height * window.width), np.float32)
        valid: Mask = np.zeros(values.shape, bool)
        for index in range(len(series)):
            image, known = series.read(index, window)
            quantity = take(image)
            valid[index] = (known & np.isfinite(quantity)).ravel()
            values[index] = np.nan_to_num(quantity).ravel()
        (start,) = decimal_years([self.start])
        detected = detect_breaks(values, valid, decimal_years(series.dates), start, self.options)
        bands = np.stack([detected.time, detected.magnitude, detected.statistic])
        return {"bands": bands.reshape(3, window.height, window.width).astype(np.float32)}


def _quantity(series: ImageSeries, name: str) -> Callable[[FloatImage], FloatImage]:
    roles = role_indices(series.band_names)
    if name in series.band_names:
        band = series.band_names.index(name)
        return lambda image: image[band]
    if name == NDVI and {"red", "nir"} <= set(roles):
        return lambda image: normalised_difference(image[roles["nir"]], image[roles["red"]])
    known = [*series.band_names, *([NDVI] if {"red", "nir"} <= set(roles) else [])]
    raise InputError(f"the series has no quantity {name!r}. {name_hint(name, known)}")
