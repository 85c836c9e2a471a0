"""From surface to image: light and shadows, radiance, relief displacement, resampling, blur, noise, tone; one acquisition.

Radiance is linear; display values 0–255 are its square root.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from affine import Affine
from scipy import ndimage

from deepnets4eo.cards import Legend
from deepnets4eo.grid import Grid
from deepnets4eo.points import PointCloud
from deepnets4eo.synthetic.materials import MaterialSpectra, class_map, material_spectra, sample_points
from deepnets4eo.synthetic.style import Light, Season, Sensor
from deepnets4eo.synthetic.surface import BAND_ROWS, OPAQUE, CitySurface, noise_tile

SHADOW_EPS_M = 0.12
SKY_TINT = np.array([0.92, 0.98, 1.14, 0.85], np.float32)  # light from the sky is bluish, poor in infrared


def radiance(surface: CitySurface, light: Light, dimming: np.ndarray | None = None) -> np.ndarray:
    """Compute the square root of radiance (4, H, W) float32; `dimming`: the share of direct light that clouds leave."""
    lit = sunlit(surface, light)
    level = np.float32(light.direct) + np.float32(1 - light.direct) * SKY_TINT  # the white balance is set for it
    if dimming is not None:
        lit *= dimming
    sky = openness(surface)
    out = np.empty((4, *surface.shape), np.float32)
    for first in range(0, surface.shape[0], BAND_ROWS):
        rows = slice(first, min(first + BAND_ROWS, surface.shape[0]))
        slope_x, slope_y = slopes(surface, rows)
        direct = lit[rows] * illumination(slope_x, slope_y, light) * np.float32(light.direct)
        ambient = sky[rows] * np.float32(1 - light.direct)
        opaque = surface.cover[rows].astype(np.float32) / 255
        crowned = bool(surface.cover[rows].any())
        for band in range(4):
            reflectance = np.square(surface.albedo[band, rows], dtype=np.float32)
            if crowned:
                reflectance += opaque * (np.square(surface.leaf[band, rows], dtype=np.float32) - reflectance)
            reflectance *= direct + ambient * SKY_TINT[band]
            reflectance *= 1 / (level[band] * np.float32(65025))
            np.sqrt(reflectance, out=out[band, rows])
    return out


def relief_displacement(image: np.ndarray, height: np.ndarray, sensor: Sensor, gsd_m: float) -> np.ndarray:
    """Displace objects by their `height` away from the nadir and show their walls."""
    tilt = float(np.hypot(*sensor.view))
    farthest = min(int(np.ceil(float(height.max()) * tilt / gsd_m)), 40)
    if farthest < 1:
        return image
    step = np.array(sensor.view) / tilt  # (right, down)
    reach = height * np.float32(tilt / gsd_m)
    out, free = image.copy(), np.ones(height.shape, bool)
    for distance in range(farthest, 0, -1):
        col, row = np.round(step * distance).astype(int)
        moved = np.roll(reach, (row, col), (0, 1))
        seen = free & (moved >= distance - 0.5)
        wall = seen & (moved > distance + 0.9)
        free &= ~seen
        for band in range(4):
            source = np.roll(image[band], (row, col), (0, 1))
            out[band][seen] = source[seen]
            out[band][wall] *= np.float32(0.72)
    return out


def view(layer: np.ndarray, matrix: Affine, shape: tuple[int, int], order: int) -> np.ndarray:
    """Resample a layer (H, W) to another lattice; `matrix` takes the new (col, row) pixel centres to old ones.

    A shift by whole pixels crops it."""
    row, col = round(matrix.f), round(matrix.c)
    if matrix[:6] == (1, 0, matrix.c, 0, 1, matrix.f) and max(abs(matrix.c - col), abs(matrix.f - row)) < 1e-9:
        return layer[row : row + shape[0], col : col + shape[1]].copy()
    linear = np.array([[matrix.e, matrix.d], [matrix.b, matrix.a]])
    offset = np.array([matrix.f, matrix.c])
    return ndimage.affine_transform(layer, linear, offset, output_shape=shape, order=order, mode="nearest")


def blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a (H, W) float32 plane with repeated edges, in bands of rows that stay in cache."""
    radius = max(int(2.5 * sigma + 0.5), 1)
    taps = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    taps = (taps / (taps[0] + 2 * taps[1:].sum())).astype(np.float32)
    height, width = plane.shape
    out = np.empty_like(plane)
    for first in range(0, height, BAND_ROWS):
        last = min(first + BAND_ROWS, height)
        rows = np.clip(np.arange(first - radius, last + radius), 0, height - 1)
        band = np.pad(plane[rows], ((0, 0), (radius, radius)), mode="edge")
        count = last - first
        down = taps[0] * band[radius : radius + count]
        for step in range(1, radius + 1):
            down += taps[step] * (
                band[radius - step : radius - step + count] + band[radius + step : radius + step + count]
            )
        across = taps[0] * down[:, radius : radius + width]
        for step in range(1, radius + 1):
            across += taps[step] * (
                down[:, radius - step : radius - step + width] + down[:, radius + step : radius + step + width]
            )
        out[first:last] = across
    return out


