"""Materials of the miniature city: the colour, spectrum and class of each material, pixel and laser return.

Colours are display values 0–255 of (red, green, blue, near infrared); reflectance is their square over 255².

Points have ASPRS codes: 2 ground, 3 low, 5 high vegetation, 6 building, 9 water, 11 road, 1 anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from deepnets4eo.cards import Legend
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.points import PointCloud
from deepnets4eo.synthetic.surface import BAND_ROWS, OPAQUE, CitySurface

STANDING_M = 1.6  # a lower building is rubble

ASPRS = {"impervious": 11, "low_vegetation": 2, "water": 9, "building": 6, "tree": 5}


Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class Material:
    """A material between two colours, with weights of textures, reflectance at 1650 and 2200 nm and class."""

    name: str
    low: Colour
    high: Colour
    texture: tuple[float, float, float]
    swir: tuple[float, float]
    kind: str


_MATERIALS = (
    Material("grass", (78, 98, 66, 160), (112, 122, 88, 182), (0.16, 0.16, 0.17), (0.24, 0.12), "low_vegetation"),
    Material(
        "dry_grass", (120, 112, 86, 140), (156, 144, 112, 158), (0.16, 0.16, 0.17), (0.32, 0.20), "low_vegetation"
    ),
    Material("soil", (128, 108, 86, 134), (176, 154, 124, 168), (0.18, 0.18, 0.10), (0.38, 0.33), "clutter"),
    Material("asphalt", (70, 70, 72, 80), (104, 102, 100, 108), (0.18, 0.14, 0.12), (0.16, 0.15), "impervious"),
    Material("old_asphalt", (122, 118, 112, 126), (152, 147, 138, 152), (0.16, 0.14, 0.10), (0.22, 0.21), "impervious"),
    Material("concrete", (160, 154, 142, 160), (204, 196, 180, 202), (0.14, 0.16, 0.10), (0.34, 0.30), "impervious"),
    Material("gravel", (140, 132, 118, 140), (180, 170, 152, 176), (0.12, 0.16, 0.20), (0.30, 0.27), "impervious"),
    Material("water", (38, 50, 48, 26), (58, 72, 62, 36), (0.30, 0.10, 0.03), (0.01, 0.005), "water"),
    Material("pool", (86, 158, 178, 60), (118, 186, 196, 76), (0.1, 0.2, 0.1), (0.02, 0.01), "clutter"),
    Material("foliage", (48, 66, 42, 150), (82, 100, 62, 190), (0.1, 0.1, 0.2), (0.22, 0.10), "tree"),
    Material("branches", (88, 80, 72, 112), (128, 116, 102, 140), (0.1, 0.2, 0.3), (0.28, 0.18), "tree"),
    Material("shrub", (44, 62, 40, 140), (78, 92, 58, 176), (0.1, 0.2, 0.2), (0.22, 0.10), "low_vegetation"),
    Material("roof", (90, 88, 86, 100), (120, 116, 112, 124), (0.1, 0.1, 0.2), (0.22, 0.20), "building"),
    Material("paint", (205, 203, 196, 205), (225, 222, 214, 222), (0.0, 0.1, 0.2), (0.40, 0.36), "impervious"),
    Material("wood", (120, 98, 78, 136), (160, 134, 108, 166), (0.0, 0.2, 0.2), (0.36, 0.26), "clutter"),
    Material("car", (60, 60, 60, 70), (200, 200, 200, 200), (0.0, 0.0, 0.1), (0.20, 0.18), "car"),
    Material("boat", (190, 190, 188, 190), (232, 232, 228, 225), (0.0, 0.0, 0.1), (0.30, 0.26), "boat"),
    Material("rubble", (96, 80, 70, 100), (170, 148, 130, 164), (0.14, 0.26, 0.30), (0.34, 0.30), "clutter"),
    Material("tarp", (36, 74, 168, 150), (60, 104, 200, 176), (0.0, 0.1, 0.05), (0.30, 0.22), "building"),
    Material("burnt", (30, 29, 30, 34), (74, 70, 66, 74), (0.1, 0.3, 0.3), (0.08, 0.08), "clutter"),
    Material("mud", (92, 82, 62, 116), (128, 112, 86, 140), (0.2, 0.2, 0.14), (0.26, 0.20), "low_vegetation"),
    # What only the miniature world has; codes before these stay as they are.
    Material("laterite", (136, 88, 62, 140), (186, 124, 88, 184), (0.22, 0.18, 0.10), (0.40, 0.34), "clutter"),
    Material("sand", (176, 158, 126, 182), (220, 202, 168, 220), (0.18, 0.14, 0.08), (0.46, 0.42), "clutter"),
    Material("crop", (74, 98, 56, 168), (104, 126, 72, 196), (0.14, 0.14, 0.14), (0.24, 0.12), "low_vegetation"),
    Material(
        "ripe_crop", (150, 132, 88, 160), (188, 168, 118, 186), (0.14, 0.14, 0.12), (0.36, 0.24), "low_vegetation"
    ),
    Material("tilled_soil", (98, 80, 64, 104), (142, 118, 94, 146), (0.18, 0.16, 0.14), (0.32, 0.28), "clutter"),
    Material("snow", (206, 210, 216, 196), (238, 240, 244, 224), (0.12, 0.14, 0.06), (0.06, 0.05), "clutter"),
    Material("flood_water", (104, 88, 66, 66), (142, 120, 92, 92), (0.28, 0.10, 0.03), (0.02, 0.01), "water"),
    Material("ash", (112, 110, 108, 112), (168, 166, 162, 166), (0.2, 0.24, 0.2), (0.22, 0.22), "clutter"),
    Material("concrete_roof", (138, 134, 126, 140), (182, 176, 164, 180), (0.14, 0.2, 0.14), (0.30, 0.27), "building"),
    Material("rock", (84, 80, 76, 92), (142, 134, 124, 146), (0.16, 0.26, 0.26), (0.28, 0.26), "clutter"),
    Material("lava", (40, 38, 38, 44), (70, 66, 62, 70), (0.2, 0.2, 0.2), (0.12, 0.12), "clutter"),
    Material("scrub", (86, 84, 58, 116), (126, 116, 82, 148), (0.18, 0.24, 0.24), (0.28, 0.18), "low_vegetation"),
    Material("glass", (70, 84, 92, 80), (120, 134, 140, 124), (0.0, 0.2, 0.1), (0.12, 0.10), "clutter"),
)

NAMES: tuple[str, ...] = tuple(material.name for material in _MATERIALS)
CITY_COUNT = NAMES.index("mud") + 1  # the first so many are all that the miniature city has
CODE: dict[str, int] = {name: code for code, name in enumerate(NAMES)}
KIND: tuple[str, ...] = tuple(material.kind for material in _MATERIALS)


@cache
def poles() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Low and high display colours (M, 4) and texture weights (M, 3) by material code, float32."""
    low = np.array([material.low for material in _MATERIALS], np.float32)
    high = np.array([material.high for material in _MATERIALS], np.float32)
    return low, high, np.array([material.texture for material in _MATERIALS], np.float32)


