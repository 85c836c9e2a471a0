"""A made-up series for tests: four bands with seasons by class, light that differs by date, clouds, and known changes."""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from deepnets4eo.change.series.dates import DatedImage

CELL = 16
BANDS = ("blue", "green", "red", "nir")
SPECTRA = np.array([[0.04, 0.07, 0.05, 0.35], [0.08, 0.1, 0.12, 0.25], [0.12, 0.13, 0.14, 0.18]])
SEASONS = np.array([[0, 0.01, -0.01, 0.12], [0.01, 0.02, -0.05, 0.15], [0, 0, 0, 0.01]])
NEW = np.array([0.3, 0.3, 0.3, 0.3])  # a roof


class Change(NamedTuple):
    """Row and column of the cell, index of the first date."""

    row: int
    col: int
    index: int


def make_series(
    seed: int = 0, *, size: int = 256, count: int = 16, changes: tuple[Change, ...] = (), clouds: float = 0.0
) -> list[DatedImage]:
    """Images of a month each from 2019 on, uint16; with clouds also masks, which miss their rims."""
    rng = np.random.default_rng(seed)
    kinds = np.stack([gaussian_filter(rng.normal(size=(size, size)), 12) for _ in SPECTRA]).argmax(axis=0)
    texture = rng.normal(0, 0.015, (4, size, size))
    images = []
    for index in range(count):
        day = date(2019, 1, 15) + timedelta(days=round(30.44 * index))
        summer = np.cos(2 * np.pi * (day.timetuple().tm_yday - 190) / 365)
        image = (SPECTRA + SEASONS * summer)[kinds].transpose(2, 0, 1) + texture
        for change in changes:
            if index >= change.index:
                rows, cols = (slice(one * CELL, (one + 1) * CELL) for one in change[:2])
                image[:, rows, cols] = NEW[:, None, None] + rng.normal(0, 0.03, (4, CELL, CELL))
        image = image * rng.uniform(0.85, 1.15, (4, 1, 1)) + rng.normal(0, 0.01, image.shape)
        masks: tuple[np.ndarray, ...] = ()
        if clouds:
            field = gaussian_filter(rng.normal(size=(size, size)), 24)
            cloud = field > np.quantile(field, 1 - clouds)
            image[:, cloud] = 0.6
            masks = ((field > np.quantile(field, 1 - 0.7 * clouds)).astype(np.uint8),)
        images.append(DatedImage(day, ((image.clip(0) * 1e4).astype(np.uint16),), masks))
    return images
