"""Rasters whose longitudes run from 0 to 360: what they hold lies where it is, in every view."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from geotiff import write_geotiff

from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer, usual_longitudes
from deepnets4eo.zonal import known_shares, sums_by_share


def degrees(path, values, west, step, north=30.0, **profile):
    return write_geotiff(path, values, crs="EPSG:4326", transform=Affine(step, 0, west, 0, -step, north), **profile)


def square(west, south, side, crs=4326):
    return gpd.GeoDataFrame(geometry=[shapely.box(west, south, west + side, south + side)], crs=crs)


def test_a_raster_in_the_west_counts_for_areas_at_negative_longitudes(tmp_path):
    layer = Layer.open(degrees(tmp_path / "p.tif", np.full((120, 120), 3, np.float32), 274, 1 / 120))
    assert layer.grid.affine.c == pytest.approx(-86)
    assert sums_by_share(layer, square(-85.65, 29.35, 0.1)) == pytest.approx(3 * 12 * 12)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("west", [0.0, 20.0, -180.0])
def test_a_raster_around_the_earth_is_read_from_180_west(tmp_path, west, dtype):
    at = (west + 0.5 + np.arange(360)) % 360
    values = np.broadcast_to(np.where(at >= 180, at - 360, at) % 200, (20, 360)).astype(dtype)
    with rasterio.open(degrees(tmp_path / "g.tif", values, west, 1.0), "r+") as file:
        file.set_band_description(1, "people")
        file.units, file.scales, file.offsets = ("m",), (2.0,), (1.0,)
    layer = Layer.open(tmp_path / "g.tif")
    longitudes = -179.5 + np.arange(360)
    expected = 2 * np.broadcast_to((longitudes % 200).astype(dtype).astype(float), (20, 360)) + 1
    np.testing.assert_allclose(layer.read()[0][0], expected)
    assert layer.grid.affine.c == pytest.approx(-180)
    assert (layer.band_names, layer.stored_values[0].unit) == (["people"], "m")
    across = Grid((4, 8), Affine(1, 0, -4, 0, -1, 25), "EPSG:4326")  # Greenwich, where the file may begin and end
    np.testing.assert_allclose(layer.on(across, "nearest").read()[0][0], expected[5:9, 176:184])


def test_a_mask_and_nodata_go_with_their_columns(tmp_path):
    values = np.tile(np.arange(360, dtype=np.float32), (4, 1))
    values[:, 10] = -1
    layer = Layer.open(degrees(tmp_path / "g.tif", values, 0.0, 1.0, nodata=-1))
    data, valid = layer.read()
    np.testing.assert_array_equal(valid[0], np.arange(360) != 190)
    assert data[0, 0, 0] == 180


@pytest.mark.parametrize("west", [170.0, -190.0])
def test_a_raster_across_180_is_found_from_both_sides(tmp_path, west):
    layer = Layer.open(degrees(tmp_path / "p.tif", np.ones((20, 200), np.float32), west, 0.1))
    assert layer.grid.affine.c == pytest.approx(west)
    both = gpd.GeoDataFrame(geometry=[shapely.box(-179, 28.5, -178, 29.5), shapely.box(178, 28.5, 179, 29.5)], crs=4326)
    assert sums_by_share(layer, both) == pytest.approx(100)
    for side in (-179.0, 178.0):
        grid = Grid((10, 10), Affine(0.1, 0, side, 0, -0.1, 29.5), "EPSG:4326")
        assert layer.covered_share(grid, "people") == pytest.approx(1)
        assert layer.on(grid).read()[1].all()


def test_usual_rasters_stay_where_they_are():
    for west, step in ((-180, 1.0), (-86, 0.1), (170, 0.1), (179.9999, 1e-6)):
        grid = Grid((10, round(10 / step) if step == 0.1 else 36), Affine(step, 0, west, 0, -step, 30), "EPSG:4326")
        assert usual_longitudes(grid) == grid
    metres = Grid((10, 10), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32633")
    assert usual_longitudes(metres) is metres


def test_the_known_share_of_an_area_is_that_with_values(tmp_path):
    values = np.ones((10, 10), np.float32)
    values[:, :4] = -1
    layer = Layer.open(degrees(tmp_path / "p.tif", values, 0.0, 0.1, nodata=-1))
    shares = known_shares(
        layer, gpd.GeoDataFrame(geometry=[shapely.box(0, 29, 1, 30), shapely.box(0.5, 29, 1.5, 30)], crs=4326)
    )
    np.testing.assert_allclose(shares, [0.6, 0.5])
