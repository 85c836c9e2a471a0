"""The metric frame and layers seen in it."""

import numpy as np
import pytest
from affine import Affine
from moved_place import ORIGIN, UTM, as_layer, place
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import GridError
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.rasters import Layer
from deepnets4eo.registration.ground import LayerSampler, MetricFrame


def test_a_window_on_the_layers_own_pixels_is_the_layer():
    image = place(0, (90, 120))
    layer = as_layer(image)
    grey, valid = LayerSampler(layer, MetricFrame.of(layer.grid)).read(Affine(0.5, 0, 10.0, 0, 0.5, 5.0), (30, 40))
    np.testing.assert_array_equal(grey, layer.read()[0][0, 10:40, 20:60])
    assert valid.all()


def test_what_lies_outside_or_is_nodata_is_not_valid():
    image = place(0, (60, 60)).astype(np.uint8) + 1
    image[:, :20] = 0
    layer = Layer.open(image, nodata=0, grid=GeoBox((60, 60), Affine(0.5, 0, 0, 0, -0.5, 0), UTM))
    _, valid = LayerSampler(layer, MetricFrame.of(layer.grid)).read(Affine(0.5, 0, 0, 0, 0.5, 15.0), (60, 60))
    assert not valid[:, :20].any()
    assert valid[:29, 21:].all()
    assert not valid[31:].any()


def test_a_finer_layer_is_averaged():
    image = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8), np.ones((4, 4), np.uint8))
    layer = as_layer(image, gsd_m=0.25)
    grey, _ = LayerSampler(layer, MetricFrame.of(layer.grid)).read(Affine(1.0, 0, 0, 0, 1.0, 0), (8, 8))
    np.testing.assert_allclose(grey, np.arange(64).reshape(8, 8), atol=1e-5)


def test_a_layer_in_degrees_shows_the_same_place():
    post = as_layer(place(3, (200, 200)))
    pre = post.on(post.grid.to_crs("EPSG:4326", resolution=5e-6), "cubic")
    frame = MetricFrame.of(post.grid)
    window = Affine(0.5, 0, 30, 0, 0.5, 30)
    seen = [LayerSampler(layer, frame).read(window, (80, 80))[0] for layer in (pre, post)]
    assert np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1] > 0.97


def test_frame_and_pixels_lead_back_to_each_other():
    layer = as_layer(place(0, (50, 80)))
    view = LayerSampler(layer, MetricFrame.of(as_layer(place(0, (70, 40)), gsd_m=0.8).grid))
    points = np.random.default_rng(0).uniform(0, 20, (10, 2))
    np.testing.assert_allclose(view.frame_points(view.pixels(points)), points, atol=1e-6)
    assert view.gsd_m == pytest.approx(0.5)


def test_without_a_crs_map_units_count_as_metres():
    grid = GeoBox((10, 10), Affine(0.2, 0, 100, 0, -0.3, 50), None)
    assert mean_gsd_m(grid) == pytest.approx(np.sqrt(0.06))
    assert MetricFrame.of(grid).extent == pytest.approx((2.0, 3.0))


def test_one_missing_crs_is_refused_unless_the_shapes_agree():
    post = as_layer(place(0, (60, 60)))
    assert LayerSampler(as_layer(place(1, (60, 60)), crs=None), MetricFrame.of(post.grid)).grid == post.grid
    with raises_naming(GridError, "CRS", "50", "60"):
        LayerSampler(as_layer(place(1, (50, 60)), crs=None), MetricFrame.of(post.grid))


def test_bounds_hold_the_layer():
    layer = as_layer(place(0, (50, 80)))
    assert LayerSampler(layer, MetricFrame.of(layer.grid)).bounds() == pytest.approx((0, 0, 40, 25), abs=1e-6)
    assert ORIGIN[0] == layer.grid.affine.c
