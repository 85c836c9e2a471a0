"""A task as a branch adds one: heights above ground from images. The docstring of `training.fit` explains the steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from deepnets4eo.cards.legend import Legend, LegendClass
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.training.data import SceneSamples, ValidationLoader
from deepnets4eo.training.fit import build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.recipe import Recipe, TrainSection
from deepnets4eo.training.scenes import open_layers
from deepnets4eo.training.splits import make_split
from deepnets4eo.training.statistics import measure_inputs
from deepnets4eo.training.tasks import Task, TrainOptions

LEGEND = Legend("height", (LegendClass(0, "metres above ground", (255, 255, 255)),))


class HeightTrain(TrainSection):
    monitor: Literal["r2"] = "r2"  # type: ignore[assignment]


class HeightRecipe(Recipe):
    train: HeightTrain = HeightTrain()


class HeightSamples(SceneSamples):
    target_layers = ("height",)

    def target(self, layers: Mapping[str, np.ndarray], labelled: np.ndarray) -> dict[str, np.ndarray]:
        return {"target": np.where(labelled, layers["height"][0], np.float32(np.nan))}


def mean_error(network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    error = network(batch["image"])[:, 0] - batch["target"]
    return error.nan_to_num().abs().sum() / (~error.isnan()).sum().clamp_min(1)


def score(segmenter: NetworkSegmenter, batches: ValidationLoader) -> dict[str, float]:
    pairs = [(segmenter.predict_raw(batch["image"])[:, 0], batch["target"]) for batch in batches]
    predicted, target = (np.concatenate([array.ravel() for array in arrays]) for arrays in zip(*pairs, strict=True))
    known = ~np.isnan(target)
    squared = float(np.square(predicted[known] - target[known]).mean())
    return {"r2": 1 - squared / float(target[known].var()), "rmse_m": squared**0.5}


def train_height(recipe: HeightRecipe, out: Path, options: TrainOptions, kind: type = HeightSamples) -> Path:
    split = make_split(open_layers(recipe.data, ["image", "height"]), recipe.data)
    samples = kind(split, measure_inputs(split, ["image"]), recipe)
    batches = ValidationLoader(samples, recipe.data.tile_px, 0, recipe.train.usual_batch_size)
    segmenter = build_segmenter(recipe, {"name": recipe.model.network}, samples.inputs, LEGEND)
    notes = fit_segmenter(segmenter, samples, mean_error, lambda one: score(one, batches), recipe, out, options)
    return write_run(segmenter, recipe, out, split=split, scores=score(segmenter, batches), notes=notes)


TASK = Task(train_height, HeightRecipe)
