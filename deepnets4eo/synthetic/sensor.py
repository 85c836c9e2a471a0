"""From surface to image: radiance, relief displacement, resampling to the image grid, blur, noise, tone.

Radiance is linear; display values 0–255 are its square root through the sensor's gain, haze, gamma and saturation.
"""

from __future__ import annotations

import numpy as np
from affine import Affine
from scipy import ndimage

from deepnets4eo.synthetic.light import SKY_TINT, illumination, openness, slopes, sunlit
from deepnets4eo.synthetic.style import Light, Sensor
from deepnets4eo.synthetic.surface import Surface
from deepnets4eo.synthetic.textures import noise_tile

BAND_ROWS = 256


def radiance(surface: Surface, light: Light, dimming: np.ndarray | None = None) -> np.ndarray:
    """Return the light that leaves the top surface, (4, H, W) float32, as the square root of radiance (1 is a white
    level field in full light). `dimming` is the share (H, W) of direct light that clouds leave."""
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
    """Displace tall objects away from the nadir and show their walls, as in an oblique view. `height` is in metres
    above ground."""
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


def resample(layer: np.ndarray, matrix: Affine, shape: tuple[int, int], order: int) -> np.ndarray:
    """A layer (H, W) seen on another lattice; `matrix` takes the new (col, row) pixel centres to old ones."""
    linear = np.array([[matrix.e, matrix.d], [matrix.b, matrix.a]])
    offset = np.array([matrix.f, matrix.c])
    return ndimage.affine_transform(layer, linear, offset, output_shape=shape, order=order, mode="nearest")


def is_crop(matrix: Affine) -> bool:
    """Whether the matrix is a shift by whole pixels."""
    whole = abs(matrix.c - round(matrix.c)) < 1e-9 and abs(matrix.f - round(matrix.f)) < 1e-9
    return whole and matrix.a == 1 and matrix.e == 1 and matrix.b == 0 and matrix.d == 0


def view(layer: np.ndarray, matrix: Affine, shape: tuple[int, int], order: int) -> np.ndarray:
    """As `resample`, by cropping where the matrix is a shift by whole pixels."""
    if is_crop(matrix):
        row, col = round(matrix.f), round(matrix.c)
        return layer[row : row + shape[0], col : col + shape[1]].copy()
    return resample(layer, matrix, shape, order)


def blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a (H, W) float32 plane with repeated edges; taps summed in bands of rows, which stay in cache."""
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
    """Return the scene (4, H, W), the square root of radiance on the grid of the image, after blur, sharpening, tone
    and noise as uint8."""
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
