"""The task `points-features`: classified clouds and a recipe in, a run folder out.

Points of validation blocks are never learnt from, nor are points within the buffer around them. Memory: a tile of points with its
halo, its features and the samples.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.baselines import build_estimator
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points.cloud_data import LabelledCloud, split_clouds
from deepnets4eo.points.features.clouds import find_clouds, parts_of_cloud
from deepnets4eo.points.features.labeller import FeatureLabeller
from deepnets4eo.points.features.recipe import FeatureRecipe
from deepnets4eo.points.features.run import save_feature_labeller
from deepnets4eo.points.features.samples import PointSamples
from deepnets4eo.training.fit import write_results
from deepnets4eo.training.segmentation import load_legend
from deepnets4eo.training.splits import DataSplit
from deepnets4eo.training.tasks import Task, TrainOptions


def train_on_features(recipe: FeatureRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a classifier on features of points and write its run. Raises InputError for no cloud, an unknown code, a
    missing measurement, or fewer than two classes."""
    started = time.perf_counter()
    legend = load_legend(recipe)
    clouds = find_clouds(recipe.data)
    split = split_clouds(clouds, recipe.data)
    labeller = FeatureLabeller(
        build_estimator(recipe.estimator, recipe.train.seed), legend, recipe.features, smooth_m=recipe.model.smooth_m
    )
    _check_needs(clouds, labeller)
    samples = _draw_samples(labeller, split, recipe)
    labeller.fit(samples)
    if recipe.model.priors == "observed":
        labeller.shares = (samples.counts / samples.counts.sum()).tolist()
    matrix = _validate(labeller, split, recipe)
    notes = _notes(recipe, legend, split, samples) | {"seconds": round(time.perf_counter() - started, 3)}
    described = split.describe()
    protocol = {
        "name": "validation part of the training clouds" if split.validated else "not validated",
        "leaky": described["leaky"],
        "split": described,
    }
    scores = report.scores(matrix, legend.names) | {"legend": legend.name, "protocol": protocol}
    write_results(out, split=split, scores=scores, notes=notes)
    return save_feature_labeller(labeller, out, recipe, notes)


def _check_needs(clouds: list[LabelledCloud], labeller: FeatureLabeller) -> None:
    for named in clouds:
        lacking = [name for name in (*labeller.needs, "classification") if name not in named.file.measurements]
        if lacking:
            raise InputError(
                f"{named.file.path} has no {', '.join(lacking)}. Leave it out of data.clouds, or what it lacks out of "
                "features.measured."
            )


def _draw_samples(labeller: FeatureLabeller, split: DataSplit[LabelledCloud], recipe: FeatureRecipe) -> PointSamples:
    """Samples of the training part, equally many of each class."""
    samples = PointSamples(labeller.legend.num_classes, recipe.model.max_samples, recipe.train.seed)
    for number in range(len(split.scenes)):
        for part in parts_of_cloud(split, number, labeller.legend, recipe.data, labeller.halo_m):
            rows = np.flatnonzero(part.learnt)
            if len(rows):
                samples.add(labeller.vectors(part.cloud)[rows], part.classes[rows], part.blocks[rows])
    return samples


def _validate(labeller: FeatureLabeller, split: DataSplit[LabelledCloud], recipe: FeatureRecipe) -> ConfusionMatrix:
    """The confusion matrix of the validation part."""
    matrix = ConfusionMatrix(labeller.legend.num_classes)
    for number in range(len(split.scenes) if split.validated else 0):
        for part in parts_of_cloud(split, number, labeller.legend, recipe.data, labeller.halo_m):
            rows = np.flatnonzero(part.validated)
            if len(rows):
                predicted = labeller.scores(part.cloud)[rows].argmax(axis=1)
                matrix.update(part.classes[rows], predicted)
    return matrix


def _notes(
    recipe: FeatureRecipe, legend: Legend, split: DataSplit[LabelledCloud], samples: PointSamples
) -> dict[str, Any]:
    return {
        "clouds": {named.name: str(named.file.path) for named in split.scenes},
        "split": split.describe(),
        "leaky": split.leaky,
        "classifier": recipe.estimator.name,
        "training_points": dict(zip(legend.names, samples.counts.tolist(), strict=True)),
    }


TASK = Task(train_on_features, FeatureRecipe)
