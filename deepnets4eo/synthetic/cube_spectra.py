"""Reflectance of the city's materials at many wavelengths, with absorption features, and what the air leaves of the light.

The curves are made up after the shapes of spectral libraries (red edge, iron in clay tiles, hydrocarbons in bitumen and
plastics, carbonate in concrete, clay in soils, lignin in wood): a map made of them shows that a method works, not how well.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.arrays import FloatImage
from deepnets4eo.cards.legend import Legend, LegendClass
from deepnets4eo.synthetic.materials import NAMES, curve, spectra
from deepnets4eo.synthetic.style import INFRARED, ROOFS

# reflectance of roof coverings at 1650 and 2200 nm; below 900 nm it follows from their colours
COVERINGS = {
    "shingle": (0.20, 0.19), "tile": (0.44, 0.40), "metal": (0.48, 0.46), "membrane": (0.52, 0.36), "bitumen": (0.13, 0.12)
}  # fmt: skip
CUBE_MATERIALS = (*NAMES, *COVERINGS)

Features = tuple[tuple[float, float, float], ...]  # centre and width in nm, depth 0–1
_PLANT: Features = ((675, 18, 0.35), (970, 30, 0.08), (1190, 40, 0.10))
_WOOD: Features = ((1730, 30, 0.06), (2100, 60, 0.14), (2280, 40, 0.10))
_CLAY: Features = ((870, 80, 0.06), (1410, 30, 0.08), (1915, 35, 0.12), (2205, 25, 0.14))
_OIL: Features = ((1720, 20, 0.06), (2310, 30, 0.12))
_LIME: Features = ((1915, 40, 0.08), (2340, 30, 0.16))
_PLASTIC: Features = ((1190, 15, 0.06), (1730, 20, 0.24), (2310, 30, 0.26))
ABSORPTION: dict[str, Features] = {
    "grass": _PLANT, "foliage": _PLANT, "shrub": _PLANT,
    "dry_grass": _WOOD, "branches": _WOOD, "wood": _WOOD,
    "soil": _CLAY, "mud": _CLAY,
    "asphalt": _OIL, "old_asphalt": _OIL, "bitumen": _OIL, "shingle": _OIL,
    "concrete": _LIME, "gravel": _LIME, "paint": _LIME,
    "tarp": _PLASTIC, "boat": _PLASTIC, "membrane": _PLASTIC,
    "tile": ((530, 60, 0.22), (870, 90, 0.16), (2205, 25, 0.05)),
    "metal": ((840, 60, 0.10),),
    "rubble": ((870, 90, 0.08), (1915, 40, 0.09), (2100, 60, 0.06), (2205, 25, 0.07), (2340, 30, 0.09)),
}  # fmt: skip
WATER_VAPOUR: Features = (
    (720, 10, 0.15), (820, 12, 0.20), (940, 25, 0.65), (1135, 30, 0.70), (1380, 50, 0.995), (1880, 60, 0.995)
)  # fmt: skip
SUN_K = 5800.0


def cube_spectra(wavelengths_nm: np.ndarray) -> FloatImage:
    """Reflectance of each material at (B,) wavelengths, 350–2500 nm: (M, B) float32, in the order of `CUBE_MATERIALS`."""
    roofs = []
    for covering, swir in COVERINGS.items():
        colour = np.mean(ROOFS[covering], axis=0)
        display = np.array([*colour, colour.mean() * INFRARED[covering]])
        roofs.append(curve(tuple((display / 255) ** 2), swir, wavelengths_nm, plant=False))
    table = np.concatenate([spectra(wavelengths_nm), np.stack(roofs)])
    for row, name in zip(table, CUBE_MATERIALS, strict=True):
        row *= _pass(ABSORPTION.get(name, ()), wavelengths_nm)
    return table


def light_left(wavelengths_nm: np.ndarray) -> np.ndarray:
    """Sunlight that reaches the sensor relative to that at 550 nm, (B,): a black body's, less what water vapour takes."""

    def black_body(nm: np.ndarray) -> np.ndarray:
        return np.asarray(nm**-5.0 / np.expm1(1.4388e7 / (nm * SUN_K)))

    nm = np.asarray(wavelengths_nm, float)
    return black_body(nm) / black_body(np.array(550.0)) * _pass(WATER_VAPOUR, nm)


def material_legend() -> Legend:
    """The materials as a legend: value k is `CUBE_MATERIALS[k]`."""
    hues = [(number * 0.618) % 1 for number in range(len(CUBE_MATERIALS))]
    classes = [LegendClass(value, name, _colour(hues[value], value)) for value, name in enumerate(CUBE_MATERIALS)]
    return Legend("minicity-materials", tuple(classes), title="Materials of the miniature city (synthetic)")


def _colour(hue: float, value: int) -> tuple[int, int, int]:
    import colorsys

    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, 0.95 - 0.25 * (value % 3)))
    return red, green, blue


def _pass(features: Features, wavelengths_nm: np.ndarray) -> np.ndarray:
    """Share of light that absorption features leave, (B,)."""
    share = np.ones(len(wavelengths_nm))
    for centre, width, depth in features:
        share *= 1 - depth * np.exp(-0.5 * ((wavelengths_nm - centre) / width) ** 2)
    return share