def spectra(wavelengths_nm: np.ndarray) -> np.ndarray:
    """Return the mean reflectance (M, B) of the materials `NAMES` at wavelengths of 350–2500 nm."""
    curves = []
    for material in _MATERIALS:
        colour = tuple((a / 510 + b / 510) ** 2 for a, b in zip(material.low, material.high, strict=True))
        plant = material.kind in ("tree", "low_vegetation")
        curves.append(curve(colour, material.swir, wavelengths_nm, plant=plant))
    return np.stack(curves)


def curve(
    reflectance: tuple[float, ...], swir: tuple[float, float], wavelengths_nm: np.ndarray, *, plant: bool
) -> np.ndarray:
    """Spectrum (B,) float32 from reflectance at red, green, blue and near infrared, and at 1650 and 2200 nm."""
    nodes = np.array([350, 450, 550, 650, 690, 760, 830, 1300, 1400, 1450, 1650, 1870, 1940, 2200, 2500], float)
    red, green, blue, infrared = reflectance
    shortwave, far = swir
    edge = red if plant else red + (infrared - red) * 0.25
    plateau = infrared * 0.97 if plant else red + (infrared - red) * 0.65
    dent = 0.55 if plant else 0.9
    values = [blue * 0.8, blue, green, red, edge, plateau, infrared, (infrared + shortwave) / 2, shortwave]
    values += [shortwave * dent, shortwave, (shortwave + far) / 2 * 0.9, far * dent, far, far * 0.85]
    return np.interp(wavelengths_nm, nodes, values).astype(np.float32)


