"""The same site as another sensor and another provider would show it: bands, tones, sharpness, noise, compression.

Takes display values of a simulated image; returns display values. Trusts its input.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from deepnets4eo.arrays import ByteImage

NIR_SHARE, GREY_SHARE = 0.07, 0.05  # of the windows: near infrared, red, green as colour; one band as all three
COARSER_SHARE = 0.25  # of the windows, delivered with finer pixels than the sensor had
COARSEST = 2.2  # pixels of the sensor in delivered ones, at most


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
        toned = self._tone(_choose_bands(image, rng) / np.float32(255), rng)
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