def simulate_sensor_image(scene: np.ndarray, sensor: Sensor, rng: np.random.Generator) -> np.ndarray:
    """Return the scene (4, H, W) of `radiance` after blur, sharpening, tone and noise as uint8."""
    height, width = scene.shape[1:]
    tiles = [noise_tile(rng, period, (1.0, 6.0), 0.35) for period in (401, 467, 523, 601)]
    blurred = [blur(band, sensor.blur_px) for band in scene]
    for value in blurred:
        if sensor.sharpening > 0:
            value += np.float32(sensor.sharpening) * (value - blur(value, 1.3))
        mean = value[::7, ::7].mean()
        value -= mean
        value *= np.float32(sensor.contrast)
        value += mean
    grey = (blurred[0] + blurred[1] + blurred[2]) / 3
    out = np.empty(scene.shape, np.uint8)
    for band, value in enumerate(blurred):
        if band < 3:
            value = grey + (value - grey) * np.float32(sensor.saturation)
        np.clip(value, 0, 1.6, out=value)
        np.power(value, np.float32(sensor.gamma), out=value)
        value *= np.float32(255 * sensor.gain[band])
        value += np.float32(sensor.haze[band])
        rows, cols = np.arange(height) % tiles[band].shape[0], np.arange(width) % tiles[band].shape[0]
        grain = tiles[band][rows].take(cols, axis=1)
        grain *= value * np.float32(sensor.noise / 200) + np.float32(sensor.noise * 0.5)
        value += grain
        out[band] = np.clip(value + np.float32(0.5), 0, 255).astype(np.uint8)
    return out


@dataclass
class Acquisition:
    """All products of one sensor at one date; `to_pre` maps stated to true ground, `matrix` pixel centres to `canvas`."""

    surface: CitySurface
    grid: Grid
    canvas: Grid
    matrix: Affine
    to_pre: Affine
    light: Light
    sensor: Sensor
    season: Season
    seed: int
    dimming: np.ndarray | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of the image."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    @cached_property
    def image(self) -> np.ndarray:
        """Return (4, H, W) uint8: red, green, blue, near infrared."""
        scene = radiance(self.surface, self.light, self.dimming)
        above = np.maximum(self.surface.height, np.where(self.surface.cover > OPAQUE, self.surface.canopy, 0))
        scene = relief_displacement(scene, above, self.sensor, self.surface.gsd_m)
        zoom = abs(self.grid.affine.a) / abs(self.canvas.affine.a)
        if zoom > 1.2:
            scene = np.stack([blur(band, 0.4 * zoom) for band in scene])
        seen = np.stack([view(band, self.matrix, self.shape, 1) for band in scene])
        return simulate_sensor_image(seen, self.sensor, np.random.default_rng([self.seed, 21]))

    @cached_property
    def dsm(self) -> np.ndarray:
        """Return (H, W) float32: top of everything, metres."""
        return view(self.surface.dsm, self.matrix, self.shape, 1)

    @cached_property
    def dtm(self) -> np.ndarray:
        """Return (H, W) float32: bare ground, metres."""
        return view(self.surface.ground, self.matrix, self.shape, 1)

    def labels(self, legend: str | Legend = "isprs") -> np.ndarray:
        """Classes as seen from above (crowns hide roofs): (H, W) uint8 in a legend's values."""
        source = Legend.load("minicity")
        target = Legend.load(legend) if isinstance(legend, str) else legend
        labels = view(class_map(self.surface, source), self.matrix, self.shape, 0)
        return labels if target.name == source.name else source.remap_to(target)[labels]

    def building_ids(self) -> np.ndarray:
        """Return (H, W) int32: k for row k − 1 of `City.all_buildings`, larger for buildings that exist only at the post date."""
        return view(self.surface.building, self.matrix, self.shape, 0)

    def points(self, density: float = 8.0) -> PointCloud:
        """Sample an airborne LiDAR cloud at true coordinates, `density` pulses per square metre."""
        extent = self.grid.extent.boundingbox
        return sample_points(self.surface, self.canvas, extent, density, np.random.default_rng([self.seed, 31]))

    def spectra(self, wavelengths_nm: np.ndarray) -> MaterialSpectra:
        """Material of each pixel with reflectance spectra."""
        codes, spectra, names = material_spectra(self.surface, np.asarray(wavelengths_nm, float))
        brightness = self._brightness()
        seen = view(codes, self.matrix, self.shape, 0)
        return MaterialSpectra(names, seen, spectra, view(brightness, self.matrix, self.shape, 0))

    def _brightness(self) -> np.ndarray:
        """Square root of radiance relative to a level white field, averaged over the visible bands."""
        mean = radiance(self.surface, self.light, self.dimming)[:3].mean(axis=0)
        flat = (self.surface.albedo[:3].astype(np.float32) / 255).mean(axis=0)
        return np.clip(mean / np.maximum(flat, 0.05), 0, 1.5).astype(np.float32)


