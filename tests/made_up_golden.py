"""The dense synthetic site of the golden jobs: 77 buildings before and after a tornado, and under brown water."""

from __future__ import annotations

from functools import cache

import numpy as np

from deepnets4eo.arrays import ByteImage
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City, Event

MUD = np.array([128, 108, 82])


@cache
def site() -> City:
    """The city of the golden jobs, in pixels of 0.5 m."""
    return City(3, (480, 520), 0.5, event=Event(shift_px=(2.0, -3.0), rotation_deg=0.0))


def dates(city: City) -> tuple[Layer, Layer]:
    """Red, green and blue of both dates."""
    pre, post = (Layer.open(date.image[:3], grid=date.grid) for date in (city.pre, city.post))
    return pre, post


def flooded(city: City) -> Layer:
    """The pre image with brown water on the lower half of its ground; what is higher than 2 m above the ground stands out of it."""
    image: ByteImage = city.pre.image[:3].copy()
    rows = np.arange(image.shape[1])[:, None] + 0 * np.arange(image.shape[2])
    wet = (rows > 200 + 30 * np.sin(np.arange(image.shape[2]) / 60)) & (city.dsm - city.dtm < 2)
    waves = np.broadcast_to(np.random.default_rng(0).normal(0, 1.5, wet.shape), image.shape)
    image[:, wet] = np.clip(MUD[:, None] + waves[:, wet], 0, 255).astype(np.uint8)
    return Layer.open(image, grid=city.pre.grid)
