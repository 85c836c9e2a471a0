"""Windows of pairs of the world to learn water and mud from: one date each, at about 1 m a pixel.

The world paints flood water as a smooth sheet of one colour. Real water is also black, green or silver, has ripples, foam and glint;
and real fields and lawns can be as smooth as water. Both are drawn over the windows here, so that the pairs stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.synthetic.materials import CODE
from world.sensor import SensorVariation
from world.windows import PairOfImages, nearest, resize_image

GSD_M = 1.0  # ground size of a pixel that the network works at
DRY, WATER, MUD = range(3)  # values of the legend `water-and-mud`
WATER_INPUTS = InputSpec({"image": LayerInput.display_rgb}, GSD_M)
# Display colours (red, green, blue) of water: black, green, brown, grey under a bright sky, blue.
COLOURS = np.array([(22, 26, 26), (58, 78, 52), (112, 96, 70), (148, 150, 148), (50, 70, 92)], np.float32)
FIELDS = [CODE[name] for name in ("crop", "ripe_crop", "tilled_soil", "soil", "dry_grass", "asphalt", "old_asphalt")]
SOFT_PX = 0.7  # of the shore

_MINICITY = Legend.load("minicity")
_WATER_LABEL, _TREE_LABEL = _MINICITY.value("water"), _MINICITY.value("tree")
_MUD_LABEL = _MINICITY.value("low_vegetation")
_WATER, _MUD = CODE["water"], CODE["mud"]

Floats = NDArray[np.float32]
DrawMuddy = Callable[
    [ByteImage, NDArray[np.uint8], NDArray[np.uint8], np.random.Generator], tuple[ByteImage, NDArray[np.uint8]]
]


class PairWithSolids(PairOfImages, Protocol):
    """What is read of a pair to learn water from."""

    @property
    def solid_pre(self) -> NDArray[np.uint8]:
        """Materials of the ground before, (H, W) uint8."""

    @property
    def solid_post(self) -> NDArray[np.uint8]:
        """Materials of the ground after, (H, W) uint8."""


def water_classes(pair: PairWithSolids, date: str) -> NDArray[np.uint8]:
    """Return classes (H, W) of the legend `water-and-mud` of what the image of a date, "pre" or "post", shows. Mud is what an
    event left; a muddy field that was there before is dry. Void is where a crown hides water or such mud."""
    labels, solid = getattr(pair, f"labels_{date}"), getattr(pair, f"solid_{date}")
    left = (solid == _MUD) & (pair.solid_pre != _MUD)
    classes = np.where(labels == _WATER_LABEL, np.uint8(WATER), np.uint8(DRY))
    classes[(labels == _MUD_LABEL) & left] = MUD
    classes[(labels == _TREE_LABEL) & ((solid == _WATER) | left)] = VOID
    return classes


@dataclass(frozen=True)
class WaterCutter:
    """Cuts windows of `tile_px` at about the working ground size, each at another scale (factors `scales`).

    `post_share` of them show the second date, `centred_share` lie around a pixel of water where there is one; `looks_share` have another look of their water, `fields_share` smoother fields,
    `varied_share` another sensor than that of the pair, `muddy_share` what `draw_muddy` draws (`muddy_water.draw_muddy`), where there is one.
    """

    tile_px: int = 256
    scales: tuple[float, float] = (0.7, 1.4)
    post_share: float = 0.7
    centred_share: float = 0.5
    looks_share: float = 0.7
    fields_share: float = 0.35
    varied_share: float = 0.8
    variation: SensorVariation = field(default_factory=SensorVariation)
    muddy_share: float = 0.0
    draw_muddy: DrawMuddy | None = None

    def __call__(self, pair: PairWithSolids, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Cut one window: standardised image (3, tile_px, tile_px), `mask` in the legend `water-and-mud`, and `valid`."""
        date = "post" if rng.random() < self.post_share else "pre"
        image, solid, mask = getattr(pair, date), getattr(pair, f"solid_{date}"), water_classes(pair, date)
        scale = np.exp(rng.uniform(*np.log(self.scales)))
        side = min(round(self.tile_px * GSD_M * scale / pair.gsd_m), *image.shape[1:])
        row, col = self._corner(mask == WATER, side, rng)
        window = np.s_[row : row + side, col : col + side]
        bands = resize_image(image[:, window[0], window[1]], self.tile_px)
        mask, solid = (nearest(layer[window], self.tile_px) for layer in (mask, solid))
        if rng.random() < self.fields_share:
            bands = smooth_fields(bands, solid, rng)
        if rng.random() < self.looks_share and (mask == WATER).any():
            bands = other_water(bands, mask == WATER, rng)
        if self.draw_muddy is not None and rng.random() < self.muddy_share:
            labels = nearest(getattr(pair, f"labels_{date}")[window], self.tile_px)
            bands, mask = self.draw_muddy(bands, mask, labels, rng)
        if rng.random() < self.varied_share:
            bands = self.variation(bands, rng)
        sample = {"image": bands[:3], "valid": np.ones(mask.shape, bool)}
        return {"image": WATER_INPUTS.prepare(sample), "mask": mask, "valid": sample["valid"]}

    def _corner(self, water: NDArray[np.bool_], side: int, rng: np.random.Generator) -> list[int]:
        """Row and column where a window starts."""
        most = [length - side for length in water.shape]
        pixels = np.flatnonzero(water) if rng.random() < self.centred_share else np.zeros(0, int)
        if not len(pixels):
            return [int(rng.integers(last + 1)) for last in most]
        centre = np.unravel_index(int(rng.choice(pixels)), water.shape)
        return [
            min(max(int(middle) - int(rng.integers(side)), 0), last) for middle, last in zip(centre, most, strict=True)
        ]


