"""Gabor magnitudes, against scikit-image's filter."""

import numpy as np
import pytest
from skimage.filters import gabor, gabor_kernel

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.texture import GABOR, GaborBank, gabor_kernel_lines


@pytest.mark.parametrize("wavelength", [3, 4, 8.5])
@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 150])
def test_the_lines_make_the_kernel(wavelength: float, degrees: float) -> None:
    down, right = gabor_kernel_lines(wavelength, np.deg2rad(degrees))
    np.testing.assert_allclose(np.outer(down, right), gabor_kernel(1 / wavelength, np.deg2rad(degrees)), atol=1e-12)


def test_magnitudes_are_those_of_scikit_image_up_to_the_border() -> None:
    values = np.random.default_rng(0).integers(0, 256, (1, 40, 37)).astype(np.float32)
    bank = GaborBank("any", wavelengths_px=(4, 7), directions=4)
    found = bank.compute(Bands(values, ("image.grey",)))
    number = 0
    for wavelength in (4, 7):
        for direction in range(4):
            real, imaginary = gabor(values[0] / 255.0, 1 / wavelength, np.pi * direction / 4)
            np.testing.assert_allclose(found[number], np.hypot(real, imaginary), atol=1e-6)
            number += 1


def test_a_wave_answers_to_its_own_wavelength_and_direction() -> None:
    wave = 127 + 100 * np.sin(2 * np.pi * np.arange(96) / 8)
    for image, degrees in ((np.tile(wave, (96, 1)), "0"), (np.tile(wave[:, None], (1, 96)), "90")):
        bands = Bands(image[None].astype(np.float32), ("image.grey",))
        strongest = int(GABOR.compute(bands, 32)[:, 1, 1].argmax())
        assert GABOR.columns(bands)[strongest] == f"wavelength8.{degrees}"
