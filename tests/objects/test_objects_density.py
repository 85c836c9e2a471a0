"""Counts and densities agree with counting one by one, and no object is lost or counted twice over strips."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.objects import density_grid, density_map, write_density_map

CRS = "EPSG:32631"
GROUND = Affine(1, 0, 500_000, 0, -1, 5_000_000)


def cars(count: int, seed: int = 0, crs: str | None = CRS) -> gpd.GeoDataFrame:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 300, count) + 500_000, 5_000_000 - rng.uniform(0, 200, count)
    boxes = shapely.box(x - 2, y - 1, x + 2, y + 1)
    kinds = rng.choice(["car", "van"], count)
    return gpd.GeoDataFrame({"type": kinds}, geometry=boxes, crs=crs)


def test_objects_without_a_shape_lie_nowhere() -> None:
    shapes = [None, shapely.Polygon(), shapely.Point(1, 1), shapely.Point(2, 2)]
    objects = gpd.GeoDataFrame({"type": ["car", "car", "van", "van"]}, geometry=shapes)
    cells = Grid((1, 1), Affine.scale(10), None)
    assert density_map(objects, cells).tolist() == [[200.0]]


def test_cells_count_every_object_once() -> None:
    cells = density_grid(Grid((200, 300), GROUND, CRS), 25.0)
    assert cells.shape == (8, 12)
    found = density_map(cars(400), cells)
    assert found.sum() * 25**2 / 10_000 == pytest.approx(400, rel=1e-6)


def test_a_kernel_keeps_the_number_of_objects_and_is_the_textbook_sum() -> None:
    objects = gpd.GeoDataFrame(geometry=shapely.points([(500_100.0, 4_999_900.0), (500_113.0, 4_999_893.0)]), crs=CRS)
    cells = density_grid(Grid((200, 300), GROUND, CRS), 2.0)
    found = density_map(objects, cells, radius_m=30.0)
    assert found.sum() * 4 / 10_000 == pytest.approx(2, rel=2e-3)
    row, col = 47, 52
    x, y = cells.affine * (col + 0.5, row + 0.5)
    square = [((x - p.x) ** 2 + (y - p.y) ** 2) / 900 for p in objects.geometry]
    expected = sum(3 / (np.pi * 900) * max(0, 1 - u) ** 2 for u in square) * 10_000
    assert found[row, col] == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 10**6), st.floats(1, 4))
def test_a_kernel_as_wide_as_a_cell_loses_no_object_between_middles(seed: int, cells_wide: float) -> None:
    x, y = np.random.default_rng(seed).uniform(80, 90, 2)
    objects = gpd.GeoDataFrame(geometry=[shapely.Point(x, y)])
    found = density_map(objects, Grid((17, 17), Affine.scale(10), None), radius_m=10 * cells_wide)
    assert found.sum() * 100 / 10_000 == pytest.approx(1, abs=0.15)


@given(st.integers(0, 6), st.integers(0, 9), st.sampled_from([0.0, 35.0]))
def test_a_window_of_the_map_is_cut_from_the_whole(row: int, col: int, radius_m: float) -> None:
    cells = density_grid(Grid((200, 300), GROUND, CRS), 20.0)
    whole = density_map(cars(60), cells, radius_m=radius_m)
    window = Window(row, col, 10 - row, 12 - col)
    np.testing.assert_allclose(density_map(cars(60), cells, radius_m=radius_m, window=window), whole[row:10, col:12])


def test_the_written_map_is_a_georeferenced_raster_of_the_same_values(tmp_path: Path) -> None:
    cells = density_grid(Grid((200, 300), GROUND, CRS), 10.0)
    path = write_density_map(cars(80).to_crs("EPSG:4326"), cells, tmp_path / "density.tif", radius_m=25.0)
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32631
        assert file.tags()["UNITS"] == "objects per hectare"
        np.testing.assert_allclose(file.read(1), density_map(cars(80), cells, radius_m=25.0), atol=1e-3)


def test_no_objects_give_zeros() -> None:
    cells = density_grid(Grid((20, 30), GROUND, CRS), 10.0)
    assert not density_map(cars(0), cells, radius_m=20.0).any()


def test_what_cannot_be_is_refused() -> None:
    cells = density_grid(Grid((200, 300), GROUND, CRS), 10.0)
    with raises_naming(GridError, "CRS"):
        density_map(cars(3, crs=None), cells)
    with raises_naming(InputError, "cell_m"):
        density_grid(cells, 0)
    with pytest.raises(InputError, match="larger cells"):
        density_map(cars(3), cells, radius_m=1e5)
    with pytest.raises(InputError, match="smaller cells"):
        density_map(cars(3), cells, radius_m=9.0)


def test_cells_far_smaller_than_pixels_are_refused_before_a_map_of_them_is_written() -> None:
    pixels = Grid((20, 30), Affine.scale(1e6, -1e6), None)
    with raises_naming(InputError, "cell_m", "50.0", "1e", "06"):
        density_grid(pixels, 50.0)
    assert tuple(density_grid(Grid((20, 30), Affine.scale(16, -16), None), 1.0).shape) == (320, 480)
