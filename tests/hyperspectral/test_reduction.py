"""Reductions against scikit-learn and scipy."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.linalg import eigh
from sklearn.decomposition import PCA

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import fit_reduction
from deepnets4eo.hyperspectral.reduction import REDUCTIONS

BANDS = 12


@pytest.fixture(scope="module")
def cube() -> np.ndarray:
    """Three smooth abundances of three spectra and noise that grows with the band; positive."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:30, :40] / 20
    abundances = np.stack([np.sin(rows) ** 2, np.cos(columns) ** 2, 0.5 + 0.4 * np.sin(rows * columns)])
    spectra = rng.uniform(0.2, 1, (BANDS, 3))
    noise = rng.normal(0, 1, (BANDS, 30, 40)) * np.linspace(0.005, 0.08, BANDS)[:, None, None]
    return np.maximum(np.einsum("bk,khw->bhw", spectra, abundances) + noise + 0.3, 0.01).astype(np.float32)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    return np.random.default_rng(1).random((30, 40)) < 0.8


def windows_of(cube: np.ndarray, mask: np.ndarray, rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    edges = [*range(0, cube.shape[1], rows), cube.shape[1]]
    return [(cube[:, top:bottom], mask[top:bottom]) for top, bottom in pairwise(edges)]


def test_principal_components_are_those_of_scikit_learn_up_to_sign(cube: np.ndarray, mask: np.ndarray) -> None:
    pixels = cube[:, mask].T.astype(np.float64)
    expected = PCA(5, svd_solver="full").fit(pixels)
    ours = fit_reduction("pca", windows_of(cube, mask, 7), 5)
    np.testing.assert_allclose(ours.importance, expected.explained_variance_ratio_, rtol=1e-5)
    np.testing.assert_allclose(np.abs((ours.basis * expected.components_).sum(axis=1)), 1, atol=1e-5)
    signs = np.sign((ours.basis * expected.components_).sum(axis=1))
    np.testing.assert_allclose(ours.transform(pixels), expected.transform(pixels) * signs, atol=1e-5)


def test_the_entry_of_the_largest_size_is_positive(cube: np.ndarray, mask: np.ndarray) -> None:
    for kind in ("pca", "mnf"):
        basis = fit_reduction(kind, [(cube, mask)], BANDS).basis
        assert (basis[np.arange(BANDS), np.abs(basis).argmax(axis=1)] > 0).all()


def test_noise_fractions_solve_the_generalised_eigenproblem(cube: np.ndarray, mask: np.ndarray) -> None:
    differences = []
    for row in range(30):
        for column in range(40):
            for other in ((row, column + 1), (row + 1, column)):
                if other[0] < 30 and other[1] < 40 and mask[row, column] and mask[other]:
                    differences.append(cube[:, other[0], other[1]] - cube[:, row, column])
    rows = np.array(differences, np.float64)
    noise = rows.T @ rows / len(rows) / 2
    values, vectors = eigh(np.cov(cube[:, mask].astype(np.float64)), noise)  # vectors of unit noise
    ours = fit_reduction("mnf", [(cube, mask)], BANDS)
    np.testing.assert_allclose(ours.importance, values[::-1], rtol=1e-4)
    signs = np.sign((ours.basis * vectors.T[::-1]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ours.basis, vectors.T[::-1] * signs, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(ours.basis @ noise @ ours.basis.T, np.eye(BANDS), atol=1e-3)


def test_noise_fractions_find_the_signal_that_variance_hides(cube: np.ndarray, mask: np.ndarray) -> None:
    loud = cube.copy()
    loud[-1] += np.random.default_rng(2).normal(0, 5, cube.shape[1:]).astype(np.float32)
    pca, mnf = (fit_reduction(kind, [(loud, mask)], 3).basis for kind in ("pca", "mnf"))
    assert np.abs(pca[0]).argmax() == BANDS - 1
    scale = np.abs(mnf) * loud[:, mask].std(axis=1)
    assert (scale[:, -1] < 0.2 * scale.max(axis=1)).all()


@pytest.mark.parametrize("kind", ["pca", "mnf"])
def test_whitened_scores_have_unit_variance(kind: str, cube: np.ndarray, mask: np.ndarray) -> None:
    pixels = cube[:, mask].T
    scores = fit_reduction(kind, [(cube, mask)], 4, whiten=True).transform(pixels)
    np.testing.assert_allclose(np.cov(scores.T), np.eye(4), atol=2e-3)


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_pixels_outside_the_mask_never_enter(kind: str, cube: np.ndarray, mask: np.ndarray) -> None:
    spoiled = np.where(mask, cube, np.nan).astype(np.float32)
    ours, other = (fit_reduction(kind, [(one, mask)], 3) for one in (cube, spoiled))
    np.testing.assert_array_equal(ours.basis, other.basis)
    np.testing.assert_array_equal(ours.mean, other.mean)


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_a_reduction_is_the_same_again(kind: str, cube: np.ndarray, mask: np.ndarray) -> None:
    ours, again = (fit_reduction(kind, windows_of(cube, mask, 11), 3) for _ in range(2))
    pixels = cube[:, 0].T
    np.testing.assert_array_equal(again.transform(pixels), ours.transform(pixels))


def test_what_cannot_be_fitted_is_refused(cube: np.ndarray, mask: np.ndarray) -> None:
    none, scattered = np.zeros_like(mask), np.zeros_like(mask)
    scattered[::2, ::2] = True
    cases = [
        ("pcaa", cube, mask, 3, "Did you mean 'pca'"),
        ("pca", cube, none, 3, "without a training pixel"),
        ("pca", cube, mask, 13, "13 components were requested of 12 bands"),
        ("pca", cube[:, :1, :3], np.ones((1, 3), bool), 3, "3 components need more than 3"),
        ("mnf", cube, scattered, 3, "0 pairs for 12 bands"),
        ("pca", np.full_like(cube, np.nan), mask, 3, "bands that are not finite"),
    ]
    for kind, image, where, components, message in cases:
        with pytest.raises(InputError, match=message):
            fit_reduction(kind, [(image, where)], components)


@pytest.mark.real_data
def test_noise_fractions_of_a_real_cube_lose_their_spatial_order(real_data: Path) -> None:
    cube = loadmat(real_data / "jasper_ridge/jasperRidge2_R198.mat")["Y"].reshape(198, 100, 100).astype(np.float32)
    fitted = fit_reduction("mnf", [(cube, np.ones((100, 100), bool))], 198)
    maps = fitted.transform(cube.reshape(198, -1).T).T.reshape(198, 100, 100)
    likeness = [np.corrcoef(one[:, 1:].ravel(), one[:, :-1].ravel())[0, 1] for one in maps[[0, 1, 2, -3, -2, -1]]]
    assert min(likeness[:3]) > 0.8
    assert max(likeness[3:]) < 0.3
