"""Pixel measures: free of gain and offset, smooth where the image is smooth, unspoilt by missing pixels."""

from typing import Any

import numpy as np
import pytest

from deepnets4eo.damage.structure.maps import blank, measure, measure_maps
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer

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
    assert all(np.isfinite(part).all() for part in (maps.light, maps.rough, maps.log_floor, np.abs(maps.directions)))


def test_cells_that_are_partly_without_data_do_not_count_in_the_radiometry() -> None:
    """A nodata value of −9999 in every second cell, in one corner pixel of it, changes nothing."""
    rng = np.random.default_rng(3)
    cells = rng.uniform(50, 150, (32, 32))
    image = np.kron(cells, np.ones((8, 8))).astype(np.float32)
    partly = np.zeros((32, 32), bool)
    partly[:, ::2] = True
    image[np.kron(partly, np.eye(1, 64).reshape(8, 8)).astype(bool)] = -9999
    found = measure(Layer.open(image, nodata=-9999), np.array([[128.0, 128.0]]))
    low, middle, high = np.percentile(cells[~partly], [16, 50, 84])
    assert (found.level, found.unit) == pytest.approx((middle, high - low), rel=1e-5)


def test_sixteen_whole_cells_are_enough_and_fifteen_are_not() -> None:
    for count, known in ((15, False), (16, True)):
        image = np.zeros((256, 256), np.float32)  # 0 is no light
        image[:8, : 8 * count] = np.repeat(np.arange(1, count + 1), 8)
        found = measure(Layer.open(image), np.array([[128.0, 128.0]]))
        assert (found.level, found.unit) == pytest.approx((8.5, 15 * 0.68) if known else (0, 1))


def test_windows_that_were_measured_for_other_positions_are_not_read_again(image: np.ndarray, monkeypatch) -> None:
    layer, known, read = Layer.open(image), dict[tuple[int, int], Any](), list[Window | None]()
    measure(layer, CENTRES, known)
    moved = np.array([CENTRES[0], [90.0, 101.0]])
    expected, whole = measure(layer, moved), Layer.read
    monkeypatch.setattr(Layer, "read", lambda self, window=None: read.append(window) or whole(self, window))
    assert measure(layer, moved, known) == expected
    assert [(window.row + 128, window.col + 128) for window in read] == [(90, 101)]
    assert sorted(known) == [(90, 101), (128, 128), (200, 220)]


def test_an_image_without_contrast_or_data_has_a_radiometry_all_the_same() -> None:
    assert measure(Layer.open(np.full((1, 300, 300), 7, np.uint8)), CENTRES).unit > 0
    assert measure(Layer.open(np.zeros((1, 300, 300), np.uint8)), CENTRES).unit == 1.0
    assert measure(Layer.open(np.zeros((1, 300, 300), np.uint8)), CENTRES[:0]).unit == 1.0


def block_of(value: float, rows: slice, cols: slice) -> np.ndarray:
    """Three bands of noise with a block of one value."""
    data = np.random.default_rng(4).integers(20, 200, (3, 120, 120)).astype(np.uint8)
    data[:, rows, cols] = value
    return data


@pytest.mark.parametrize("value", [255, 128, 1])
def test_a_wide_block_of_one_value_is_blank_to_its_last_pixel(value: int) -> None:
    expected = np.zeros((120, 120), bool)
    expected[30:80, 40:75] = True
    found = blank(block_of(value, slice(30, 80), slice(40, 75)))
    assert (found[31:80, 41:75]).all()  # its first row and column touch others
    assert not (found & ~expected).any()


@pytest.mark.parametrize("size", [(30, 100), (100, 30), (12, 12)])
def test_a_saturated_roof_or_line_is_not_blank(size: tuple[int, int]) -> None:
    assert not blank(block_of(255, slice(5, 5 + size[0]), slice(5, 5 + size[1]))).any()


def test_a_block_that_differs_in_one_band_is_not_blank() -> None:
    data = block_of(255, slice(20, 100), slice(20, 100))
    data[2] = np.random.default_rng(5).integers(0, 255, data[2].shape)
    assert not blank(data).any()


def test_blank_pixels_are_not_valid_and_set_no_contrast(image: np.ndarray) -> None:
    covered = image.copy()
    covered[:, 100:200, 100:200] = 255
    maps = measure_maps(covered, np.ones(image.shape[1:], bool), measure(Layer.open(covered), CENTRES), 0.5)
    assert maps.blank[101:200, 101:200].all()
    assert not (maps.blank & maps.valid).any()
    assert not maps.blank[:95].any()
    assert maps.valid[:95].all()
    whole, hidden = (measure(Layer.open(data), CENTRES) for data in (image, covered))
    assert hidden.unit == pytest.approx(whole.unit, rel=0.25)
    assert hidden.level == pytest.approx(whole.level, rel=0.15)
