"""The first module of hyperspectral networks: as in NumPy, and saved with the weights."""

import numpy as np
import pytest
import torch
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import SpectralInput, fit_reduction
from deepnets4eo.hyperspectral.reduction import REDUCTIONS

BANDS = 20
WAVELENGTHS = [400 + 10 * band + band % 3 for band in range(BANDS)]


@pytest.fixture
def cube() -> np.ndarray:
    rng = np.random.default_rng(0)
    cube = 0.5 + rng.normal(0, 0.02, (BANDS, 15, 18)).cumsum(axis=0)
    cube[:, 3, 4] = 0
    return np.abs(cube).astype(np.float32)


def run(module: SpectralInput, cube: np.ndarray) -> np.ndarray:
    return module(torch.from_numpy(cube)[None])[0].numpy()


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions_are_those_of_numpy(kind: str, cube: np.ndarray) -> None:
    mask = np.random.default_rng(1).random(cube.shape[1:]) < 0.8
    module = SpectralInput(BANDS, ["l2"], kind, 4)
    module.fit([(cube[:, :8], mask[:8]), (cube[:, 8:], mask[8:])])
    parts = [run(SpectralInput(BANDS, ["l2"]), np.ascontiguousarray(part)) for part in (cube[:, :8], cube[:, 8:])]
    fitted = fit_reduction(kind, [(parts[0], mask[:8]), (parts[1], mask[8:])], 4, whiten=True)
    lengths = np.concatenate(parts, axis=1)
    expected = np.moveaxis(fitted.transform(np.moveaxis(lengths, 0, -1)), -1, 0)
    np.testing.assert_allclose(run(module, cube), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_steps_follow_one_another(cube: np.ndarray) -> None:
    module = SpectralInput(BANDS, ["derivative", "derivative", "snv"], wavelengths_nm=WAVELENGTHS)
    middles = (np.array(WAVELENGTHS[1:]) + WAVELENGTHS[:-1]) / 2
    spectra = run(SpectralInput(BANDS, ["derivative"], wavelengths_nm=WAVELENGTHS), cube)
    spectra = run(SpectralInput(BANDS - 1, ["derivative", "snv"], wavelengths_nm=middles), spectra)
    assert module.out_bands == BANDS - 2
    np.testing.assert_allclose(run(module, cube), spectra, atol=1e-4)


def test_before_it_is_fitted_groups_of_bands_are_averaged() -> None:
    cube = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    np.testing.assert_allclose(run(SpectralInput(6, reduction="pca", components=3), cube)[:, 0, 0], [0.5, 2.5, 4.5])


def test_what_was_fitted_is_kept_with_the_weights(cube: np.ndarray) -> None:
    first, second = (SpectralInput(BANDS, reduction="mnf", components=3) for _ in range(2))
    first.fit([(cube, np.ones(cube.shape[1:], bool))])
    assert sorted(first.state_dict()) == ["basis", "mean"]
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(run(second, cube), run(first, cube))


def test_in_bfloat16_means_keep_their_digits(cube: np.ndarray) -> None:
    module = SpectralInput(BANDS, reduction="pca", components=3)
    module.fit([(cube, np.ones(cube.shape[1:], bool))])
    image = torch.from_numpy(cube)[None].bfloat16()
    exact = module(image.float())
    module.to(torch.bfloat16)
    assert module.mean.dtype == torch.float32
    scores = module(image)
    assert scores.dtype == torch.bfloat16
    torch.testing.assert_close(scores.float(), exact, rtol=2**-8, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(image.float()), exact)


def test_wrong_settings_and_foreign_reductions_are_refused(cube: np.ndarray) -> None:
    with raises_naming(InputError, "'l3'"):
        SpectralInput(BANDS, ["l3"])
    with raises_naming(InputError, "'ica'"):
        SpectralInput(BANDS, reduction="ica", components=3)
    with raises_naming(InputError, "Choose 1", "19 after"):
        SpectralInput(BANDS, ["derivative"], "pca", 20)
    fitted = fit_reduction("pca", [(cube, np.ones(cube.shape[1:], bool))], 3)
    with raises_naming(InputError, "'pca'", "4", "20"):
        SpectralInput(BANDS, reduction="pca", components=4).set_reduction(fitted)
    with pytest.raises(InputError, match="built for None"):
        SpectralInput(BANDS).set_reduction(fitted)
