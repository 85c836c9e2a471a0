"""Properties that differ between cities and dates: region, season, light, sensor, drawn from a generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import Colour

# Display colours of roofs by covering; the infrared follows from the material, see `roof_colour`.
ROOFS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "shingle": ((112, 110, 108), (92, 90, 92), (136, 132, 128), (116, 98, 88), (150, 128, 106), (104, 84, 76),
                (176, 168, 156), (84, 84, 80), (128, 112, 104), (168, 138, 110)),
    "tile": ((156, 98, 78), (170, 112, 90), (134, 86, 74), (182, 128, 102), (120, 82, 72), (150, 110, 96)),
    "metal": ((176, 178, 180), (142, 146, 150), (208, 208, 204), (116, 126, 132), (142, 104, 88), (104, 122, 112), (150, 140, 128)),
    "membrane": ((216, 214, 208), (234, 232, 228), (186, 184, 178), (200, 190, 172)),
    "bitumen": ((86, 84, 84), (108, 104, 100), (128, 124, 120), (98, 90, 84)),
}  # fmt: skip
INFRARED = {"shingle": 1.08, "tile": 1.12, "metal": 1.0, "membrane": 0.97, "bitumen": 1.04}


def mean_roof(covering: str) -> NDArray[np.float64]:
    """Return the mean display colour of the roofs of a covering, and their infrared (4,)."""
    colour = np.mean(ROOFS[covering], axis=0)
    return np.array([*colour, colour.mean() * INFRARED[covering]])


def roof_colour(rng: np.random.Generator, covering: str) -> Colour:
    """Return a roof's display colour: a colour of its covering, varied in brightness and hue."""
    palette = ROOFS[covering]
    base = np.array(palette[rng.integers(len(palette))], float) * rng.uniform(0.85, 1.12) + rng.normal(0, 2.5, 3)
    infrared = base.mean() * INFRARED[covering]
    red, green, blue, near = np.clip([*base, infrared], 20, 245).astype(int)
    return int(red), int(green), int(blue), int(near)


@dataclass(frozen=True)
class Region:
    """Building style of a region. Shares 0–1, lengths in metres."""

    name: str
    block_m: tuple[float, float]  # across a block, street to street
    row_m: tuple[float, float]  # along a block
    lot_m: tuple[float, float]
    house_m: tuple[float, float, float, float]  # length from, to; depth from, to
    coverings: tuple[tuple[str, float], ...]
    two_storeys: float
    trees_per_ha: tuple[float, float]
    curvature: float  # metres of the streets' meander
    fences: float


REGIONS = (
    Region("suburb", (62, 88), (130, 240), (17, 25), (12, 20, 9, 14),
           (("shingle", 0.8), ("metal", 0.1), ("tile", 0.1)), 0.2, (22, 85), 14.0, 0.5),
    Region("town", (48, 72), (90, 170), (12, 20), (9, 14, 8, 12),
           (("tile", 0.55), ("shingle", 0.3), ("metal", 0.15)), 0.7, (18, 60), 22.0, 0.7),
    Region("dense", (34, 52), (60, 120), (9, 14), (7, 11, 6, 10),
           (("metal", 0.6), ("tile", 0.2), ("bitumen", 0.2)), 0.25, (4, 22), 9.0, 0.4),
)  # fmt: skip


@dataclass(frozen=True)
class Season:
    """State of the vegetation.

    Parameters
    ----------
    greenness : of lawns, 0 (straw) to 1 (fresh green)
    leaf : leaves on deciduous trees, 0 (bare) to 1 (full)
    tint : autumn colour of leaves, 0 to 1
    """

    greenness: float
    leaf: float
    tint: float = 0.0

    @classmethod
    def of_day(cls, day: float) -> Season:
        """Return the season of a day of the year (1 to 366) in the temperate northern hemisphere.

        >>> Season.of_day(200).leaf
        1.0
        """
        leaf = float(np.clip((day - 95) / 35, 0, 1) * np.clip((325 - day) / 40, 0, 1))
        tint = float(np.clip((day - 262) / 35, 0, 1))
        drought = 0.35 * np.exp(-(((day - 225) / 35) ** 2))
        greenness = float(np.clip(0.25 + 0.75 * np.exp(-(((day - 150) / 75) ** 2)) - drought, 0, 1))
        return cls(greenness, leaf, tint)