def other_water(image: ByteImage, water: NDArray[np.bool_], rng: np.random.Generator) -> ByteImage:
    """Return an image (4, H, W) with another look of its water: colour, gradient of the sky's light, ripples, foam and glint."""
    share = ndimage.gaussian_filter(water.astype(np.float32), SOFT_PX)
    colour = _draw_colour(image, water, rng)
    shape = water.shape
    broad = oriented_noise(rng, shape, 80.0, 1.0)
    relief = rng.uniform(0, 10) * broad
    relief += (
        rng.exponential(3.0) * oriented_noise(rng, shape, rng.uniform(2.5, 9), rng.uniform(0, 3)) * (0.6 + 0.4 * broad)
    )
    relief += rng.exponential(1.0) * rng.standard_normal(shape).astype(np.float32)  # the noise of a dark image
    if rng.random() < 0.25:
        relief += _foam(rng, shape)
    if rng.random() < 0.3:
        relief += _glint(rng, shape, broad)
    kept = np.float32(rng.uniform(0, 0.8))  # of what the surface of the water shows: debris, ground in shallow water
    looks = image.astype(np.float32)
    means = looks[:, water].mean(axis=1)[:, None, None]
    drawn = colour[:, None, None] + kept * (looks - means) + relief
    return np.clip(looks + share * (drawn - looks) + 0.5, 0, 255).astype(np.uint8)


def _draw_colour(image: ByteImage, water: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """(4,) a display colour of water, at times that of the image; it follows how bright the image is on the whole."""
    own = image[:, water].mean(axis=1).astype(np.float32)
    if rng.random() < 0.2:
        return own
    tone = COLOURS[int(rng.integers(len(COLOURS)))] * np.float32(np.exp(rng.normal(0, 0.25))) + rng.normal(0, 5, 3)
    light = np.clip(image[:3].mean() / 95, 0.6, 1.6)
    return np.append(tone * light, min(own[3], 70)).astype(np.float32)


def _foam(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """(H, W) threads of foam, drawn out by the current, in parts of the water."""
    ridges = np.abs(oriented_noise(rng, shape, rng.uniform(15, 40), rng.uniform(0, 2)))
    where = oriented_noise(rng, shape, 60.0, 1.0) > rng.uniform(-0.5, 1.0)
    return np.asarray(rng.uniform(20, 110) * where * np.clip(1 - ridges / rng.uniform(0.04, 0.15), 0, 1), np.float32)


def _glint(rng: np.random.Generator, shape: tuple[int, int], broad: Floats) -> Floats:
    """(H, W) bright specks of the sun, in parts of the water."""
    specks = oriented_noise(rng, shape, rng.uniform(1.5, 4), 1.0) + 0.7 * broad
    return np.asarray(rng.uniform(30, 140) * np.clip(specks - rng.uniform(1.5, 2.5), 0, 1), np.float32)


def smooth_fields(image: ByteImage, solid: NDArray[np.uint8], rng: np.random.Generator) -> ByteImage:
    """Return an image (4, H, W) in which fields and tarmac are as smooth as water, and at times as dark; they stay dry."""
    chosen = np.isin(solid, rng.choice(FIELDS, 3, replace=False))
    if not chosen.any():
        return image
    share = ndimage.gaussian_filter(chosen.astype(np.float32), SOFT_PX)
    weight = chosen.astype(np.float32)
    width = rng.uniform(2, 8)
    near = np.maximum(ndimage.uniform_filter(weight, 2 * int(width) + 1), 1e-3)
    looks = image.astype(np.float32)
    smooth = np.stack([ndimage.uniform_filter(band * weight, 2 * int(width) + 1) for band in looks]) / near
    dark = np.float32(rng.uniform(0.35, 1) if rng.random() < 0.4 else 1)
    drawn = dark * (smooth + np.float32(rng.uniform(0, 0.5)) * (looks - smooth))
    return np.clip(looks + share * (drawn - looks) + 0.5, 0, 255).astype(np.uint8)


def oriented_noise(rng: np.random.Generator, shape: tuple[int, int], wavelength_px: float, narrow: float) -> Floats:
    """Return smooth noise (H, W) float32 of mean 0 and standard deviation 1.

    wavelength_px : of its waves. narrow : 0 waves of all directions, 3 nearly parallel ones.
    """
    rows, cols = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    frequency = np.hypot(rows, cols)
    heading = np.arctan2(rows, cols) - rng.uniform(0, np.pi)
    gain = np.exp(-0.5 * ((frequency * wavelength_px - 1) / 0.5) ** 2 + narrow * np.cos(2 * heading))
    gain[0, 0] = 0
    noise = np.fft.irfft2(gain * np.fft.rfft2(rng.standard_normal(shape)), shape)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)
