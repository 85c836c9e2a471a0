"""The task `hyperspectral`: networks learn patches, are scored on test pixels alone, and are kept as runs."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from made_up_cube import BANDS, LEGEND, SIDE, SmallAutoencoder, SmallPatches, make_cube, write_cube
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Protocol, evaluate_pairs
from deepnets4eo.grid import whole
from deepnets4eo.hyperspectral.pixel_sets import labelled_pixels, unlabelled_pixels
from deepnets4eo.hyperspectral.recipe import HyperspectralRecipe
from deepnets4eo.hyperspectral.samples import PatchLoader
from deepnets4eo.hyperspectral.training import TASK
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.plugins import NETWORKS, TASKS
from deepnets4eo.prediction import predict
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.splits import VAL
from deepnets4eo.training.tasks import TrainOptions


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lines in setup.cfg would add."""
    added: dict[str, dict[str, Any]] = {
        NETWORKS: {"small-patches": SmallPatches, "small-autoencoder": SmallAutoencoder},
        TASKS: {"hyperspectral": TASK},
    }
    monkeypatch.setattr(
        "deepnets4eo.plugins.entry_points",
        lambda group: [
            SimpleNamespace(name=name, load=lambda loaded=loaded: loaded)
            for name, loaded in added.get(group, {}).items()
        ],
    )


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(tmp_path_factory.mktemp("cube"))


def make_recipe(*overrides: str, network: str = "small-patches", files: Path | None = None) -> HyperspectralRecipe:
    values = {
        "task": "hyperspectral",
        "data": {"layers": {"image": "image.tif", "labels": "labels.tif"}, "block_px": 16, "tile_px": 32},
        "legend": LEGEND,
        "model": {"network": network},
        "train": {"epochs": 6, "batch_size": 32, "optimizer": "adam", "lr": 0.02, "schedule": "constant"},
    }
    return resolve(values, overrides, kind=HyperspectralRecipe)


def test_a_patch_network_is_trained_scored_on_test_pixels_loaded_and_predicts(cube: Path, tmp_path: Path) -> None:
    run = deepnets4eo.train(make_recipe(), tmp_path / "run", data=cube)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["overall_accuracy"] > 0.9
    assert {"average_accuracy", "kappa", "f1"} <= metrics.keys()
    protocol = metrics["protocol"]
    tested = sum(count["test"] for count in protocol["pixels"].values())
    assert metrics["pixels"] == tested == protocol["leakage"]["test_pixels"]
    assert protocol["leakage"]["share_patch_shows_training_pixel"] == 0
    assert not protocol["leaky"]
    assert json.loads((run / "card.json").read_text())["notes"]["leakage"] == protocol["leakage"]

    loaded = deepnets4eo.load_run(run)
    assert loaded.segmenter.halo_px == 1
    labels = predict(run, Scene.open(image=cube / "image.tif"), tmp_path / "map.tif").labels if False else None
    result = predict(run, tmp_path / "map.tif", image=cube / "image.tif") if labels is None else labels
    assert result
    image, reference = make_cube()
    assert Layer.open(tmp_path / "map.tif").shape == reference.shape


def test_an_interrupted_training_ends_in_the_same_weights(
    cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(
        "train.schedule=plateau", "train.plateau_epochs=0", "train.radiation_noise=0.3", "train.mixture=0.3"
    )
    whole_run = deepnets4eo.train(recipe, tmp_path / "run", data=cube)
    set_epoch = PatchLoader.set_epoch

    def interrupt(loader: PatchLoader, epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt
        set_epoch(loader, epoch)

    monkeypatch.setattr(PatchLoader, "set_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        deepnets4eo.train(recipe, tmp_path / "cut", data=cube)
    monkeypatch.setattr(PatchLoader, "set_epoch", set_epoch)
    resumed = deepnets4eo.train(recipe, tmp_path / "cut", data=cube, options=TrainOptions(resume=True))
    weights, again = (load_file(folder / "weights.safetensors") for folder in (whole_run, resumed))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
