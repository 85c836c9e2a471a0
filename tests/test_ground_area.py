"""Hectares of masks and classes on grids whose pixels differ in area, against areas of the ellipsoid."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Geod

from deepnets4eo.change import changed_area
from deepnets4eo.evaluation.sampled.draw import draw_pixels
from deepnets4eo.grid import Window, whole
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.rasters import Layer

WGS84 = Geod(ellps="WGS84")
DEGREES = GeoBox((300, 20), Affine(0.1, 0, 10, 0, -0.1, 70), "EPSG:4326")  # 70 to 40 degrees north


def true_hectares(south: float, north: float, columns: int = 20) -> float:
    rows = np.arange(round(south * 10), round(north * 10)) / 10
    cells = [abs(WGS84.polygon_area_perimeter([0, 0.1, 0.1, 0], [y, y, y + 0.1, y + 0.1])[0]) for y in rows]
    return columns * sum(cells) / 1e4


SOUTH = np.repeat(np.arange(300)[:, None] >= 150, 20, axis=1)


def test_each_pixel_has_its_own_area_in_degrees() -> None:
    ground, window = GroundArea(DEGREES), whole(DEGREES)
    assert ground.of(window, SOUTH) == pytest.approx(true_hectares(40, 55), rel=3e-4)
    assert ground.of(window, SOUTH, ~SOUTH) == pytest.approx([true_hectares(40, 55), true_hectares(55, 70)], rel=3e-4)
    assert ground.by_value(window, SOUTH.astype(np.uint8), 2) == pytest.approx(ground.of(window, ~SOUTH, SOUTH))
    parts = [Window(row, 0, 60, 20) for row in range(0, 300, 60)]
    pieces = sum(ground.of(part, SOUTH[part.slices]) for part in parts)
    assert pieces == pytest.approx(ground.of(window, SOUTH), rel=3e-4)


@pytest.mark.parametrize(("crs", "hectares"), [("EPSG:32633", 0.01), (None, 1e-4)])
def test_alike_pixels_have_one_area(crs: str | None, hectares: float) -> None:
    grid = GeoBox((40, 50), Affine(10, 0, 500_000, 0, -10, 5_000_000), crs)
    ground = GroundArea(grid)
    assert ground.pixels(whole(grid)).shape == (1, 1)
    assert ground.of(whole(grid), np.ones((40, 50), bool)) == pytest.approx(2000 * hectares, rel=1e-3)


def test_web_mercator_is_stretched_to_the_north() -> None:
    grid = GeoBox((64, 64), Affine(20_000, 0, 0, 0, -20_000, 9_000_000), "EPSG:3857")
    lat = np.degrees(np.arctan(np.sinh((9_000_000 - np.array([0, 32, 64]) * 20_000) / 6_378_137)))
    lon = np.degrees(64 * 20_000 / 6_378_137)
    halves = np.repeat(np.arange(64)[:, None] >= 32, 64, axis=1)
    areas = GroundArea(grid).of(whole(grid), ~halves, halves)
    for area, (north, south) in zip(areas, zip(lat[:-1], lat[1:], strict=True), strict=True):
        edges = np.linspace(0, lon, 200)
        ring = [*edges, *edges[::-1]], [*[south] * 200, *[north] * 200]
        assert area == pytest.approx(abs(WGS84.polygon_area_perimeter(*ring)[0]) / 1e4, rel=2e-3)


def test_samples_and_changed_areas_count_hectares_of_each_pixel() -> None:
    labels = Layer.open(SOUTH.astype(np.uint8), grid=DEGREES)
    sample = draw_pixels(
        lambda window: SOUTH[window.slices].astype(np.uint8),
        DEGREES,
        [whole(DEGREES)],
        2,
        lambda _: np.array([5, 5]),
        0,
    )
    expected = [true_hectares(55, 70), true_hectares(40, 55)]
    assert sample.hectares == pytest.approx(expected, rel=3e-4)
    assert changed_area(labels).area.value == pytest.approx(expected[1], rel=3e-4)
