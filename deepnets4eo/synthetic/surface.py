"""The painted state of the city at one date: heights, colours and materials of every pixel, in local metres (y down).

Objects are stamped at once, later ones on top. Textures are repeated noise whose periods differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

PERIOD_PX = (960, 1080, 1152)
BANDS_M = {"broad": (15.0, 150.0, 1.4), "middle": (2.0, 15.0, 1.2), "fine": (0.0, 2.0, 0.5)}

OPAQUE = 90  # crown cover (0–255) from which a crown counts: in the surface model, the labels and the shadows
BAND_ROWS = 256  # that are computed at a time


@dataclass
class Rectangles:
    """N oriented rectangles in local metres: centres, full lengths along and across, angle of the long axis (rad)."""

    x: np.ndarray
    y: np.ndarray
    length: np.ndarray
    width: np.ndarray
    angle: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def of(cls, rows: list[tuple[float, float, float, float, float]]) -> Rectangles:
        """From (x, y, length, width, angle) tuples."""
        table = np.array(rows, float).reshape(-1, 5)
        return cls(*table.T)

    def take(self, keep: np.ndarray) -> Rectangles:
        """Return a subset by mask or index."""
        return Rectangles(self.x[keep], self.y[keep], self.length[keep], self.width[keep], self.angle[keep])


@dataclass
class CitySurface:
    """Arrays of one date, all (H, W) unless stated otherwise.

    ground : float32, terrain height in metres
    height : float32, solid objects (roofs, cars, walls, rubble) in metres above ground
    canopy : float32, top of tree crowns in metres above ground, 0 if there is no crown
    cover : uint8, opacity of the crown, 0–255
    leaf : (4, H, W) uint8, display colour of the crown
    building : int32, index of the building plus one
    material : uint8, code of `materials.NAMES`
    albedo : (4, H, W) uint8, display colour under the crowns; reflectance is its square over 255²
    slope_x, slope_y : float16, gradient of roof planes (rise over run to the right, down)"""

    gsd_m: float
    ground: np.ndarray
    height: np.ndarray
    canopy: np.ndarray
    cover: np.ndarray
    leaf: np.ndarray
    building: np.ndarray
    material: np.ndarray
    albedo: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray

    @classmethod
    def bare(cls, ground: np.ndarray, gsd_m: float) -> CitySurface:
        """Return a surface with nothing on the terrain yet."""
        shape = ground.shape
        return cls(
            gsd_m,
            ground,
            height=np.zeros(shape, np.float32),
            canopy=np.zeros(shape, np.float32),
            cover=np.zeros(shape, np.uint8),
            leaf=np.zeros((4, *shape), np.uint8),
            building=np.zeros(shape, np.int32),
            material=np.zeros(shape, np.uint8),
            albedo=np.zeros((4, *shape), np.uint8),
            slope_x=np.zeros(shape, np.float16),
            slope_y=np.zeros(shape, np.float16),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of the canvas."""
        return self.ground.shape[0], self.ground.shape[1]

    @property
    def dsm(self) -> np.ndarray:
        """Return (H, W) float32: top surface, metres."""
        crowns = np.where(self.cover > OPAQUE, self.canopy, 0)
        return self.ground + np.maximum(self.height, crowns)

    def pixels(self, rectangles: Rectangles) -> tuple[np.ndarray, np.ndarray]:
        """Flat pixel indices hit by each rectangle, and which rectangle hit it, in drawing order."""
        step = 0.7 * self.gsd_m
        along = np.maximum(np.ceil(rectangles.length / step), 1).astype(np.int64)
        across = np.maximum(np.ceil(rectangles.width / step), 1).astype(np.int64)
        counts = along * across
        owner = np.repeat(np.arange(len(rectangles)), counts)
        index = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        a = ((index // across[owner] + 0.5) / along[owner] - 0.5) * rectangles.length[owner]
        b = ((index % across[owner] + 0.5) / across[owner] - 0.5) * rectangles.width[owner]
        cos, sin = np.cos(rectangles.angle)[owner], np.sin(rectangles.angle)[owner]
        col = np.floor((rectangles.x[owner] + a * cos - b * sin) / self.gsd_m).astype(np.int64)
        row = np.floor((rectangles.y[owner] + a * sin + b * cos) / self.gsd_m).astype(np.int64)
        inside = (row >= 0) & (row < self.shape[0]) & (col >= 0) & (col < self.shape[1])
        return (row * self.shape[1] + col)[inside], owner[inside]

    def stamp(
        self, rectangles: Rectangles, colours: np.ndarray, *, height_m: np.ndarray | float, material: int | np.ndarray
    ) -> None:
        """Draw objects: display `colours` (N, 4), `height_m` above ground (N or one), material code (N or one)."""
        if not len(rectangles):
            return
        flat, owner = self.pixels(rectangles)
        for band in range(4):
            self.albedo[band].reshape(-1)[flat] = colours[owner, band].astype(np.uint8)
        self.height.reshape(-1)[flat] = np.broadcast_to(np.asarray(height_m, np.float32), len(rectangles))[owner]
        self.material.reshape(-1)[flat] = np.broadcast_to(np.asarray(material, np.uint8), len(rectangles))[owner]
        self.slope_x.reshape(-1)[flat] = 0
        self.slope_y.reshape(-1)[flat] = 0


def noise_tile(
    rng: np.random.Generator, size_px: int, wavelengths_px: tuple[float, float], exponent: float
) -> np.ndarray:
    """Periodic noise (size_px, size_px), mean 0, deviation 1, clipped to ±3, frequency^-exponent between wavelengths."""
    white = rng.standard_normal((size_px, size_px), dtype=np.float32)
    noise = fft.irfft2(fft.rfft2(white) * _gain(size_px, wavelengths_px, exponent), s=white.shape)
    return np.clip((noise - noise.mean()) / (noise.std() + 1e-9), -3, 3).astype(np.float32)


@lru_cache(maxsize=16)  # 2.7 MB each at most: seven for one pixel size
def _gain(size_px: int, wavelengths_px: tuple[float, float], exponent: float) -> np.ndarray:
    """Amplitude by frequency, (size_px, size_px // 2 + 1) float32."""
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
    """The three noise fields of one city, addressed in pixels."""

    def __init__(self, rng: np.random.Generator, gsd_m: float) -> None:
        self._tiles = {
            name: noise_tile(rng, period, (shortest / gsd_m, longest / gsd_m), exponent)
            for period, (name, (shortest, longest, exponent)) in zip(PERIOD_PX, BANDS_M.items(), strict=True)
        }

    def window(self, name: str, row: int, height: int, width: int, col: int = 0) -> np.ndarray:
        """Return a window of one field, wrapped around: (height, width) float32."""
        tile = self._tiles[name]
        period = tile.shape[0]
        rows = np.arange(row, row + height) % period
        cols = np.arange(col, col + width) % period
        return tile[rows[:, None], cols[None]] if width < period else tile[rows].take(cols, axis=1)

    def at(self, name: str, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Values at pixel positions, broadcast together."""
        tile = self._tiles[name]
        return tile[rows % tile.shape[0], cols % tile.shape[0]]
