"""How each band of a raster looks: range, missing and negative values, noise; which bands of a cube serve no purpose.

Takes a layer; reads evenly spread windows, each band by itself, so that one empty band does not hide the others. Memory: some 200 MB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.rasters.scene import Layer
from deepnets4eo.rasters.stored_values import StoredValues
from deepnets4eo.rasters.valid_values import is_nodata
from deepnets4eo.tiling.spread import spread_windows

WATER_VAPOUR_NM = ((1350.0, 1430.0), (1800.0, 1950.0))  # the air lets no sunlight through there
LEAST_AUTOCORRELATION = 0.3  # of neighbouring pixels; below it a band is mostly noise
WINDOWS_PER_AXIS = 4
WINDOW_VALUES = 1 << 23  # of all bands together
WINDOW_SAMPLES = 2000  # pixels of a window that are kept
FLAT = 1e-12

Values = NDArray[np.float64]


@dataclass
class BandStatistics:
    """What the windows that were read show, per band, all (B,), in numbers as they are stored.

    count : values. missing : shares of pixels without a number (nodata, NaN, infinite) among those with any. negative : shares
    of physical values below 0. low, high : range, NaN for empty bands. autocorrelation : correlation of neighbouring pixels, 1 for smooth
    images, 0 for noise; NaN for constant bands. samples : (B, n) evenly spread values. missing_pixels : share of pixels without a
    number in any band. wavelengths_nm : None where the file lists none.
    """

    numbers: list[int]
    count: NDArray[np.int64]
    missing: Values
    negative: Values
    low: Values
    high: Values
    autocorrelation: Values
    samples: Values
    missing_pixels: float
    wavelengths_nm: Values | None = None

    def bad_bands(self) -> dict[int, str]:
        """Band number (1-based, of the source) → why it serves no purpose: empty, constant, noise, water vapour."""
        reasons: dict[int, str] = {}
        for index, number in enumerate(self.numbers):
            if not self.count[index]:
                reasons[number] = "empty"
            elif self.low[index] == self.high[index]:
                reasons[number] = "constant"
            elif self._in_water_vapour(index):
                reasons[number] = "water vapour"
            elif self.autocorrelation[index] < LEAST_AUTOCORRELATION:
                reasons[number] = "noise"
        return reasons

    def _in_water_vapour(self, index: int) -> bool:
        if self.wavelengths_nm is None:
            return False
        return any(low <= self.wavelengths_nm[index] <= high for low, high in WATER_VAPOUR_NM)


def measure_bands(layer: Layer, wavelengths_nm: Values | None = None) -> BandStatistics:
    """Read evenly spread windows and describe each band; a small raster is read whole.

    wavelengths_nm : (B,), by default those of the layer.
    """
    bands, numbers = layer.count, layer.as_stored()  # nodata and its usual values are told by the numbers
    sums = _Sums(layer.scaling)
    side_px = max(2, math.isqrt(WINDOW_VALUES // bands))
    per_axis = min(WINDOWS_PER_AXIS, math.ceil(max(layer.shape) / side_px))
    for window in spread_windows(layer.shape, (side_px, side_px), per_axis):
        sums.add(numbers.read(window)[0], layer.band_nodata)
    known = wavelengths_nm if wavelengths_nm is not None else layer.wavelengths_nm
    return sums.result(layer.bands, known)


class _Sums:
    """Sums over windows, (B,) each; `squares` about the first value of each band, for precision."""

    def __init__(self, scaling: Sequence[StoredValues]) -> None:
        self.scaling, bands = scaling, len(scaling)
        self.pixels, self.all_pixels = 0, 0
        self.samples: list[Values] = []
        self.count, self.negative, self.pairs = (np.zeros(bands, np.int64) for _ in range(3))
        self.sum, self.squares, self.differences = (np.zeros(bands) for _ in range(3))
        self.low, self.high = np.full(bands, np.inf), np.full(bands, -np.inf)
        self.origin = np.full(bands, np.nan)

    def add(self, data: NDArray[np.generic], nodata: Sequence[float | None]) -> None:
        """data : (B, h, w); nodata : the value of each band."""
        known = np.isfinite(data) if data.dtype.kind == "f" else np.ones(data.shape, bool)
        for band, value, own in zip(data, nodata, known, strict=True):
            if value is not None:
                own &= ~is_nodata(band, value)
        self.pixels += int(known.any(axis=0).sum())
        self.all_pixels += known[0].size
        flat = np.where(known, data, np.nan).reshape(len(data), -1)
        self.samples.append(flat[:, :: max(1, flat.shape[1] // WINDOW_SAMPLES)].astype(np.float32))
        for band, (plane, valid) in enumerate(zip(data, known, strict=True)):
            self._add_band(band, plane.astype(np.float64), valid)

    def _add_band(self, band: int, plane: Values, valid: NDArray[np.bool_]) -> None:
        values = plane[valid]
        if not values.size:
            return
        if np.isnan(self.origin[band]):
            self.origin[band] = values[0]
        plane = np.where(valid, plane - self.origin[band], 0)
        self.count[band] += values.size
        scale, offset, _ = self.scaling[band]
        self.negative[band] += int((values * scale + offset < 0).sum())
        self.low[band], self.high[band] = min(self.low[band], values.min()), max(self.high[band], values.max())
        self.sum[band] += plane.sum()
        self.squares[band] += np.square(plane).sum()
        for axis in (0, 1):
            both = np.take(valid, range(1, valid.shape[axis]), axis) & np.take(
                valid, range(valid.shape[axis] - 1), axis
            )
            self.differences[band] += np.square(np.diff(plane, axis=axis)[both]).sum()
            self.pairs[band] += int(both.sum())

    def result(self, numbers: list[int], wavelengths_nm: Values | None) -> BandStatistics:
        """The statistics of all windows."""
        count = np.maximum(self.count, 1)
        variance = self.squares / count - (self.sum / count) ** 2
        scale = np.maximum(np.abs(self.high), np.abs(self.low)) ** 2
        steady = (variance <= FLAT * np.where(np.isfinite(scale), scale, 1)) | (self.pairs == 0)
        differences = self.differences / np.maximum(self.pairs, 1)
        autocorrelation = np.where(steady, np.nan, 1 - differences / (2 * np.where(steady, 1, variance)))
        empty = self.count == 0
        return BandStatistics(
            numbers=list(numbers),
            count=self.count,
            missing=1 - self.count / max(self.pixels, 1),
            negative=self.negative / count,
            low=np.where(empty, np.nan, self.low),
            high=np.where(empty, np.nan, self.high),
            autocorrelation=autocorrelation,
            samples=np.concatenate(self.samples, axis=1),
            missing_pixels=1 - self.pixels / max(self.all_pixels, 1),
            wavelengths_nm=wavelengths_nm,
        )
