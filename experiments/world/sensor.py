"""From radiance to a delivered image (optics, tone, noise, JPEG), and an image as other sensors would deliver it.

The ranges of medians, contrasts and colour casts cover real scenes of aircraft and satellites (medians of grey 45–166,
first percentiles 0–68, 99th 150–255, green minus red −28 to +32, blue minus green −37 to +5, range between
the bands at its 98th percentile 25–123).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from deepnets4eo.arrays import ByteImage
from world.surface import Floats

NIR_SHARE, GREY_SHARE = 0.07, 0.05  # of the windows: near infrared, red, green as colour; one band as all three
COARSER_SHARE = 0.25  # of the windows, delivered with finer pixels than the sensor had
COARSEST = 2.2  # pixels of the sensor in delivered ones, at most

TONES = 8192  # entries of the tone curve
BRIGHTEST = 2.5  # radiance at its end
NOISE_BITS = 15


@dataclass(frozen=True)
class WorldSensor:
    """Optics and radiometry of one delivered image: blur, sharpening, pan-sharpening with colours shifted by
    `colour_shift_px`, display values of the median, the 1st and the 99.5th percentile, gains and casts of the bands,
    saturation limited by `chroma` (98th percentile of the range between bands), noise, stripes, JPEG quality (0 for
    none)."""

    blur_px: float
    sharpening: float
    pan: float
    colour_shift_px: tuple[int, int]
    median: float
    black: float
    white: float
    gain: tuple[float, ...]
    cast: tuple[float, ...]
    saturation: float
    chroma: float
    noise: float
    stripes: float
    jpeg: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> WorldSensor:
        """Draw a sensor and a way to deliver its images."""
        spans = {
            "plain": ((62, 122), (14, 56), (170, 245)),
            "dark": ((44, 74), (0, 30), (135, 225)),
            "bright": ((108, 165), (0, 55), (225, 255)),
            "hazy": ((82, 124), (46, 74), (150, 210)),
        }
        look = str(rng.choice(list(spans), p=(0.54, 0.2, 0.16, 0.10)))
        median, black, white = (float(rng.uniform(*span)) for span in spans[look])
        warmth = rng.normal(-0.045, 0.075)
        blue = rng.normal(-0.045, 0.08) - 0.3 * warmth + (0.1 if look == "hazy" else 0.0)
        sharpened = rng.random() < 0.4
        shift = rng.integers(-1, 2, 2)
        return cls(
            blur_px=float(rng.uniform(0.3, 0.85)),
            sharpening=float(rng.uniform(0.1, 0.9)) if rng.random() < 0.5 else 0.0,
            pan=float(rng.uniform(0.85, 1.25)) if sharpened else 0.0,
            colour_shift_px=(int(shift[0]), int(shift[1])),
            median=median,
            black=black,
            white=max(white, median + 60),
            gain=(1 + float(warmth), 1.0, 1 + float(blue), float(rng.uniform(0.7, 1.1))),
            cast=tuple(float(value) for value in rng.normal(0, 4, 4)),
            saturation=float(rng.uniform(0.6, 1.2)),
            chroma=float(np.clip(rng.lognormal(4.0, 0.42), 22, 130)),
            noise=float(rng.gamma(2.0, 0.9)),
            stripes=float(rng.uniform(0.004, 0.02)) if rng.random() < 0.08 else 0.0,
            jpeg=int(rng.integers(40, 96)) if rng.random() < 0.7 else 0,
        )


def expose(
    radiance: Floats, sensor: WorldSensor, rng: np.random.Generator, *, shift_px: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.uint8]:
    """Return the delivered image (4, H, W) uint8 of linear radiance (H, W, 4). The scene moves down and to the right by
    `shift_px`, parts of a pixel."""
    sharp = np.empty_like(radiance)
    _filter(radiance, sharp, _taps(sensor, shift_px[0]), _taps(sensor, shift_px[1]))
    if sensor.pan > 0:
        _pan_sharpen(sharp, np.float32(sensor.pan), *sensor.colour_shift_px)
    sample = np.maximum(sharp[::7, ::5, :3], np.float32(0))
    curve = _tone_curve(sample, sensor)
    gain, cast = np.array(sensor.gain, np.float32), np.array(sensor.cast, np.float32)
    saturation = np.float32(min(sensor.saturation, sensor.chroma / max(_chroma(sample, curve, gain, cast), 1.0)))
    noise = rng.standard_normal(1 << NOISE_BITS, np.float32) * np.float32(sensor.noise)
    columns = np.full(radiance.shape[1], (TONES - 1) / BRIGHTEST, np.float32)
    if sensor.stripes > 0:
        columns *= 1 + rng.normal(0, sensor.stripes, len(columns)).astype(np.float32)
    image = np.empty((4, *radiance.shape[:2]), np.uint8)
    _develop(sharp, image, curve, gain, cast, noise, columns, saturation, int(rng.integers(1 << 30)))
    if sensor.jpeg:
        image[:3] = _through_jpeg(image[:3], sensor.jpeg)
    return image


def _taps(sensor: WorldSensor, shift: float) -> Floats:
    """Weights of a row of pixels: point spread, sharpening and a shift by part of a pixel."""
    radius = 2 if sensor.blur_px < 0.6 else 3
    steps = np.arange(-radius, radius + 1) + shift
    narrow = np.exp(-0.5 * (steps / sensor.blur_px) ** 2)
    wide = np.exp(-0.5 * (steps / (sensor.blur_px + 0.7)) ** 2)
    taps = (1 + 0.5 * sensor.sharpening) * narrow / narrow.sum() - 0.5 * sensor.sharpening * wide / wide.sum()
    return np.asarray(taps, np.float32)


def _tone_curve(sample: Floats, sensor: WorldSensor) -> Floats:
    """(TONES,) display values by radiance, before gains and casts; `sample` : (h, w, 3) of the image."""
    low, median, high = np.quantile(sample.mean(axis=2), (0.01, 0.5, 0.995))
    high = max(high, low + 0.02)
    middle = np.clip((median - low) / (high - low), 0.02, 0.98)
    wished = np.clip((sensor.median - sensor.black) / (sensor.white - sensor.black), 0.05, 0.95)
    power = float(np.clip(np.log(wished) / np.log(middle), 0.4, 1.5))
    part = (np.linspace(0, BRIGHTEST, TONES, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    # Below the first percentile the curve goes on straight, so that the deepest shadows stay apart.
    start = np.float32(0.02)
    curve = np.where(part > start, np.maximum(part, start) ** np.float32(power), part * start ** np.float32(power - 1))
    return np.float32(sensor.black) + np.float32(sensor.white - sensor.black) * curve


def _chroma(sample: Floats, curve: Floats, gain: Floats, cast: Floats) -> float:
    """98th percentile of the range between red, green and blue in display values."""
    index = np.minimum(sample * np.float32((TONES - 1) / BRIGHTEST), np.float32(TONES - 1)).astype(np.int32)
    values = np.clip(curve[index] * gain[:3] + cast[:3], 0, 255)
    return float(np.quantile(values.max(axis=2) - values.min(axis=2), 0.98))


def _through_jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """An image (3, H, W) as it comes back from a JPEG file."""
    stream = BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0))).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream)).transpose(2, 0, 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _filter(source, out, down, across):  # type: ignore[no-untyped-def]
    """Separable filter with repeated edges."""
    height, width, bands = source.shape
    radius = len(down) // 2
    length = width * bands
    line = np.zeros((width + 2 * radius) * bands, np.float32)
    middle = line[radius * bands : radius * bands + length]
    for row in range(height):
        middle[:] = 0
        for k in range(2 * radius + 1):
            other = source[min(max(row + k - radius, 0), height - 1)].reshape(-1)
            weight = down[k]
            for i in range(length):
                middle[i] += weight * other[i]
        for k in range(radius):
            for band in range(bands):
                line[k * bands + band] = middle[band]
                line[(width + radius + k) * bands + band] = middle[length - bands + band]
        result = out[row].reshape(-1)
        result[:] = 0
        for k in range(2 * radius + 1):
            part = line[k * bands : k * bands + length]
            weight = across[k]
            for i in range(length):
                result[i] += weight * part[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _coarse_means(image, row_shift, col_shift):  # type: ignore[no-untyped-def]
    """Means of 4 by 4 pixels, displaced."""
    height, width = image.shape[:2]
    coarse = np.zeros((height // 4 + 2, width // 4 + 2, 4), np.float32)
    for i in range(coarse.shape[0]):
        for m in range(4):
            row = min(max(4 * i + m - 2 + row_shift, 0), height - 1)
            for j in range(coarse.shape[1]):
                for n in range(4):
                    col = min(max(4 * j + n - 2 + col_shift, 0), width - 1)
                    for band in range(4):
                        coarse[i, j, band] += image[row, col, band] * np.float32(0.0625)
    return coarse


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _sharpen_row(row, colours, strength):  # type: ignore[no-untyped-def]
    """One row (W, 4) in its memory; `colours` : coarse means at its height."""
    for col in range(len(row)):
        u = (np.float32(col) + np.float32(0.5)) * np.float32(0.25)
        j = np.uint32(u)
        u -= np.float32(j)
        pan = row[col, 0] + row[col, 1] + row[col, 2] + row[col, 3]
        red = colours[j, 0] + (colours[j + 1, 0] - colours[j, 0]) * u
        green = colours[j, 1] + (colours[j + 1, 1] - colours[j, 1]) * u
        blue = colours[j, 2] + (colours[j + 1, 2] - colours[j, 2]) * u
        infrared = colours[j, 3] + (colours[j + 1, 3] - colours[j, 3]) * u
        smooth = max(red + green + blue + infrared, np.float32(1e-3))
        ratio = max(np.float32(1) + strength * (pan / smooth - np.float32(1)), np.float32(0))
        row[col, 0], row[col, 1], row[col, 2], row[col, 3] = red * ratio, green * ratio, blue * ratio, infrared * ratio


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _pan_sharpen(image, strength, row_shift, col_shift):  # type: ignore[no-untyped-def]
    """Colours of a quarter of the resolution, somewhat displaced, with the details of all bands together."""
    coarse = _coarse_means(image, row_shift, col_shift)
    for row in range(len(image)):
        v = (np.float32(row) + np.float32(0.5)) * np.float32(0.25)
        i = int(v)
        _sharpen_row(image[row], coarse[i] + (coarse[i + 1] - coarse[i]) * (v - np.float32(i)), strength)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _develop(radiance, image, curve, gain, cast, noise, columns, saturation, start):  # type: ignore[no-untyped-def]
    """Tone, saturation, stripes (`columns` : places of the curve by radiance) and noise."""
    height, width = radiance.shape[:2]
    last = np.float32(len(curve) - 1)
    third, zero, most, half = np.float32(1 / 3), np.float32(0), np.float32(255), np.float32(0.5)
    toned, grey = np.empty((4, width), np.float32), np.empty(width, np.float32)
    for row in range(height):
        for col in range(width):
            for band in range(4):
                index = np.uint32(min(max(radiance[row, col, band] * columns[col], zero), last))
                toned[band, col] = curve[index] * gain[band] + cast[band]
            grey[col] = (toned[0, col] + toned[1, col] + toned[2, col]) * third
        for band in range(4):
            at = (start + row * 26699 + band * 7001) % (len(noise) - width)
            grain, values, out = noise[at : at + width], toned[band], image[band, row]
            factor = saturation if band < 3 else np.float32(1)
            for col in range(width):
                value = grey[col] + factor * (values[col] - grey[col])
                value += grain[col] * (np.float32(0.6) + value * np.float32(0.004))
                out[col] = np.uint8(min(max(value + half, zero), most))


@dataclass(frozen=True)
class SensorVariation:
    """How far tones and colours vary, so far that colour alone does not separate a roof from the ground: standard
    deviations of log gain, log exponent, haze (share of full scale) and mixing of bands (a quarter of the first two
    for each band), and spans of the factors of contrast and saturation.

    >>> SensorVariation()(np.full((4, 8, 8), 90, np.uint8), np.random.default_rng(0)).shape
    (3, 8, 8)
    """

    gain: float = 0.2
    gamma: float = 0.2
    haze: float = 0.04
    contrast: tuple[float, float] = (0.65, 1.4)
    saturation: tuple[float, float] = (0.1, 1.5)
    mixing: float = 0.12

    def __call__(self, image: ByteImage, rng: np.random.Generator) -> ByteImage:
        """(3 or 4, H, W) uint8 red, green, blue, near infrared → (3, H, W) uint8; the same generator state, the same image."""
        toned = self._tone(np.divide(_choose_bands(image, rng), 255, dtype=np.float32), rng)
        return _degrade(np.clip(toned * 255 + 0.5, 0, 255).astype(np.uint8), rng)

    def _tone(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        grey = image.mean(axis=0, keepdims=True)
        image = grey + (image - grey) * np.float32(rng.uniform(*self.saturation))
        shares = np.eye(3, dtype=np.float32) + rng.normal(0, self.mixing, (3, 3)).astype(np.float32)
        image = np.tensordot(shares / shares.sum(axis=1, keepdims=True), image, axes=1)
        mean = image.mean()
        image = mean + (image - mean) * np.float32(rng.uniform(*self.contrast))
        image = np.clip(image, 0, 1.5) ** np.float32(np.exp(rng.normal(0, self.gamma)))
        gain = np.exp(rng.normal(0, self.gain) + rng.normal(0, self.gain / 4, (3, 1, 1)))
        haze = rng.normal(0, self.haze) + rng.normal(0, self.haze / 4, (3, 1, 1))
        toned: NDArray[np.float32] = image * gain.astype(np.float32) + haze.astype(np.float32)
        return toned


def _choose_bands(image: ByteImage, rng: np.random.Generator) -> ByteImage:
    """Mostly red, green, blue; at times a false-colour image where there is near infrared, or a grey one."""
    drawn = rng.random()
    if drawn < NIR_SHARE and len(image) > 3:
        return image[[3, 0, 1]]
    if drawn < NIR_SHARE + GREY_SHARE:
        return np.broadcast_to(image[:3].mean(axis=0).astype(np.uint8), (3, *image.shape[1:]))
    return image[:3]


def _degrade(image: ByteImage, rng: np.random.Generator) -> ByteImage:
    """Coarser pixels, blur or sharpening, noise, and compression, each in a part of the images."""
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    if rng.random() < COARSER_SHARE:
        picture = _interpolated(picture, rng.uniform(1.2, COARSEST))
    drawn = rng.random()
    if drawn < 0.35:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3)))
    elif drawn < 0.55:
        picture = picture.filter(ImageFilter.UnsharpMask(rng.uniform(1, 2), int(rng.uniform(30, 150)), 0))
    if rng.random() < 0.4:
        noise = rng.standard_normal((*picture.size[::-1], 3), np.float32) * np.float32(rng.uniform(1, 7))
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(rng.uniform(40, 95)))
        picture = Image.open(buffer)
    return np.asarray(picture).transpose(2, 0, 1)


def _interpolated(picture: Image.Image, factor: float) -> Image.Image:
    """The picture with pixels so many times as large, interpolated to its size again, as providers do."""
    smaller = picture.resize([max(1, round(side / factor)) for side in picture.size], Image.Resampling.BOX)
    return smaller.resize(picture.size, Image.Resampling.BICUBIC)
