"""Features of cells from a frozen encoder: means of its maps over a cell, of bands scaled by the spread of the series' own values."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.baselines import FrozenEncoder
from deepnets4eo.change.series.features import CellGrid, cell_sums
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import colour_bands
from deepnets4eo.tiling import spread_windows

PERCENT = (1, 99)  # values that become 0 and 1
SAMPLE_PX, SAMPLES = 256, 2  # side of the windows that the spread is measured on, and how many along an axis
COARSEST_PX = 16  # pixels of a cell of the encoder's map
COMPONENTS = 32  # columns: maps of more channels are projected to so many random directions


class EncoderFeatures:
    """Features of a `FrozenEncoder` in cells of `side_px`, a multiple of the encoder's step.

    The encoder gets red, green and blue by name, else the first three bands, else the first as grey.

    Raises InputError for encoders without a level that fits the cells.
    """

    def __init__(
        self, series: ImageSeries, name: str, weights: str | Path | None, *, side_px: int, seed: int = 0
    ) -> None:
        self._bands = colour_bands(series.band_names)
        self._low, self._high = band_spread(series, self._bands)
        step = next((px for px in (16, 8, 4) if side_px % px == 0 and px <= COARSEST_PX), None)
        if step is None:
            raise InputError(
                f"cells of {side_px} px are not made of whole cells of an encoder. Take multiples of 4, 8 or 16."
            )
        self._encoder = FrozenEncoder(name, step, weights=weights, seed=seed)
        self._mean, self._std = (
            np.array(values, np.float32)[:, None, None] for values in (self._encoder.mean, self._encoder.std)
        )  # that its weights were trained with
        channels = self._encoder.channels
        rng = np.random.default_rng(seed)
        self._projection = None
        if channels > COMPONENTS:
            self._projection = rng.normal(size=(COMPONENTS, channels)).astype(np.float32) / np.sqrt(channels)
        self.names = [f"{name} {number}" for number in range(min(channels, COMPONENTS))]

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid, day: date | None = None) -> NDArray[np.float32]:
        """Compute features (F, rows, cols) of an image (C, h, w); pixels outside `valid` (h, w) get the mean of the others."""
        colours = np.clip((image[self._bands] - self._low) / (self._high - self._low), 0, 1)
        filling = colours[:, valid].mean(axis=1) if valid.any() else np.zeros(3, np.float32)
        colours = (np.where(valid, colours, filling[:, None, None]) - self._mean) / self._std
        maps = self._encoder(torch.from_numpy(colours.astype(np.float32))[None])[0].numpy()
        step = self._encoder.reduction
        coarse = CellGrid(cells.grid, cells.cell_px // step, cells.stride_px // step)
        rows, cols = ((side - cells.cell_px) // cells.stride_px + 1 for side in valid.shape)
        means = np.stack([_means(channel, coarse)[:rows, :cols] for channel in maps])
        if self._projection is None:
            return means
        return np.tensordot(self._projection, means, axes=1)


def _means(values: FloatImage, coarse: CellGrid) -> NDArray[np.float32]:
    return np.asarray(cell_sums(values, coarse) / coarse.cell_px**2, np.float32)


def band_spread(series: ImageSeries, bands: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return low and high values of the bands over all dates, (C, 1, 1): 1st and 99th percentile of spread windows."""
    pixels = []
    for index in range(len(series)):
        for window in spread_windows(series.shape, (SAMPLE_PX, SAMPLE_PX), SAMPLES):
            image, valid = series.read(index, window)
            pixels.append(image[bands][:, valid][:, ::7])
    values = np.concatenate(pixels, axis=1)
    if not values.shape[1]:
        raise InputError("no pixel of the series is valid. Check masks and nodata.")
    low, high = np.percentile(values, PERCENT, axis=1).astype(np.float32)
    return low[:, None, None], np.maximum(high, low + 1e-6)[:, None, None]
