"""A task is a short file: one number an image, registered as a branch registers its task; `training.regression` is a whole one."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from torch import nn

import deepnets4eo
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.segmenters import NetworkSegmenter
from deepnets4eo.training import (
    Recipe,
    SceneSamples,
    Task,
    TrainOptions,
    TrainSection,
    ValidationLoader,
    build_segmenter,
    fit_segmenter,
    make_split,
    measure_inputs,
    open_layers,
    write_run,
)
from deepnets4eo.training.recipe import resolve

LEGEND = Legend("share", (LegendClass(0, "share of bright pixels", (255, 255, 255)),))


class ShareTrain(TrainSection):
    monitor: str = "minus_error"


class ShareRecipe(Recipe):
    train: ShareTrain = ShareTrain()


class ShareSamples(SceneSamples):
    """One number an image: the share of its pixels that are bright, (1, 1)."""

    target_layers = ("image",)

    def target(self, layers: Mapping[str, np.ndarray], labelled: np.ndarray) -> dict[str, np.ndarray]:
        return {"target": np.full((1, 1), (layers["image"][0] > 100).mean(), np.float32)}


def mean_error(network: nn.Module, batch: Mapping[str, Any]) -> Any:
    return (network(batch["image"])[:, 0] - batch["target"]).abs().mean()


def train_share(recipe: ShareRecipe, out: Path, options: TrainOptions) -> Path:
    split = make_split(open_layers(recipe.data, ["image"]), recipe.data)
    samples = ShareSamples(split, measure_inputs(split, ["image"]), recipe)
    batches = ValidationLoader(samples, recipe.data.tile_px, 0, recipe.train.usual_batch_size)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        apart = [segmenter.predict_raw(batch["image"])[:, 0] - batch["target"] for batch in batches]
        return {"minus_error": -float(np.abs(np.concatenate(apart)).mean())}

    segmenter = build_segmenter(recipe, {"name": recipe.model.network}, samples.inputs, LEGEND)
    notes = fit_segmenter(segmenter, samples, mean_error, score, recipe, out, options)
    return write_run(segmenter, recipe, out, split=split, scores=score(segmenter), notes=notes)


def mean_of_colours(in_channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, 8, 1), nn.ReLU(), nn.Conv2d(8, num_classes, 1), nn.AdaptiveAvgPool2d(1))


def test_one_number_an_image_is_learnt_by_the_same_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: dict[str, dict[str, Any]] = {
        "deepnets4eo.networks": {"mean-of-colours": mean_of_colours},
        "deepnets4eo.training.tasks": {"bright-share": Task(train_share, ShareRecipe)},
    }
    monkeypatch.setattr(
        "deepnets4eo.plugins._installed",
        lambda group: [
            SimpleNamespace(
                name=name, value=f"{name}:loaded", group="deepnets4eo.tasks", load=lambda loaded=loaded: loaded
            )
            for name, loaded in added.get(group, {}).items()
        ],
    )
    rng = np.random.default_rng(0)
    for row, col in itertools.product(range(4), repeat=2):
        image = np.where(rng.random((3, 32, 32)) < (4 * row + col) / 16, 180, 40).astype(np.uint8)
        write_geotiff(tmp_path / "crops" / f"{row}-{col}" / "image.tif", image)
    values = {
        "task": "bright-share",
        "data": {"layers": {"image": "*/image.tif"}, "tile_px": 32, "windows_per_epoch": 24, "num_workers": 0, "split": "scenes"},
        "model": {"network": "mean-of-colours"},
        "train": {"epochs": 8, "batch_size": 4, "lr": 0.03, "photometric": 0.0},
    }  # fmt: skip
    run = deepnets4eo.train(resolve(values, kind=ShareRecipe), tmp_path / "run", data=tmp_path / "crops")
    assert json.loads((run / "metrics.json").read_text())["minus_error"] > -0.1  # the mean has -0.25
    image = np.zeros((2, 3, 64, 64), np.float32)
    assert deepnets4eo.load_run(run).segmenter.predict_raw(image).shape == (2, 1, 1, 1)