def horizon(top: np.ndarray, light: Light, gsd_m: float) -> np.ndarray:
    """Compute the height (H, W) of the shadow's edge: a running maximum along sheared columns."""
    azimuth = np.radians(light.azimuth_deg)
    right, down = float(np.sin(azimuth)), float(-np.cos(azimuth))  # towards the sun
    if abs(right) > abs(down):
        return np.ascontiguousarray(_sweep(np.ascontiguousarray(top.T), down, right, light, gsd_m).T)
    return _sweep(top, right, down, light, gsd_m)


def _sweep(top: np.ndarray, minor: float, major: float, light: Light, gsd_m: float) -> np.ndarray:
    """Sweep along rows; `minor`, `major` point to the sun."""
    height, width = top.shape
    slope = minor / abs(major)
    drop = np.float32(gsd_m * np.hypot(1.0, slope) * np.tan(np.radians(light.elevation_deg)))
    order = range(height) if major < 0 else range(height - 1, -1, -1)
    shift = np.round(np.arange(height) * slope).astype(int)
    shift -= shift.min()
    buffer = np.full(width + int(shift.max()), -np.inf, np.float32)
    out = np.empty_like(top)
    for step, row in enumerate(order):
        line = buffer[shift[step] : shift[step] + width]
        line -= drop
        out[row] = line
        np.maximum(line, top[row], out=line)
    return out


def sunlit(surface: CitySurface, light: Light) -> np.ndarray:
    """Share of direct sun reaching the top surface, (H, W) float32 0–1; crowns let some through."""
    solid = surface.ground + surface.height
    crowns = np.where(surface.cover > OPAQUE, surface.ground + surface.canopy, np.float32(-1e4))
    top = np.maximum(solid, crowns) + np.float32(SHADOW_EPS_M)
    lit = np.ones(surface.shape, np.float32)
    lit -= 0.80 * (horizon(crowns, light, surface.gsd_m) > top + 0.4)
    lit[horizon(solid, light, surface.gsd_m) > top] = 0.0
    return ndimage.uniform_filter(lit, 3, mode="nearest") if light.direct > 0.4 else ndimage.uniform_filter(lit, 7)


def openness(surface: CitySurface) -> np.ndarray:
    """Approximate share of the sky that a pixel sees, (H, W) float32 0.5–1."""
    top = np.maximum(surface.height, np.where(surface.cover > OPAQUE, surface.canopy, 0))
    around = top
    for radius_m in (1.5, 3.0):
        around = ndimage.uniform_filter(around, max(int(radius_m / surface.gsd_m) | 1, 3), mode="nearest")
    return 1 - np.clip((around - top) * np.float32(0.09), 0, 0.5)


def slopes(surface: CitySurface, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the visible top surface over some rows: roof planes as planned, crowns by differences."""
    crown = surface.cover[rows] > 0
    slope_x = surface.slope_x[rows].astype(np.float32)
    slope_y = surface.slope_y[rows].astype(np.float32)
    if crown.any():
        canopy = surface.canopy[rows]
        steep_y, steep_x = np.gradient(canopy, surface.gsd_m) if canopy.shape[0] > 1 else (canopy * 0, canopy * 0)
        np.copyto(slope_x, np.clip(steep_x, -1.2, 1.2), where=crown)
        np.copyto(slope_y, np.clip(steep_y, -1.2, 1.2), where=crown)
    return slope_x, slope_y


def illumination(slope_x: np.ndarray, slope_y: np.ndarray, light: Light) -> np.ndarray:
    """Direct sun on a tilted facet relative to level ground (Lambert), 0–1.6."""
    azimuth, elevation = np.radians(light.azimuth_deg), np.radians(light.elevation_deg)
    right, down = np.sin(azimuth) / np.tan(elevation), -np.cos(azimuth) / np.tan(elevation)
    facing = 1 - slope_x * np.float32(right) - slope_y * np.float32(down)
    facing /= np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    return np.clip(facing, 0.0, 1.6)


def cloud_shadows(rng: np.random.Generator, shape: tuple[int, int], gsd_m: float, count: int) -> np.ndarray | None:
    """Share of direct light left under `count` soft clouds, (H, W) float32 0–1; None without clouds."""
    if not count:
        return None
    height, width = shape
    out = np.ones((height, width), np.float32)
    y = np.arange(height, dtype=np.float32)[:, None] * np.float32(gsd_m)
    x = np.arange(width, dtype=np.float32)[None] * np.float32(gsd_m)
    for _ in range(count):
        x0, y0 = rng.uniform(0, width * gsd_m), rng.uniform(0, height * gsd_m)
        radius, depth = rng.uniform(25, 90, 2), np.float32(rng.uniform(0.4, 0.75))
        weight_x = np.exp(-((x - np.float32(x0)) ** 2) / np.float32(radius[0] ** 2))
        weight_y = np.exp(-((y - np.float32(y0)) ** 2) / np.float32(radius[1] ** 2))
        out *= 1 - depth * np.clip(1.6 * weight_x * weight_y, 0, 1)
    return out