def class_map(surface: CitySurface, legend: Legend) -> np.ndarray:
    """Return (H, W) uint8 classes: crowns, then buildings, then materials; destroyed buildings are clutter."""
    lookup = np.array([legend.value(kind) for kind in KIND], np.uint8)
    building, clutter, tree = (legend.value(name) for name in ("building", "clutter", "tree"))
    out = np.empty(surface.shape, np.uint8)
    for top in range(0, surface.shape[0], BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        values = lookup[surface.material[rows]]
        own = surface.building[rows] > 0
        standing = surface.height[rows] >= STANDING_M
        values[own & standing] = building
        values[own & ~standing] = np.where(values[own & ~standing] == building, clutter, values[own & ~standing])
        values[surface.cover[rows] > OPAQUE] = tree
        out[rows] = values
    return out


@dataclass(frozen=True)
class MaterialSpectra:
    """`material` (H, W) as index into M names and `reflectance` (M, B) 0–1; `brightness` (H, W) is about 1."""

    names: tuple[str, ...]
    material: np.ndarray
    reflectance: np.ndarray
    brightness: np.ndarray


def material_spectra(
    surface: CitySurface, wavelengths_nm: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Material codes seen from above (H, W), their reflectance (M, B) and names."""
    codes = surface.material.copy()
    crown = surface.cover > OPAQUE
    leafy = surface.leaf[3] > surface.leaf[0] * np.float32(1.5)
    codes[crown & leafy] = CODE["foliage"]
    codes[crown & ~leafy] = CODE["branches"]
    count = max(int(codes.max(initial=0)) + 1, CITY_COUNT)
    return codes, spectra(wavelengths_nm)[:count], NAMES[:count]


def sample_points(
    surface: CitySurface, canvas: Grid, extent: Any, density: float, rng: np.random.Generator
) -> PointCloud:
    """Sample `density` pulses per square metre over an extent in ground coordinates."""
    left, bottom, right, top = extent.left, extent.bottom, extent.right, extent.top
    count = int(rng.poisson(density * (right - left) * (top - bottom)))
    x, y = rng.uniform(left, right, count), rng.uniform(bottom, top, count)
    col, row = apply_affine(~canvas.affine, np.column_stack([x, y])).T
    row = np.clip(row.astype(int), 0, surface.shape[0] - 1)
    col = np.clip(col.astype(int), 0, surface.shape[1] - 1)
    ground, height = surface.ground[row, col], surface.height[row, col]
    crown = surface.cover[row, col] > OPAQUE
    through = crown & (rng.random(count) < 0.35)
    canopy = np.maximum(surface.canopy[row, col], height)
    first = ground + np.where(crown, canopy, height)
    codes = surface_classes(surface, row, col, height)
    noise = rng.normal(0, 0.03, (2, count))
    xyz = np.stack([x, y, first + noise[0]], axis=1)
    below = np.stack([x, y, ground + height + noise[1]], axis=1)[through]
    bright = intensities(surface.leaf[3, row, col], rng)
    under = intensities(surface.albedo[3, row, col], rng)
    number = np.concatenate([np.ones(count), np.full(len(below), 2)]).astype(np.uint8)
    total = np.where(through, 2, 1)
    return PointCloud(
        np.concatenate([xyz, below]),
        intensity=np.concatenate([np.where(crown, bright, under), under[through] // 2])
        .astype(np.uint16)
        .astype(np.float32),
        return_number=number,
        number_of_returns=np.concatenate([total, total[through]]).astype(np.uint8),
        classification=np.concatenate([np.where(crown, 5, codes), codes[through]]).astype(np.uint8),
        crs=None if canvas.crs is None else canvas.crs.proj,
        source="points of the miniature city",
        synthetic=True,
    )


def surface_classes(surface: CitySurface, row: np.ndarray, col: np.ndarray, height: np.ndarray) -> np.ndarray:
    """ASPRS code of the solid surface."""
    lookup = np.array([ASPRS.get(kind, 1) for kind in KIND], np.uint8)
    lookup[[CODE["shrub"]]] = 3
    lookup[[CODE["soil"]]] = 2
    codes = lookup[surface.material[row, col]]
    own = surface.building[row, col] > 0
    return np.where(own & (height >= STANDING_M), 6, np.where(own & (codes == 6), 1, codes))


def intensities(near: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return strength from near-infrared reflectance, with speckle."""
    reflectance = (near.astype(np.float32) / 255) ** 2
    return np.clip(reflectance * 4000 * rng.normal(1, 0.12, len(near)), 0, 65535)
