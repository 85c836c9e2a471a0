"""A scene is opened as training had it: its bands by their names, and the value without data that the recipe gave."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff

import deepnets4eo
from deepnets4eo.baselines import BaselineRecipe
from deepnets4eo.rasters import Layer
from deepnets4eo.training.recipe import resolve

LEGEND = {
    "name": "two",
    "classes": [
        {"value": 0, "name": "left", "color": [255, 0, 0]},
        {"value": 1, "name": "right", "color": [0, 0, 255]},
    ],
}


def train(folder: Path, image: np.ndarray, labels: np.ndarray, *overrides: str) -> Path:
    layers = {
        name: str(write_geotiff(folder / f"{name}.tif", values))
        for name, values in (("image", image), ("labels", labels))
    }
    values = {
        "task": "baseline",
        "legend": LEGEND,
        "data": {"layers": layers, "val_share": 0.0, "num_workers": 0},
        "model": {"method": "pixels", "features": ["pixels"]},
        "estimator": {"name": "lda"},
    }
    return deepnets4eo.train(resolve(values, overrides, kind=BaselineRecipe), folder / "run")


@pytest.fixture
def pictured() -> tuple[np.ndarray, np.ndarray]:
    """Bands of which the first alone tells the classes apart, and the last contradicts it."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 2, (8, 8)), np.ones((20, 20), int)).astype(np.uint8)
    noise = rng.integers(0, 40, (3, *labels.shape))
    return (noise + np.stack([150 * labels, 0 * labels, 60 * (1 - labels)])).astype(np.uint8), labels


@pytest.mark.parametrize("named", [False, True])
def test_bands_are_read_in_the_order_of_training(named: bool, pictured: tuple, tmp_path: Path) -> None:
    image, labels = pictured
    if named:
        with rasterio.open(write_geotiff(tmp_path / "image.tif", image), "r+") as file:
            file.descriptions = ("nir", "red", "green")
    run = train(tmp_path, image, labels, "data.bands={image: [3, 2, 1]}")
    deepnets4eo.predict(run, tmp_path / "image.tif", tmp_path / "map.tif")
    assert (Layer.open(tmp_path / "map.tif").read()[0][0] == labels).mean() > 0.99


def test_the_value_without_data_of_the_recipe_counts_in_prediction_too(pictured: tuple, tmp_path: Path) -> None:
    image, labels = pictured
    image[:, :30] = 255
    run = train(tmp_path, image, labels, "data.nodata={image: 255}")
    deepnets4eo.predict(run, tmp_path / "image.tif", tmp_path / "map.tif")
    valid = Layer.open(tmp_path / "map.tif").read()[1]
    assert not valid[:30].any()
    assert valid[30:].all()