@dataclass(frozen=True)
class Light:
    """Position of the sun and share of direct light.

    Parameters
    ----------
    azimuth_deg : direction of the sun, degrees from north, clockwise
    elevation_deg : height of the sun above the horizon, degrees
    direct : share of direct light, 0 (overcast) to 1

    Examples
    --------
    >>> Light(azimuth_deg=180.0, elevation_deg=45.0, direct=0.7).direct
    0.7
    """

    azimuth_deg: float
    elevation_deg: float
    direct: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """Draw a late-morning to afternoon sun; one time in four the sky is overcast."""
        direct = rng.uniform(0.08, 0.35) if rng.random() < 0.25 else rng.uniform(0.55, 0.8)
        return cls(float(rng.uniform(110, 250)), float(rng.uniform(30, 66)), float(direct))


@dataclass(frozen=True)
class Sensor:
    """Optics and radiometry of one acquisition.

    Parameters
    ----------
    blur_px : standard deviation of the point spread function, in pixels of the image
    noise : standard deviation, in display units 0–255
    gain : factors of red, green, blue and near infrared
    haze : offsets of the same bands, in display units
    gamma : exponent of the tone curve
    contrast : stretch about the mean of the image
    sharpening : weight of the unsharp mask
    saturation : factor of the distance from grey
    view : (right, down) displacement in metres per metre of height
    """

    blur_px: float
    noise: float
    gain: tuple[float, float, float, float]
    haze: tuple[float, float, float, float]
    gamma: float
    contrast: float
    sharpening: float
    saturation: float
    view: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Sensor:
        """Draw a plausible airborne or very-high-resolution satellite sensor."""
        cast = rng.normal(0, 0.05, 4)
        brightness = rng.uniform(0.62, 1.12)
        haze = rng.uniform(4, 26) + rng.normal(0, 4, 4) + np.array([0, 1, 5, -4])
        tilt, heading = rng.uniform(0, 0.16), rng.uniform(0, 2 * np.pi)
        gain = tuple(float(value) for value in brightness * (1 + cast))
        return cls(
            blur_px=float(rng.uniform(0.35, 0.9)),
            noise=float(rng.uniform(1.0, 4.0)),
            gain=(gain[0], gain[1], gain[2], gain[3]),
            haze=(float(haze[0]), float(haze[1]), float(haze[2]), float(max(haze[3], 0))),
            gamma=float(rng.uniform(0.85, 1.2)),
            contrast=float(rng.uniform(0.95, 1.5)),
            sharpening=float(max(rng.uniform(-0.3, 0.8), 0.0)),
            saturation=float(rng.uniform(0.75, 1.2)),
            view=(float(tilt * np.cos(heading)), float(tilt * np.sin(heading))),
        )


@dataclass(frozen=True)
class Style:
    """Properties of one city before the event."""

    region: Region
    trees_per_ha: float
    dryness: float
    evergreen: float
    season: Season
    light: Light
    sensor: Sensor

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Style:
        """Draw a city and its pre-event acquisition."""
        region = REGIONS[int(rng.choice(len(REGIONS), p=(0.6, 0.25, 0.15)))]
        return cls(
            region=region,
            trees_per_ha=float(rng.uniform(*region.trees_per_ha)),
            dryness=float(rng.uniform(-0.15, 0.35)),
            evergreen=float(rng.uniform(0.05, 0.35)),
            season=Season.of_day(float(rng.uniform(40, 340))),
            light=Light.draw(rng),
            sensor=Sensor.draw(rng),
        )
