"""A made-up cube whose classes differ in their spectra, in small fields; its files and legend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from geotiff import write_geotiff

BANDS, SIDE, FIELD = 32, 40, 5
LEGEND: dict[str, Any] = {
    "name": "fields",
    "void_values": [0],
    "classes": [
        {"value": 1, "name": "grass", "color": [0, 160, 0]},
        {"value": 2, "name": "soil", "color": [150, 90, 30]},
        {"value": 3, "name": "water", "color": [0, 0, 200]},
    ],
}


def make_cube(seed: int = 0, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """image (B, h, w) float32 with noise, and labels (h, w) uint8: fields of 5 pixels, a third of the pixels void (0)."""
    rng = np.random.default_rng(seed)
    fields = rng.integers(1, 4, (side // FIELD, side // FIELD)).repeat(FIELD, 0).repeat(FIELD, 1)
    band = np.linspace(0, 1, BANDS)
    spectra = np.stack([0 * band, np.exp(-(((band - 0.3) / 0.1) ** 2)), band, np.exp(-(((band - 0.7) / 0.2) ** 2))])
    image = spectra[fields] + rng.normal(0, 0.15, (side, side, BANDS))
    labels = np.where(rng.random((side, side)) < 1 / 3, 0, fields).astype(np.uint8)
    return (1000 + 500 * image).astype(np.float32).transpose(2, 0, 1), labels


def write_cube(folder: Path, seed: int = 0) -> Path:
    """image.tif and labels.tif in a folder."""
    image, labels = make_cube(seed)
    write_geotiff(folder / "image.tif", image)
    write_geotiff(folder / "labels.tif", labels[None])
    return folder
