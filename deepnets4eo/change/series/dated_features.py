"""Features of cells from a file of Galileo or Presto: means of the vectors of their patches, by the month of each date."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.series.encoder import band_spread
from deepnets4eo.change.series.features import CellGrid, cell_sums
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import DatedMaps


class DatedFeatures:
    """Features of an encoder that knows the month, in cells of `side_px`, a multiple of the encoder's patches.

    Raises InputError for other files, unknown bands or values, and for cells that are not made of whole patches.
    """

    def __init__(self, series: ImageSeries, path: str | Path, *, side_px: int) -> None:
        self._maps = DatedMaps(path, series.band_names, top_values(series))
        if side_px % self._maps.patch_px:
            raise InputError(
                f"cells of {side_px} px are not made of whole patches of {self._maps.patch_px} px of {path}. Set --set "
                f"cell_px={-(-side_px // self._maps.patch_px) * self._maps.patch_px}."
            )
        self.names = [f"{self._maps.kind} {number}" for number in range(self._maps.width)]

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid, day: date | None = None) -> NDArray[np.float32]:
        """Compute features (D, rows, cols) of an image (C, h, w) with `valid` (h, w)."""
        patch = self._maps.patch_px
        vectors = self._maps.compute(image, valid, None if day is None else day.month)
        coarse = CellGrid(cells.grid, cells.cell_px // patch, cells.stride_px // patch)
        number = np.maximum(cell_sums(np.asarray(vectors.any(axis=0), np.float32), coarse), 1)
        rows, cols = ((side - cells.cell_px) // cells.stride_px + 1 for side in valid.shape)
        sums = np.stack([cell_sums(np.asarray(plane, np.float32), coarse) for plane in vectors])
        return np.asarray((sums / number)[:, :rows, :cols], np.float32)


def top_values(series: ImageSeries) -> FloatImage:
    """Return the 99th percentile of each band (C,); infinite for bytes, which are no reflectance."""
    if series.first_layers[0].dtype == np.uint8:
        return np.full(len(series.band_names), np.inf, np.float32)
    return band_spread(series, [*range(len(series.band_names))])[1][:, 0, 0]
