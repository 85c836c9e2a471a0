"""Pixel measures: free of gain and offset, smooth where the image is smooth, unspoilt by missing pixels."""

import numpy as np
import pytest

from deepnets4eo.damage.evidence.maps import measure_maps
from deepnets4eo.damage.evidence.radiometry import measure
from deepnets4eo.scene import Layer

CENTRES = np.array([[128.0, 128.0], [200.0, 220.0]])


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.uniform(40, 200, (3, 16, 16)), np.ones((1, 20, 20)))
    return (coarse + rng.normal(0, 6, coarse.shape)).astype(np.float32)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.5, 20.0), (40.0, 3000.0)])
def test_measures_do_not_depend_on_gain_and_offset(image: np.ndarray, gain: float, offset: float) -> None:
    def measured(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = measure_maps(data, np.ones(data.shape[1:], bool), measure(Layer.open(data), CENTRES), 0.5)
        return maps.light, maps.log_floor

    for mine, expected in zip(measured(image * gain + offset), measured(image), strict=True):
        assert np.allclose(mine, expected, atol=5e-3)


def test_the_floor_is_low_on_a_plane_and_high_in_rubble() -> None:
    rng = np.random.default_rng(1)
    data = np.full((1, 128, 128), 100.0, np.float32) + rng.normal(0, 1, (1, 128, 128)).astype(np.float32)
    data[:, :, 64:] += np.kron(rng.uniform(-60, 60, (64, 32)), np.ones((2, 2))).astype(np.float32)
    maps = measure_maps(data, np.ones((128, 128), bool), measure(Layer.open(data), CENTRES / 4), 0.5)
    assert maps.log_floor[20:108, 80:112].mean() > maps.log_floor[20:108, 16:48].mean() + 2


def test_missing_pixels_and_their_neighbours_are_not_valid(image: np.ndarray) -> None:
    valid = np.ones(image.shape[1:], bool)
    valid[50, 60] = False
    image[:, 90, 100] = 0  # a collar pixel without a nodata value
    maps = measure_maps(image, valid, measure(Layer.open(image), CENTRES), 0.5)
    assert not maps.valid[49:52, 60].any()
    assert not maps.valid[90, 99:102].any()
    assert maps.valid[55, 60]
    assert all(np.isfinite(part).all() for part in (maps.light, maps.rough, maps.log_floor, maps.soft_edge))


def test_an_image_without_contrast_or_data_has_a_radiometry_all_the_same() -> None:
    assert measure(Layer.open(np.full((1, 300, 300), 7, np.uint8)), CENTRES).unit > 0
    assert measure(Layer.open(np.zeros((1, 300, 300), np.uint8)), CENTRES).unit == 1.0
    assert measure(Layer.open(np.zeros((1, 300, 300), np.uint8)), CENTRES[:0]).unit == 1.0
