"""Normalisations of spectra against plain loops, spectrum by spectrum."""

import numpy as np
import pytest
import torch
from refusals import raises_naming
from scipy.spatial import ConvexHull

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import SpectralInput
from deepnets4eo.hyperspectral.spectral_input import NORMALISATIONS, _upper_hull


def normalise(spectra: np.ndarray, name: str, wavelengths_nm: list[float] | None = None) -> np.ndarray:
    """Spectra (…, B) as the first module of a network normalises them."""
    bands = spectra.shape[-1]
    rows = torch.from_numpy(np.asarray(spectra, np.float32)).reshape(-1, bands)
    outputs = SpectralInput(bands, [name], wavelengths_nm=wavelengths_nm)(rows.T[None, :, :, None])
    return outputs[0, :, :, 0].T.reshape(*spectra.shape[:-1], -1 if outputs.numel() else bands).numpy()


@pytest.fixture
def spectra() -> np.ndarray:
    """Random walks about smooth curves, positive."""
    rng = np.random.default_rng(0)
    walk = rng.normal(0, 0.02, (60, 80)).cumsum(axis=1)
    return (0.6 + 0.3 * np.sin(np.linspace(0, 3, 80)) + walk - walk.min()).astype(np.float32)


def hull_of_one(positions: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """The upper hull from scipy's hull of the points and two far below the ends."""
    ends = [[positions[0], spectrum.min() - 10], [positions[-1], spectrum.min() - 10]]
    points = np.vstack([np.column_stack([positions, spectrum]), ends])
    corners = sorted(index for index in ConvexHull(points).vertices if index < len(spectrum))
    return np.interp(positions, positions[corners], spectrum[corners])


def test_the_continuum_is_the_convex_hull_of_each_spectrum(spectra: np.ndarray) -> None:
    positions = np.sort(np.random.default_rng(1).uniform(400, 2500, spectra.shape[1])).astype(np.float32)
    expected = np.stack([hull_of_one(positions, spectrum) for spectrum in spectra])
    np.testing.assert_allclose(_upper_hull(torch.from_numpy(spectra), torch.from_numpy(positions)), expected, atol=2e-6)
    np.testing.assert_allclose(normalise(spectra, "continuum", positions), spectra / expected, atol=5e-6)


def test_the_continuum_removed_spectrum_is_at_most_one_and_one_at_both_ends(spectra: np.ndarray) -> None:
    removed = normalise(spectra, "continuum")
    assert removed.max() == 1
    assert (removed[:, [0, -1]] == 1).all()
    assert removed.min() < 0.95


def test_lengths_and_variates_are_those_of_each_spectrum(spectra: np.ndarray) -> None:
    exact = spectra.astype(np.float64)
    lengths = np.array([np.linalg.norm(spectrum) for spectrum in exact])
    np.testing.assert_allclose(normalise(spectra, "l2"), exact / lengths[:, None], atol=1e-6)
    variates = np.stack([(spectrum - spectrum.mean()) / spectrum.std(ddof=1) for spectrum in exact])
    np.testing.assert_allclose(normalise(spectra, "snv"), variates, atol=1e-5)


def test_the_derivative_is_the_rise_per_nanometre() -> None:
    wavelengths = np.array([400.0, 410, 430, 470])
    spectrum = 0.02 * wavelengths + 5
    np.testing.assert_allclose(normalise(spectrum, "derivative", wavelengths), [0.02] * 3, rtol=1e-4)


def test_the_variate_does_not_depend_on_gain_and_offset(spectra: np.ndarray) -> None:
    np.testing.assert_allclose(normalise(3 * spectra + 2, "snv"), normalise(spectra, "snv"), atol=1e-4)


def test_empty_and_flat_spectra_stay_finite() -> None:
    flat = np.stack([np.zeros(9), np.full(9, 0.1), np.full(9, -2.0)]).astype(np.float32)
    assert not normalise(flat[:1], "l2").any()
    assert not normalise(flat, "snv").any()
    np.testing.assert_array_equal(normalise(flat, "continuum"), 1)
    for name in NORMALISATIONS:
        assert np.isfinite(normalise(flat, name)).all(), name
        assert normalise(np.zeros((0, 5)), name).shape[0] == 0


@pytest.mark.parametrize("name", ["l2", "snv", "continuum"])
def test_a_single_band_and_cubes_with_bands_last_are_taken(name: str) -> None:
    assert normalise(np.full((2, 3, 1), 0.5), name).shape == (2, 3, 1)


def test_unknown_names_and_wrong_wavelengths_are_refused() -> None:
    with raises_naming(InputError, "'continuum'"):
        normalise(np.ones((2, 4)), "continum")
    with raises_naming(InputError, "3 wavelengths", "4 bands"):
        normalise(np.ones((2, 4)), "derivative", [1, 2, 3])
    with raises_naming(InputError, "2", "500", "3"):
        normalise(np.ones((2, 4)), "derivative", [400, 500, 500, 600])
