"""Bands that a file marks as alpha though they can be no mask, such as the fourth of a four-band image that GDAL wrote.

Takes an open dataset; looks at nine small windows. Such bands are read as bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.formats.rasters import READ_ERRORS
from deepnets4eo.rasters.band_roles import role_indices

MASK_NAMES = ("alpha", "mask", "opacity", "transparency")
PER_AXIS, WINDOW_PX = 3, 64
# Share of the pixels above 0 that lie below the largest value; soft edges have less, what a camera saw more.
MOST_SOFT = 0.5
LEAST_VALUES = 16  # different values of what a camera saw


def alpha_bands(dataset: DatasetReader) -> list[int]:
    """Bands, 1-based, that the file marks as alpha."""
    return [band for band, role in enumerate(dataset.colorinterp, start=1) if role == ColorInterp.alpha]


def false_alpha(dataset: DatasetReader) -> list[int]:
    """The alpha bands that are no mask: by their name, else by their values."""
    return [band for band in alpha_bands(dataset) if not _is_mask(dataset, band)]


def _is_mask(dataset: DatasetReader, band: int) -> bool:
    name = dataset.descriptions[band - 1] or ""
    if any(word in name.casefold() for word in MASK_NAMES):
        return True
    if role_indices([name]):
        return False
    try:
        values = _look(dataset, band)
    except READ_ERRORS:  # whoever reads it names the window
        return True
    seen = values[values > 0]
    if not seen.size or len(np.unique(seen)) < LEAST_VALUES:
        return True
    return float((seen < seen.max()).mean()) <= MOST_SOFT


def _look(dataset: DatasetReader, band: int) -> NDArray[Any]:
    """Values of a band in windows spread over the raster, (n,)."""
    tops, lefts = (
        np.linspace(0, max(size - WINDOW_PX, 0), PER_AXIS).astype(int) for size in (dataset.height, dataset.width)
    )
    windows = [
        RasterioWindow(int(left), int(top), min(WINDOW_PX, dataset.width), min(WINDOW_PX, dataset.height))
        for top in tops
        for left in lefts
    ]
    return np.concatenate([dataset.read(band, window=window).ravel() for window in windows])
