"""Grids and windows: pure geometry, compared with arrays."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod

from deepnets4eo.grid import Window, blocks, crop, gsd_m, whole

sides = st.integers(1, 60)
offsets = st.integers(-70, 70)


@given(st.builds(Window, offsets, offsets, sides, sides))
def test_clipping_keeps_exactly_the_pixels_inside(window: Window) -> None:
    inside = np.zeros((300, 300), bool)
    inside[100:150, 100:140] = True
    drawn = np.zeros_like(inside)
    drawn[100 + window.row : 100 + window.row + window.height, 100 + window.col : 100 + window.col + window.width] = (
        True
    )
    clipped = window.clipped((50, 40))
    assert clipped.height * clipped.width == (inside & drawn).sum()
    assert min(clipped.height, clipped.width) >= 0


@given(sides, sides, st.integers(1, 30))
def test_blocks_cover_every_pixel_once(height: int, width: int, block_px: int) -> None:
    count = np.zeros((height, width), int)
    for window in blocks((height, width), block_px):
        count[window.slices] += 1
    assert (count == 1).all()


def test_a_cropped_grid_keeps_its_place_also_beyond_the_edge() -> None:
    grid = GeoBox((10, 20), Affine(0.5, 0, 100, 0, -0.5, 200), "EPSG:32633")
    part = crop(grid, Window(-2, 3, 4, 5))
    assert tuple(part.shape) == (4, 5)
    assert part.affine * (0, 0) == grid.affine * (3, -2)
    assert whole(grid) == Window(0, 0, 10, 20)


def test_a_window_in_another_is_relative_to_it() -> None:
    assert Window(10, 20, 3, 4).within(Window(8, 15, 30, 30)) == Window(2, 5, 3, 4)
    assert Window(10, 20, 3, 4).grown(2) == Window(8, 18, 7, 8)


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:4326", Affine(6e-6, 0, -94.49, 0, -6e-6, 37.07)),
        ("EPSG:3857", Affine(0.6, 0, -10_518_500, 0, -0.6, 4_449_000)),
        ("EPSG:32615", Affine(0.6, 0, 367_000, 0, -0.6, 4_104_000)),
        ("EPSG:2263", Affine(2, 0, 980_000, 0, -2, 195_000)),  # feet
    ],
)
def test_the_ground_size_of_a_pixel_is_that_of_the_ellipsoid(crs: str, affine: Affine) -> None:
    grid = GeoBox((200, 200), affine, crs)
    centre = (
        GeoBox((1, 1), affine * Affine.translation(99, 99) * Affine.scale(2), crs)
        .extent.to_crs("EPSG:4326")
        .boundingbox
    )
    geod, (west, south, east, north) = Geod(ellps="WGS84"), centre.bbox
    middle = (south + north) / 2
    rows, cols = gsd_m(grid)
    assert rows == pytest.approx(geod.inv(west, south, west, north)[2] / 2, rel=0.02)
    assert cols == pytest.approx(geod.inv(west, middle, east, middle)[2] / 2, rel=0.02)


def test_without_a_crs_a_pixel_counts_as_a_metre() -> None:
    assert gsd_m(GeoBox((5, 5), Affine.scale(0.3), None)) == (1.0, 1.0)
