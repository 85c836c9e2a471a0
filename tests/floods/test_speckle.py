"""Speckle filters against windows that are computed one by one, and looks of made-up speckle."""

import numpy as np
import pytest
from refusals import raises_naming

pytest.importorskip("numba")

from deepnets4eo.errors import InputError
from deepnets4eo.floods import equivalent_looks, lee_sigma_filter, log_ratio, refined_lee_filter
from deepnets4eo.floods.speckle import sigma_range

LOOKS = 4.0
FILTERS = [refined_lee_filter, lee_sigma_filter]


def speckle(shape: tuple[int, int], looks: float = LOOKS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)


def estimate(value: float, others: np.ndarray, noise: float) -> float:
    """The linear estimate of least error, from the values of a window."""
    others = others[np.isfinite(others)].astype(float)
    variance = others.var()
    signal = max(0.0, (variance - others.mean() ** 2 * noise) / (1 + noise))
    return others.mean() + (signal / variance if variance > 0 else 0) * (value - others.mean())


@pytest.fixture
def image() -> np.ndarray:
    image = speckle((140, 21))
    image[:, 10:] *= 8
    image[3:5, 4] = np.nan
    image[126:130, 15:18] = np.nan
    return image


def one_refined(padded: np.ndarray, row: int, col: int) -> float:
    """Refined Lee of one pixel, as the paper says it: means, gradient, side, half window."""
    with np.errstate(invalid="ignore"):
        means = np.array(
            [
                [np.nanmean(padded[row + i - 1 : row + i + 2, col + j - 1 : col + j + 2]) for j in (-2, 0, 2)]
                for i in (-2, 0, 2)
            ]
        )
    down, right = np.mgrid[-3:4, -3:4]
    weights = [np.array([[1, 0, -1]] * 3), np.array([[1, 0, -1]] * 3).T,
               np.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]]), np.array([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]])]  # fmt: skip
    best = int(np.argmax([abs((one * means).sum()) for one in weights]))
    first, second = [((1, 0), (1, 2)), ((0, 1), (2, 1)), ((0, 0), (2, 2)), ((0, 2), (2, 0))][best]
    signed = [right, down, down + right, down - right][best]
    nearer_first = abs(means[first] - means[1, 1]) < abs(means[second] - means[1, 1])
    half = signed <= 0 if nearer_first else signed >= 0
    return estimate(padded[row, col], padded[row - 3 : row + 4, col - 3 : col + 4][half], 1 / LOOKS)


def test_refined_lee_is_the_estimate_in_the_half_window_beside_an_edge():
    image = speckle((140, 21))
    image[np.add.outer(np.arange(140), np.arange(21)) % 40 > 20] *= 8
    image[70, 10] = np.nan
    filtered = refined_lee_filter(image, LOOKS)
    for row in (5, 40, 68, 71, 126, 127, 128, 129, 134):
        for col in range(5, 16):
            if np.isfinite(image[row, col]):
                assert filtered[row, col] == pytest.approx(one_refined(image, row, col), rel=1e-5), (row, col)


@pytest.mark.parametrize("smooth", FILTERS)
def test_nodata_stays_and_enters_no_window(smooth, image):
    filtered = smooth(image, LOOKS)
    np.testing.assert_array_equal(np.isnan(filtered), np.isnan(image))
    assert np.isnan(smooth(np.full((9, 9), np.nan, np.float32), LOOKS)).all()


@pytest.mark.parametrize("smooth", FILTERS)
def test_speckle_becomes_less_and_the_mean_stays(smooth):
    power = speckle((100, 100))
    power[0, 0] = np.nan
    filtered = smooth(power, LOOKS)
    assert np.nanmean(filtered) == pytest.approx(1, abs=0.03)
    assert np.nanvar(filtered) < np.nanvar(power) / 8
    assert np.isnan(filtered[0, 0])


@pytest.mark.parametrize("smooth", FILTERS)
def test_threads_change_nothing(smooth, image):
    np.testing.assert_array_equal(smooth(image, LOOKS, workers=1), smooth(image, LOOKS, workers=3))


def test_refined_lee_keeps_an_edge_that_a_mean_blurs():
    from scipy.ndimage import uniform_filter

    power = speckle((60, 60))
    power[:, 30:] *= 20
    mean, refined = (
        np.abs(one[5:-5, 29] - 1).mean() for one in (uniform_filter(power, 7), refined_lee_filter(power, LOOKS))
    )
    assert refined < 0.1 * mean


def test_the_sigma_range_is_that_of_the_paper():
    """Lee et al. 2009, table of one-look intensity: σ .5 and .9."""
    np.testing.assert_allclose(sigma_range(1, 0.5), (0.436, 1.920, 0.4057), atol=4e-3)
    np.testing.assert_allclose(sigma_range(1, 0.9), (0.084, 3.941, 0.8191), atol=1e-2)
    draws = np.random.default_rng(0).gamma(3, 1 / 3, 400_000)
    low, high, spread = sigma_range(3, 0.8)
    within = draws[(draws > low) & (draws < high)]
    assert (len(within) / len(draws), within.mean(), within.std()) == pytest.approx((0.8, 1, spread), abs=5e-3)


def test_lee_sigma_keeps_point_targets():
    power = speckle((60, 60))
    power[30:32, 30:33] = 500
    filtered = lee_sigma_filter(power, LOOKS)
    assert (filtered[30:32, 30:33] == 500).all()
    assert filtered[26:30, 26:30].max() < 5


@pytest.mark.parametrize("looks", [1.0, 4.4])
def test_looks_are_those_of_even_ground(looks):
    power = speckle((600, 600), looks)
    assert equivalent_looks(power) == pytest.approx(looks, rel=0.1)
    power[:200] *= np.exp(np.random.default_rng(1).normal(0, 1, (200, 600)))  # texture
    power[300:320, 300:320] = np.nan
    assert equivalent_looks(power) == pytest.approx(looks, rel=0.15)


def test_the_log_ratio_is_in_decibel_and_negative_where_it_became_dark():
    pre, post = np.array([[1, 2, np.nan, 1]], np.float32), np.array([[0.1, 4, 1, 0]], np.float32)
    np.testing.assert_allclose(log_ratio(pre, post), [[-10, 10 * np.log10(2), np.nan, -100]], rtol=1e-5)


def test_what_cannot_be_filtered_is_refused():
    with raises_naming(InputError, "window is 4"):
        lee_sigma_filter(speckle((9, 9)), LOOKS, window_px=4)
    with raises_naming(InputError, "1.5"):
        lee_sigma_filter(speckle((9, 9)), LOOKS, sigma=1.5)
    with raises_naming(InputError, "4 blocks", "blocks of 12", "9"):
        equivalent_looks(speckle((24, 24)))
    with raises_naming(InputError, "0 blocks", "blocks of 12"):
        equivalent_looks(speckle((8, 40)))
