"""Noise with a chosen range of wavelengths, made once as periodic tiles and repeated over any size.

Takes a generator and the ground size of a pixel. Tiles differ in period, so their sum does not visibly repeat.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

PERIOD_PX = (960, 1080, 1152)
BANDS_M = {"broad": (15.0, 150.0, 1.4), "middle": (2.0, 15.0, 1.2), "fine": (0.0, 2.0, 0.5)}


def noise_tile(
    rng: np.random.Generator, size_px: int, wavelengths_px: tuple[float, float], exponent: float
) -> np.ndarray:
    """Return periodic noise (size_px, size_px) float32 of mean 0 and standard deviation 1, clipped to ±3, whose
    amplitude falls as frequency^-exponent between two wavelengths."""
    white = rng.standard_normal((size_px, size_px), dtype=np.float32)
    noise = fft.irfft2(fft.rfft2(white) * _gain(size_px, wavelengths_px, exponent), s=white.shape)
    return np.clip((noise - noise.mean()) / (noise.std() + 1e-9), -3, 3).astype(np.float32)


@lru_cache(maxsize=16)  # 2.7 MB each at most: seven for one pixel size
def _gain(size_px: int, wavelengths_px: tuple[float, float], exponent: float) -> np.ndarray:
    """Amplitude by frequency, (size_px, size_px // 2 + 1) float32; the same for all tiles of one kind."""
    rows = fft.fftfreq(size_px).astype(np.float32)[:, None]
    cols = fft.rfftfreq(size_px).astype(np.float32)[None]
    frequency = np.hypot(rows, cols)
    frequency[0, 0] = np.inf
    shortest, longest = max(wavelengths_px[0], 1.0), max(wavelengths_px[1], 2.5)
    low, high = 1.0 / min(longest, size_px / 2), 1.0 / shortest
    gain = np.where((frequency >= low) & (frequency <= high), (frequency / low) ** -exponent, 0.0).astype(np.float32)
    gain += np.where(frequency < low, 0.3, 0.0).astype(np.float32) * np.isfinite(frequency)
    return gain


class Textures:
    """The three noise fields of one city, addressed in pixels.

    >>> textures = Textures(np.random.default_rng(0), gsd_m=0.5)
    >>> textures.window("fine", 0, 4, 6).shape
    (4, 6)
    """

    def __init__(self, rng: np.random.Generator, gsd_m: float) -> None:
        self._tiles = {
            name: noise_tile(rng, period, (shortest / gsd_m, longest / gsd_m), exponent)
            for period, (name, (shortest, longest, exponent)) in zip(PERIOD_PX, BANDS_M.items(), strict=True)
        }

    def window(self, name: str, row: int, height: int, width: int, col: int = 0) -> np.ndarray:
        """A window of one field, wrapped around as needed: (height, width) float32."""
        tile = self._tiles[name]
        period = tile.shape[0]
        rows = np.arange(row, row + height) % period
        cols = np.arange(col, col + width) % period
        return tile[rows[:, None], cols[None]] if width < period else tile[rows].take(cols, axis=1)

    def at(self, name: str, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Values at pixel positions (any integers, broadcast together): float32."""
        tile = self._tiles[name]
        return tile[rows % tile.shape[0], cols % tile.shape[0]]
