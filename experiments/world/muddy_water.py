"""Muddy floods drawn over windows of made-up places, and what looks like them and is dry.

A flood between houses and trees hides the ground up to one level: brown, khaki or milky, in two tones that mix, streaked by the wind, with
specks of the sun and lines of foam, in haze. Dry are closed forest, smoke over burnt trees, dark lawns, wet fields and vineyards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.cards import VOID, Legend
from world.water_windows import DRY, SOFT_PX, WATER, oriented_noise

# Display colours (red, green, blue, near infrared) of muddy water, from milky to dark.
MUDDY = np.array(
    [(188, 168, 122, 90), (160, 140, 104, 80), (128, 112, 82, 70), (104, 100, 68, 60), (72, 80, 54, 50), (140, 134, 118, 70)],
    np.float32,
)  # fmt: skip
LAWN, WET_SOIL, VINE, FOREST = (
    np.array(colour, np.float32)
    for colour in ((48, 72, 44, 130), (74, 64, 52, 70), (66, 84, 52, 120), (44, 68, 42, 140))
)
SMOKE, HAZE = np.array((168, 170, 176, 160), np.float32), np.array((176, 180, 186, 170), np.float32)
FLOODED_SHARE, HAZY_SHARE, WOODED_SHARE = 0.5, 0.3, 0.35  # of the windows
OPAQUE = 0.6  # share of smoke from which water below cannot be seen

_MINICITY = Legend.load("minicity")
_STANDING = [_MINICITY.value(name) for name in ("building", "tree", "boat")]
_BUILT = [_MINICITY.value(name) for name in ("building", "boat")]
_PLANTS = [_MINICITY.value(name) for name in ("tree", "low_vegetation")]
_GROUND = [_MINICITY.value(name) for name in ("low_vegetation", "clutter")]


def draw_muddy(
    image: ByteImage, classes: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[ByteImage, NDArray[np.uint8]]:
    """Draw a muddy flood or what looks like one, at times both, and haze.

    Parameters
    ----------
    image : (4, H, W) uint8 display values
    classes : (H, W) uint8 of the legend `water-and-mud`
    labels : (H, W) uint8 of the legend `minicity`, what the image shows

    Returns
    -------
    The image and the classes that it shows now; void where smoke hides water.
    """
    looks = image.astype(np.float32)
    flooded = rng.random() < FLOODED_SHARE
    if not flooded or rng.random() < 0.4:
        for draw in rng.permutation(np.array([dark_lawns, wet_fields, vineyards], object))[: rng.integers(1, 3)]:
            looks = draw(looks, np.isin(labels, _GROUND) & (classes == DRY), rng)
    if flooded:
        below = oriented_noise(rng, labels.shape, rng.uniform(50, 200), 1.0) < rng.normal(0.3, 0.8)
        classes = flooded_classes(classes, labels, below)
        looks = muddy_look(looks, classes == WATER, rng)
    if rng.random() < WOODED_SHARE:
        looks, classes = closed_forest(looks, classes, labels, rng)
    if not flooded and rng.random() < 0.4:
        looks, classes = under_smoke(looks, classes, labels, rng)
    if rng.random() < HAZY_SHARE:
        share = rng.uniform(0.05, 0.5) * _veil(rng, labels.shape)
        looks += share * (HAZE[: len(looks), None, None] - looks)
    return np.clip(looks + 0.5, 0, 255).astype(np.uint8), classes


def flooded_classes(classes: NDArray[np.uint8], labels: NDArray[np.uint8], below: Mask) -> NDArray[np.uint8]:
    """Return the classes after water has covered all ground of a mask; walls, boats and crowns stand out."""
    return np.where(below & ~np.isin(labels, _STANDING), np.uint8(WATER), classes)


def muddy_look(looks: FloatImage, water: Mask, rng: np.random.Generator) -> FloatImage:
    """Return the image (C, H, W) with muddy water where a mask (H, W) says."""
    if not water.any():
        return looks
    shape = water.shape
    broad = oriented_noise(rng, shape, rng.uniform(60, 200), 1.0)
    first, second = (_varied(MUDDY[int(rng.integers(len(MUDDY)))], looks, rng) for _ in range(2))
    mixed = (rng.uniform(0, 0.35) * np.clip(0.5 + 0.5 * broad, 0, 1))[None]
    colour = first[:, None, None] * (1 - mixed) + second[:, None, None] * mixed
    narrow = rng.uniform(1, 4)
    relief = rng.exponential(3.0) * oriented_noise(rng, shape, rng.uniform(3, 12), narrow)  # streaks of the wind
    relief += rng.exponential(2.5) * rng.standard_normal(shape).astype(np.float32)
    if rng.random() < 0.5:  # the sun on small waves, in parts of the water
        relief += rng.uniform(8, 60) * np.clip(oriented_noise(rng, shape, 2.5, 1.0) + 0.6 * broad - 1.2, 0, 1)
    if rng.random() < 0.35:  # lines of foam
        ridges = np.abs(oriented_noise(rng, shape, rng.uniform(20, 60), narrow))
        relief += rng.uniform(10, 70) * np.clip(1 - ridges / rng.uniform(0.02, 0.06), 0, 1)
    kept = np.float32(min(rng.exponential(0.1), 0.6))  # of the ground in shallow water, and of debris
    means = looks[:, water].mean(axis=1)[:, None, None]
    return _laid(looks, colour + kept * (looks - means) + relief.astype(np.float32), water)


def dark_lawns(looks: FloatImage, ground: Mask, rng: np.random.Generator) -> FloatImage:
    """Return the image with smooth dark green on parts of the ground."""
    return _field(looks, ground, LAWN, rng, stripes=rng.uniform(0, 2))


def wet_fields(looks: FloatImage, ground: Mask, rng: np.random.Generator) -> FloatImage:
    """Return the image with dark soil on parts of the ground, wetter here and there, with furrows."""
    moist = 1 - rng.uniform(0, 0.4) * _veil(rng, ground.shape)
    return _field(looks, ground, WET_SOIL, rng, stripes=rng.uniform(1, 8), light=moist)


def vineyards(looks: FloatImage, ground: Mask, rng: np.random.Generator) -> FloatImage:
    """Return the image with rows of plants on parts of the ground."""
    return _field(looks, ground, VINE, rng, stripes=rng.uniform(8, 30))


def closed_forest(
    looks: FloatImage, classes: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[FloatImage, NDArray[np.uint8]]:
    """Return the image with crowns that touch on a part of it, from one side in the sun, and the classes, dry there."""
    shape = labels.shape
    wood = oriented_noise(rng, shape, rng.uniform(60, 250), rng.uniform(0, 2)) > rng.normal(0.2, 0.7)
    wood &= ~np.isin(labels, _BUILT)
    crowns = oriented_noise(rng, shape, rng.uniform(3, 12), 0.0)
    sunny = crowns - np.roll(crowns, tuple(rng.integers(-2, 3, 2)), (0, 1))
    relief = rng.uniform(1, 8) * crowns + rng.uniform(0, 8) * sunny + rng.exponential(2.0) * rng.standard_normal(shape)
    relief += rng.uniform(0, 8) * oriented_noise(rng, shape, 80.0, 1.0)
    drawn = _varied(FOREST, looks, rng)[:, None, None] + relief.astype(np.float32)
    return _laid(looks, drawn, wood), np.where(wood, np.uint8(DRY), classes)


def under_smoke(
    looks: FloatImage, classes: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[FloatImage, NDArray[np.uint8]]:
    """Return the image after a fire: burnt plants below smoke; the classes are void where it hides water."""
    burnt = np.isin(labels, _PLANTS) & (oriented_noise(rng, labels.shape, 90.0, 1.0) > rng.uniform(-1.5, 0.5))
    grey = looks[:3].mean(axis=0, keepdims=True)
    looks = _laid(looks, rng.uniform(0.35, 0.8) * (0.5 * looks + 0.5 * grey), burnt)
    share = rng.uniform(0.2, 0.9) * _veil(rng, labels.shape)
    colour = _varied(SMOKE, looks, rng)
    looks = looks + share * (colour[:, None, None] - looks)
    return looks, np.where((classes == WATER) & (share > OPAQUE), np.uint8(VOID), classes)


def _field(
    looks: FloatImage,
    ground: Mask,
    colour: FloatImage,
    rng: np.random.Generator,
    *,
    stripes: float,
    light: FloatImage | float = 1.0,
) -> FloatImage:
    """The image with a field of a colour on a part of the ground, with rows across a drawn direction."""
    shape = ground.shape
    chosen = ground & (oriented_noise(rng, shape, rng.uniform(60, 160), 1.0) > rng.uniform(-1, 0.7))
    if not chosen.any():
        return looks
    rows, cols = np.indices(shape, np.float32)
    angle = rng.uniform(0, np.pi)
    waves = np.sin((rows * np.sin(angle) + cols * np.cos(angle)) * np.float32(2 * np.pi / rng.uniform(2.2, 6)))
    kept = np.float32(rng.uniform(0, 0.5))
    means = looks[:, chosen].mean(axis=1)[:, None, None]
    noise = rng.exponential(1.5) * rng.standard_normal(shape) + stripes * waves
    drawn = _varied(colour, looks, rng)[:, None, None] * light + kept * (looks - means) + noise.astype(np.float32)
    return _laid(looks, drawn.astype(np.float32), chosen)


def _varied(colour: FloatImage, looks: FloatImage, rng: np.random.Generator) -> FloatImage:
    """A colour, lighter or darker, in the light of the image."""
    tone = colour[: len(looks)] * np.float32(np.exp(rng.normal(0, 0.15))) + rng.normal(0, 6, len(looks))
    return np.asarray(tone * np.clip(looks[:3].mean() / 100, 0.6, 1.5), np.float32)


def _veil(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatImage:
    """(H, W) from 0 to 1, as smoke, haze and moisture are denser here and there."""
    broad = oriented_noise(rng, (shape[0], shape[1]), rng.uniform(50, 250), rng.uniform(0, 2))
    return np.asarray(np.clip(0.5 + 0.4 * broad, 0, 1), np.float32)


def _laid(looks: FloatImage, drawn: FloatImage, where: Mask) -> FloatImage:
    """One image over another, with soft edges."""
    share = ndimage.gaussian_filter(where.astype(np.float32), SOFT_PX)
    return np.asarray(looks + share * (drawn - looks), np.float32)
