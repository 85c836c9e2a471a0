"""Orientation correlation: sign, contrast, sub-pixel, and what unrelated patches reach."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, strategies as st
from moved_place import moved, noisy, place
from scipy import fft, ndimage
from skimage.registration import phase_cross_correlation

from deepnets4eo.registration import orientation_field
from deepnets4eo.registration.tiepoints import correlate_spectra, find_peaks, taper


def surfaces(first: np.ndarray, second: np.ndarray, radius_px: int) -> np.ndarray:
    return correlate_spectra(fft.fft2(first), fft.fft2(second), radius_px)


def match(first: np.ndarray, second: np.ndarray, radius_px: int = 20):
    weight = taper(first.shape)
    fields = [(orientation_field(image) * weight)[None] for image in (first, second)]
    return find_peaks(surfaces(*fields, radius_px))


def pair(row: int, col: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """a and b with b(y, x) = a(y + row, x + col)."""
    wide = place(seed, (200, 200))
    return wide[36:164, 36:164], wide[36 + row : 164 + row, 36 + col : 164 + col]


def test_the_peak_lies_at_the_shift_that_leads_from_second_to_first():
    first, second = pair(7, -11)
    peaks = match(first, second)
    assert peaks.rows[0] == pytest.approx(7, abs=0.1)
    assert peaks.cols[0] == pytest.approx(-11, abs=0.1)


def test_the_negative_of_an_image_gives_the_same_shift():
    first, second = pair(7, -11)
    peaks = match(first, 255 - second)
    assert (peaks.rows[0], peaks.cols[0]) == pytest.approx((7, -11), abs=0.1)
    assert peaks.values[0] > 0.5


@given(st.integers(-15, 15), st.integers(-15, 15), st.integers(0, 5))
def test_whole_pixel_shifts_agree_with_scikit_image(row, col, seed):
    first, second = pair(row, col, seed)
    peaks = match(first, second)
    reference = phase_cross_correlation(first * taper((128, 128)), second * taper((128, 128)), normalization="phase")[0]
    assert round(peaks.rows[0]) == row
    assert round(peaks.cols[0]) == col
    if abs(reference[0] - row) + abs(reference[1] - col) > 0.5:
        return  # the plain phase method misses some; where it finds the shift, the signs must agree
    assert np.sign(reference).tolist() == np.sign([row, col]).tolist()


@pytest.mark.parametrize(("dx", "dy"), [(0.3, 0.0), (-0.4, 2.6), (3.25, -0.75)])
def test_fractions_of_a_pixel_are_found_to_a_tenth(dx, dy):
    image = ndimage.gaussian_filter(place(2, (160, 160)), 0.8)
    peaks = match(moved(image, Affine.translation(dx, dy)), image)
    assert (peaks.cols[0], peaks.rows[0]) == pytest.approx((dx, dy), abs=0.1)


def test_identical_patches_score_one_and_unrelated_ones_little():
    same, other = place(0, (128, 128)), place(9, (128, 128))
    assert match(same, same).values[0] == pytest.approx(1.0, abs=1e-3)
    assert match(same, other).values[0] < 0.2
    assert match(same, noisy(same)).ratios[0] > 2 > match(same, other).ratios[0]


def test_holes_do_not_draw_the_peak():
    first, second = pair(4, 5)
    valid = np.ones(first.shape, bool)
    valid[:, 40:70] = False
    holed = [orientation_field(np.where(valid, image, 0), valid) for image in (first, second)]
    assert (holed[0][:, 40:70] == 0).all()
    peaks = find_peaks(surfaces(holed[0][None], holed[1][None], 20))
    assert (round(peaks.rows[0]), round(peaks.cols[0])) == (4, 5)


def test_surfaces_are_the_correlation_summed_by_hand():
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((2, 16, 16)) + 1j * rng.standard_normal((2, 16, 16)) for _ in range(2))
    found = surfaces(first.astype(np.complex64), second.astype(np.complex64), 3)
    for row in range(-3, 4):
        for col in range(-3, 4):
            rolled = np.roll(first, (-row, -col), axis=(1, 2))
            energy = np.sqrt((np.abs(first) ** 2).sum((1, 2)) * (np.abs(second) ** 2).sum((1, 2)))
            expected = (rolled * np.conj(second)).real.sum((1, 2)) / energy
            np.testing.assert_allclose(found[:, row + 3, col + 3], expected, atol=1e-5)
