"""Masks of clouds written on the grid of an image, and classes of cells tile by tile, without the networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.inspection import cloud_network
from deepnets4eo.inspection.cloud_network import CLOUD, NODATA, SHADOW, CloudClasses, CloudNetwork, CloudNetworkOptions
from deepnets4eo.rasters import Layer


def grid_of(shape: tuple[int, int], gsd_m: float) -> GeoBox:
    return GeoBox(shape, Affine(gsd_m, 0, 5e5, 0, -gsd_m, 4e6), "EPSG:32633")


def layer_of(values: np.ndarray, gsd_m: float, nodata: float = -1) -> Layer:
    return Layer.open(values.astype(np.float32), grid=grid_of(values.shape[-2:], gsd_m), nodata=nodata)


class Network:
    """Calls a pixel cloud above 1, shadow below .1, clear between."""

    side_px = 96

    def logits(self, reflectance: np.ndarray) -> np.ndarray:
        assert reflectance.shape == (4, 96, 96)
        first = reflectance[0]
        return np.stack([np.full(first.shape, 0.5), first > 1, first < 0.1]).astype(np.float32)


@pytest.mark.parametrize("unit", [1.0, 10_000.0])
def test_each_cell_has_the_class_of_its_reflectance_and_0_without_data(unit: float) -> None:
    image = np.full((4, 130, 100), 0.5)
    image[:, :20], image[:, 60:70, 50:] = 1.5, 0.05
    values = image * unit
    values[:, 125:] = -1
    network: CloudNetwork = Network()  # type: ignore[assignment]
    classes = cloud_network._classify(layer_of(values, 20.0), unit, network, CloudNetworkOptions())
    expected = np.where(image[0] > 1, CLOUD, np.where(image[0] < 0.1, SHADOW, 0))
    expected[125:] = 0
    np.testing.assert_array_equal(classes, expected)


def test_classes_count_their_shares_and_hide_ground_if_any_is_cloud_or_shadow() -> None:
    classes = np.zeros((10, 10), np.uint8)
    assert not CloudClasses(classes, grid_of((10, 10), 20.0)).hides_any
    classes[0, 0] = SHADOW
    assert CloudClasses(classes, grid_of((10, 10), 20.0)).hides_any
    classes[1] = CLOUD
    found = CloudClasses(classes, grid_of((10, 10), 20.0))
    assert (found.cloud_share, found.shadow_share, found.hides_any) == (0.1, 0.01, True)


def test_a_mask_has_no_data_where_its_image_has_none(tmp_path: Path) -> None:
    image = np.full((1, 1200, 40), 0.5)
    image[:, 1000:] = -1
    classes = np.zeros((600, 20), np.uint8)
    classes[:100] = CLOUD
    layer, shares = layer_of(image, 10.0), list[float]()
    mask = Layer(CloudClasses(classes, grid_of((600, 20), 20.0))).on(layer.grid, "nearest")
    cloud_network._write_on(layer, mask, tmp_path / "mask.tif", shares.append)
    written = Layer.open(tmp_path / "mask.tif")
    assert written.grid == layer.grid
    values, valid = written.read()
    assert valid[:1000].all()
    assert not valid[1000:].any()
    assert np.unique(values[0, :200]).tolist() == [CLOUD]
    assert np.unique(values[0, 200:1000]).tolist() == [0]
    count = len(layer.blocks())
    assert count > 1
    assert shares == [number / count for number in range(1, count + 1)]
    assert np.unique(values[0, 1000:]).tolist() == [NODATA]


def test_a_network_sees_standardised_reflectance() -> None:
    class Session:
        def get_inputs(self) -> list[object]:
            return [type("Input", (), {"name": "image"})]

        def run(self, _: None, named: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert named["image"].dtype == np.float32
            return [named["image"][:, :3]]

    mean, std = np.full((4, 1, 1), 0.25, np.float32), np.full((4, 1, 1), 0.5, np.float32)
    found = CloudNetwork(Session(), mean, std, 2).logits(np.full((4, 2, 2), 0.75, np.float32))
    np.testing.assert_array_equal(found, np.ones((3, 2, 2)))
