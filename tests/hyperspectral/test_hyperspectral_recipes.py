"""The recipes of models/hyperspectral: each resolves, names what exists, and has or takes the published settings."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.baselines import BaselineRecipe
from deepnets4eo.cards import Legend, ShippedModel
from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.training import HyperspectralRecipe, _network_spec
from deepnets4eo.segmenters import list_models
from deepnets4eo.training import load_recipe

NAMES = [name for name in ShippedModel.names() if name.startswith("hyperspectral/")]
# optimiser, rate, weight decay, batch, epochs: Audebert, Le Saux and Lefèvre 2019, as their code has them
PUBLISHED = {
    "nn": ("adam", 1e-4, 0, 100, 100),
    "hu": ("sgd", 0.01, 0, 100, 100),
    "hamida": ("sgd", 0.01, 5e-4, 100, 100),
    "lee": ("adam", 1e-3, 0, 100, 200),
    "chen": ("sgd", 0.003, 0, 100, 400),
    "li": ("sgd", 0.01, 5e-4, 100, 200),
    "he": ("adagrad", 0.01, 0.01, 40, 100),
    "luo": ("sgd", 0.1, 0.09, 100, 100),
    "sharma": ("sgd", 0.05, 5e-4, 60, 30),
    "liu": ("sgd", 0.001, 0, 100, 40),
    "boulch": ("sgd", 0.001, 0, 100, 100),
    "mou": ("adadelta", 1.0, 0, 100, 100),
}
# where those do not learn on small scenes: options that the card names for the published settings
AS_PUBLISHED = {
    "hu": ["train.optimizer=sgd"],
    "boulch": ["train.optimizer=sgd", "train.lr=0.001"],
    "chen": ["train.optimizer=sgd", "train.lr=0.003"],
    "luo": ["train.optimizer=sgd", "train.lr=0.1", "train.weight_decay=0.09"],
}
OTHERS = {
    "hybridsn", "ssrn", "spectralformer", "spectral-unet", "two-sensor", "svm", "random-forest", "knn",
    "sam", "lda", "emp-svm",
}  # fmt: skip


def scenes_with(*waves: list[float] | None) -> list[Any]:
    """Scenes of one layer, whose cube lists these wavelengths."""
    layers = [SimpleNamespace(count=3, wavelengths_nm=None if nm is None else np.array(nm)) for nm in waves]
    return [SimpleNamespace(scene=SimpleNamespace(layers={"image": layer})) for layer in layers]


@pytest.mark.parametrize(
    ("steps", "used"), [(("derivative",), True), (("l2", "continuum"), True), (("l2", "snv"), False)]
)
def test_wavelengths_reach_the_steps_that_divide_by_them(steps: tuple[str, ...], used: bool) -> None:
    recipe = HyperspectralRecipe(model={"network": "hyperspectral/nn"}, spectra={"normalise": steps})
    spec = _network_spec(recipe, scenes_with(None, [450, 500, 700]), Legend.load("minicity"))
    assert spec["spectra"].get("wavelengths_nm") == ([450, 500, 700] if used else None)


def test_bands_without_wavelengths_are_named(caplog: pytest.LogCaptureFixture) -> None:
    recipe = HyperspectralRecipe(model={"network": "hyperspectral/nn"}, spectra={"normalise": ["derivative"]})
    spec = _network_spec(recipe, scenes_with([450, np.nan, 700]), Legend.load("minicity"))
    assert "wavelengths_nm" not in spec["spectra"]
    assert "derivative" in caplog.text


def test_spectra_are_not_scaled_band_by_band_before_their_shapes_are_compared() -> None:
    with raises_naming(InputError, "data.scaling"):
        HyperspectralRecipe(
            model={"network": "hyperspectral/nn"}, spectra={"normalise": ["l2"]}, data={"scaling": "standard"}
        )
    assert HyperspectralRecipe(model={"network": "hyperspectral/nn"}, spectra={"normalise": ["l2"]}).compares_shapes
    assert not HyperspectralRecipe(model={"network": "hyperspectral/nn"}).compares_shapes


def test_all_of_them_are_listed() -> None:
    assert {name.partition("/")[2] for name in NAMES} == PUBLISHED.keys() | OTHERS


@pytest.mark.parametrize("name", NAMES)
def test_each_resolves_and_names_its_own_network(name: str) -> None:
    recipe, _ = load_recipe(name)
    assert not recipe.data.split.startswith("random")
    if recipe.task == "segmentation" or recipe.model.method == "network":
        assert recipe.model.network == name
        assert recipe.train.keep == "last"
    else:
        assert isinstance(recipe, BaselineRecipe)
        assert isinstance(recipe, HyperspectralRecipe)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_optimisers_are_kept_or_within_reach(name: str) -> None:
    train = load_recipe(f"hyperspectral/{name}", overrides=AS_PUBLISHED.get(name, []))[0].train
    assert (train.optimizer, train.lr, train.weight_decay, train.batch_size, train.epochs) == PUBLISHED[name]
    assert train.decay == "all"
    assert train.optimizer != "sgd" or train.momentum == (0.9 if name == "li" else 0)
    assert not any([train.flips, train.rotations, train.radiation_noise, train.mixture])
    assert f"hyperspectral/{name}" in list_models()
