"""Small-window filters against scipy's, away from the border."""

import numpy as np
import pytest
from scipy import ndimage

from deepnets4eo.damage.structure.maps import blank, box, cell_sums, deviation, gradient, minimum, nonzero_valid


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 52)).astype(np.float32)


@pytest.mark.parametrize("size", [3, 5, 7, 9, 11])
def test_box_and_minimum_agree_with_scipy(values: np.ndarray, size: int) -> None:
    inner = (slice(size, -size), slice(size, -size))
    assert np.allclose(box(values, size)[inner], ndimage.uniform_filter(values, size)[inner], atol=1e-5)
    assert (minimum(values, size)[inner] == ndimage.minimum_filter(values, size)[inner]).all()


def test_gradient_agrees_with_scipys_sobel(values: np.ndarray) -> None:
    for axis, mine in enumerate(gradient(values)):
        assert np.allclose(mine[1:-1, 1:-1], (ndimage.sobel(values, axis) / 8)[1:-1, 1:-1], atol=1e-5)


def test_deviation_is_exact_however_bright_the_image_is(values: np.ndarray) -> None:
    expected = ndimage.generic_filter(values.astype(float), np.std, 3)[1:-1, 1:-1]
    assert np.allclose(deviation(values)[1:-1, 1:-1], expected, atol=1e-5)
    assert np.allclose(deviation(values + np.float32(1000))[1:-1, 1:-1], expected, atol=1e-3)


def test_filters_leave_their_input_alone(values: np.ndarray) -> None:
    before = values.copy()
    for work in (lambda v: box(v, 3), lambda v: minimum(v, 5), deviation, gradient):
        work(values)
        assert (values == before).all()


def test_cells_add_up_to_the_whole(values: np.ndarray) -> None:
    sums = cell_sums(values, 4)
    assert sums.shape == (10, 13)
    assert np.isclose(sums[2, 3], values[8:12, 12:16].sum(), atol=1e-4)
    assert cell_sums(values > 0, 4).sum() == (values > 0).sum()


def test_pixels_are_blank_where_all_bands_are_zero_and_stripes_are_not():
    data = np.array([[[0, 0, 5]], [[0, 7, 5]]])
    assert nonzero_valid(data, np.array([[True, True, False]])).tolist() == [[False, True, False]]
    stripes = np.random.default_rng(6).integers(20, 200, 100).astype(np.uint8)
    for turned in (stripes[None, :, None], stripes[None, None]):
        assert not blank(np.broadcast_to(turned, (1, 100, 100))).any()
