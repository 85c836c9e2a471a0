"""A task is a short file: heights from images, and one number an image, registered as a branch registers its task."""

import itertools
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from example_height_task import TASK, HeightRecipe, HeightSamples, mean_error, train_height
from geotiff import write_geotiff
from safetensors.torch import load_file
from torch import nn

import deepnets4eo
from deepnets4eo.grid import Window
from deepnets4eo.plugins import NETWORKS, TASKS
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.synthetic import City
from deepnets4eo.training.data import TrainLoader
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.scenes import open_layers
from deepnets4eo.training.splits import VAL, SampleWindow, make_split
from deepnets4eo.training.statistics import measure_inputs
from deepnets4eo.training.tasks import Task, TrainOptions

SIDE_PX = 192


class TallShareSamples(HeightSamples):
    """One number an image: the share of its pixels that are higher than two metres, (1, 1)."""

    def target(self, layers: Mapping[str, np.ndarray], labelled: np.ndarray) -> dict[str, np.ndarray]:
        return {"target": np.full((1, 1), (layers["height"][0] > 2).mean(), np.float32)}


def colours(in_channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 5, padding=2), nn.ReLU(),
        nn.Conv2d(16, num_classes, 1),
    )  # fmt: skip


def mean_of_colours(in_channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(colours(in_channels, num_classes), nn.AdaptiveAvgPool2d(1))


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two miniature cities: image, and heights above ground with an unknown corner."""
    folder = tmp_path_factory.mktemp("cities")
    for seed in (1, 2):
        city = City(seed, SIDE_PX)
        height = (city.pre.dsm - city.dtm).astype("float32")
        height[:20, :20] = np.nan
        write_geotiff(folder / f"{seed}" / "image.tif", city.pre.image[:3])
        write_geotiff(folder / f"{seed}" / "height.tif", height)
    return folder


@pytest.fixture(scope="module")
def crops(cities: Path) -> Path:
    """Images of 32 pixels cut out of the cities."""
    for seed, name in itertools.product((1, 2), ("image", "height")):
        values, _ = Layer.open(cities / f"{seed}" / f"{name}.tif").read()
        for row, col in itertools.product(range(0, SIDE_PX, 32), repeat=2):
            crop = values[:, row : row + 32, col : col + 32]
            write_geotiff(cities.with_name("crops") / f"{seed}-{row}-{col}" / f"{name}.tif", np.nan_to_num(crop))
    return cities.with_name("crops")


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lines in a branch's setup.cfg would add."""
    added: dict[str, dict[str, Any]] = {
        NETWORKS: {"colours": colours, "mean-of-colours": mean_of_colours},
        TASKS: {
            "height": TASK,
            "tall-share": Task(partial(train_height, kind=TallShareSamples), HeightRecipe),
        },
    }
    monkeypatch.setattr(
        "deepnets4eo.plugins._installed",
        lambda group: [
            SimpleNamespace(name=name, load=lambda loaded=loaded: loaded)
            for name, loaded in added.get(group, {}).items()
        ],
    )


def make_recipe(task: str, network: str, *overrides: str) -> HeightRecipe:
    values = {
        "task": task,
        "data": {
            "layers": {"image": "*/image.tif", "height": "*/height.tif"},
            "tile_px": 64, "windows_per_epoch": 24, "num_workers": 0, "block_px": 64,
        },
        "model": {"network": network},
        "train": {"epochs": 4, "batch_size": 4, "lr": 0.01, "photometric": 0.0},
    }  # fmt: skip
    return resolve(values, overrides, kind=HeightRecipe)


def test_heights_are_learnt_resumed_and_kept_as_a_run(
    cities: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe("height", "colours")
    run = deepnets4eo.train(recipe, tmp_path / "run", data=cities)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["r2"] > 0.05  # the mean predictor has 0
    names = {path.name for path in run.iterdir()}
    assert names == {
        "card.json", "checkpoints", "curves.png", "legend.yaml", "log.csv", "metrics.json", "recipe.yaml",
        "split", "split.geojson", "weights.safetensors",
    }  # fmt: skip
    loaded = deepnets4eo.load_run(run)
    assert loaded.card["notes"]["task"] == "height"
    assert loaded.segmenter.predict_raw(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 1, 32, 32)

    set_epoch = TrainLoader.set_epoch

    def interrupt(loader: TrainLoader, epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        set_epoch(loader, epoch)

    monkeypatch.setattr(TrainLoader, "set_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        deepnets4eo.train(recipe, tmp_path / "cut", data=cities)
    monkeypatch.setattr(TrainLoader, "set_epoch", set_epoch)
    resumed = deepnets4eo.train(recipe, tmp_path / "cut", data=cities, options=TrainOptions(resume=True))
    weights, again = (load_file(folder / "weights.safetensors") for folder in (run, resumed))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_one_number_an_image_is_learnt_by_the_same_trainer(crops: Path, tmp_path: Path) -> None:
    recipe = make_recipe("tall-share", "mean-of-colours", "train.epochs=8", "data.split=scenes", "data.tile_px=32")
    run = deepnets4eo.train(recipe, tmp_path / "run", data=crops)
    assert json.loads((run / "metrics.json").read_text())["r2"] > 0.05
    image = np.zeros((2, 3, 64, 64), np.float32)
    assert deepnets4eo.load_run(run).segmenter.predict_raw(image).shape == (2, 1, 1, 1)


def test_a_void_target_counts_nowhere(cities: Path) -> None:
    """Heights without a value, and those of validation blocks, are NaN in what is learnt from."""
    recipe = make_recipe("height", "colours", f"data.folders=[{cities}]")
    split = make_split(open_layers(recipe.data, ["image", "height"]), recipe.data)
    samples = HeightSamples(split, measure_inputs(split, ["image"]), recipe)
    whole = SampleWindow(0, Window(0, 0, SIDE_PX, SIDE_PX))
    sample = samples.read(whole)
    known = ~np.isnan(sample["target"])
    assert not known[split.mask(0, VAL, whole.window)].any()
    assert not known[:20, :20].any()
    assert known.any()
    loss = mean_error(nn.Conv2d(3, 1, 1), {name: torch.from_numpy(layer)[None] for name, layer in sample.items()})
    assert torch.isfinite(loss)
