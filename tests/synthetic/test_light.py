"""Shadows fall where geometry says; checked against a brute-force march along the sun's ray."""

from __future__ import annotations

import numpy as np
import pytest

from deepnets4eo.synthetic import City, Event, Light
from deepnets4eo.synthetic.sensor import horizon, illumination, sunlit
from deepnets4eo.synthetic.surface import CitySurface


def surface_with_block(size: int = 61, height_m: float = 6.0) -> CitySurface:
    surface = CitySurface.bare(np.zeros((size, size), np.float32), 0.5)
    surface.height[28:33, 28:33] = height_m
    return surface


def marched(top: np.ndarray, light: Light, gsd_m: float) -> np.ndarray:
    """Shadow by walking from every pixel towards the sun in small steps: slow and plain."""
    azimuth, elevation = np.radians(light.azimuth_deg), np.radians(light.elevation_deg)
    rows, cols = np.mgrid[: top.shape[0], : top.shape[1]]
    shadow = np.zeros(top.shape, bool)
    for step in np.arange(1.0, 80.0, 0.5):
        row = np.round(rows - np.cos(azimuth) * step).astype(int)
        col = np.round(cols + np.sin(azimuth) * step).astype(int)
        inside = (row >= 0) & (row < top.shape[0]) & (col >= 0) & (col < top.shape[1])
        there = np.where(inside, top[np.clip(row, 0, top.shape[0] - 1), np.clip(col, 0, top.shape[1] - 1)], -np.inf)
        shadow |= there > top + step * gsd_m * np.tan(elevation) + 0.12
    return shadow


@pytest.mark.parametrize("azimuth", [0.0, 37.0, 90.0, 135.0, 180.0, 222.0, 270.0, 301.0])
def test_cast_shadows_agree_with_marching_along_the_ray(azimuth: float) -> None:
    surface, light = surface_with_block(), Light(azimuth, 40.0, 0.7)
    swept = horizon(surface.height, light, 0.5) > surface.height + 0.12
    brute = marched(surface.height, light, 0.5)
    assert (swept & brute).sum() / (swept | brute).sum() > 0.85
    assert swept.sum() == pytest.approx(brute.sum(), rel=0.12)


def test_a_shadow_is_as_long_as_the_block_is_high_at_45_degrees() -> None:
    surface, light = surface_with_block(height_m=6.0), Light(180.0, 45.0, 0.7)
    shadow = horizon(surface.height, light, 0.5) > surface.height + 0.12
    column = np.flatnonzero(shadow[:, 30])
    assert column.max() == 27  # the sun is in the south, the shadow lies north of the block
    assert len(column) * 0.5 == pytest.approx(6.0, abs=0.6)


def test_shadow_pixels_of_a_city_lie_down_sun_of_something_taller() -> None:
    city = City(9, 192, 0.5, event=Event())
    surface, light = city.pre.surface, Light(160.0, 35.0, 0.7)
    dark = sunlit(surface, light) < 0.05
    brute = marched((surface.ground + surface.height).astype(np.float32), light, 0.5)
    crowns = np.where(surface.cover > 0, surface.ground + surface.canopy, surface.ground + surface.height)
    shaded = brute | marched(crowns.astype(np.float32), light, 0.5)
    assert dark.sum() > 100
    grown = shaded | np.roll(shaded, 1, 0) | np.roll(shaded, -1, 0) | np.roll(shaded, 1, 1) | np.roll(shaded, -1, 1)
    assert grown[dark].mean() > 0.97


def test_roof_planes_facing_the_sun_are_brighter() -> None:
    light = Light(180.0, 45.0, 0.7)  # from the south, that is from below in the image
    south, north = np.full((2, 2), -0.5, np.float32), np.full((2, 2), 0.5, np.float32)
    flat = np.zeros((2, 2), np.float32)
    assert (illumination(flat, south, light) > illumination(flat, north, light)).all()
    np.testing.assert_allclose(illumination(flat, flat, light), 1.0, atol=1e-6)
