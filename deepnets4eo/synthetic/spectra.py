"""Material of each pixel with its reflectance spectrum, for a synthetic hyperspectral cube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.synthetic.materials import CITY_COUNT, CODE, NAMES, spectra
from deepnets4eo.synthetic.surface import OPAQUE, Surface


@dataclass(frozen=True)
class MaterialSpectra:
    """Materials and their spectra: M names, `material` (H, W) as index into them, `reflectance` (M, B) 0–1, and
    `brightness` (H, W), light and texture of the pixel about 1."""

    names: tuple[str, ...]
    material: np.ndarray
    reflectance: np.ndarray
    brightness: np.ndarray

    def cube(self) -> np.ndarray:
        """(B, H, W) float32 radiance factor: the material's spectrum under the pixel's light. Memory: B · H · W · 4 bytes."""
        lit = self.brightness * self.brightness
        return np.stack([band[self.material] * lit for band in self.reflectance.T])


def material_spectra(surface: Surface, wavelengths_nm: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the material codes as seen from above (H, W), their reflectance (M, B) and names; crowns count as foliage
    or branches. Materials that only the miniature world has are left out where no pixel has one."""
    codes = surface.material.copy()
    crown = surface.cover > OPAQUE
    leafy = surface.leaf[3] > surface.leaf[0] * np.float32(1.5)
    codes[crown & leafy] = CODE["foliage"]
    codes[crown & ~leafy] = CODE["branches"]
    count = max(int(codes.max(initial=0)) + 1, CITY_COUNT)
    return codes, spectra(wavelengths_nm)[:count], NAMES[:count]
