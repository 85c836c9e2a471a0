"""The task `points-features`: classified clouds and a recipe in, a run folder out.

Memory: a tile of points with its halo, its features and the samples."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.baselines import EstimatorOptions, build_estimator
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.cloud_data import CloudData, LabelledCloud, PointPart, find_clouds, point_parts, split_clouds
from deepnets4eo.points.features.labeller import FeatureLabeller, PointSamples, save_feature_labeller
from deepnets4eo.points.features.measured import describe_values, own_values
from deepnets4eo.points.features.options import FeatureOptions
from deepnets4eo.tiling import BlockSplit
from deepnets4eo.training import DataSplit, ModelSection, Recipe, Task, TrainOptions, load_legend, write_results

KEPT_POINTS = 5_000  # points of a tile that is learnt from

CELL_M = 1.0  # side of the cells of the split


class FeatureClouds(CloudData):
    """The clouds, and their points for training and for validation, in cells of 1 m."""

    most_points: int = Field(
        default=2_000_000, ge=1000, description="clouds of more points are cut in tiles of so many, halos aside"
    )
    block_m: float = Field(default=16, ge=2, description="side of a block of the split")
    buffer_m: float = Field(default=4, ge=0, description="points nearer to a validation block are not learnt from")


class PointModel(ModelSection):
    """Inputs of the training, and treatment of the probabilities."""

    max_samples: int = Field(
        default=20_000, ge=10, description="points that are learnt from, equally many of each class"
    )
    priors: Literal["equal", "observed"] = Field(
        default="equal",
        description="probabilities for equal shares of the classes, or for those in the training clouds",
    )
    smooth_m: float = Field(
        default=0.0, ge=0, description="radius in which probabilities are averaged; 0: they are not"
    )


class FeatureRecipe(Recipe):
    """All that decides a training on features of points; of `train` only the seed is used, of `predict` nothing.

    >>> FeatureRecipe(legend="ign_lidar_hd").features.radii_m
    (1.0, 2.0, 4.0)
    """

    task: str = "points-features"
    data: FeatureClouds = FeatureClouds()  # type: ignore[assignment]
    model: PointModel = PointModel()
    features: FeatureOptions = FeatureOptions()
    estimator: EstimatorOptions = EstimatorOptions(
        leaf_samples=5, split_features=25, scaling="none", class_weight="none", trees=100
    )


def train_on_features(recipe: FeatureRecipe, out: Path, options: TrainOptions) -> Path:
    """Train on features of points and write the run. Raises InputError for no cloud, an unknown code, a missing
    measurement, or fewer than two classes."""
    started = time.perf_counter()
    legend = load_legend(recipe)
    clouds = find_clouds(recipe.data, CELL_M)
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
    """Draw samples of the training part, equally many of each class."""
    samples = PointSamples(labeller.legend.num_classes, recipe.model.max_samples, recipe.train.seed)
    values: dict[str, list[NDArray[np.float32]]] = {}
    for number, named in enumerate(split.scenes):
        for part in parts_of_cloud(split, number, labeller.legend, recipe.data, labeller.halo_m):
            rows = np.flatnonzero(part.learnt)
            if len(rows):
                samples.add(labeller.vectors(part.cloud)[rows], part.classes[rows], part.blocks[rows])
                kept = part.cloud.subset(rows[:: max(1, len(rows) // KEPT_POINTS)])
                values.setdefault(named.name, []).append(own_values(kept, recipe.features))
    labeller.measured = describe_values(values, recipe.features)
    return samples


def _validate(labeller: FeatureLabeller, split: DataSplit[LabelledCloud], recipe: FeatureRecipe) -> ConfusionMatrix:
    """Return the confusion matrix of the validation part."""
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


@dataclass(frozen=True)
class CloudPart:
    """The points of a tile, then the points around it; the other arrays are only of the points of the tile.

    classes : (n,) class indices, void 255
    learnt, validated : (n,) whether each point is used for training, and for validation
    blocks : (n,) number of their block of ground
    """

    cloud: PointCloud
    classes: NDArray[np.uint8]
    learnt: Mask
    validated: Mask
    blocks: Indices


def parts_of_cloud(
    split: DataSplit[LabelledCloud], number: int, legend: Legend, data: CloudData, halo_m: float
) -> Iterator[CloudPart]:
    """Yield the labelled points of cloud `number` with those within `halo_m` around them, tile by tile. Raises InputError
    where the file has no classification, or codes that the legend lacks."""
    named, of_cloud = split.scenes[number], split.splits[number]
    assert isinstance(of_cloud, BlockSplit)
    across = -(-of_cloud.shape[1] // of_cloud.block_px)
    for cloud, own_count in named.pieces(legend, data, halo_m):
        assert cloud.classification is not None
        xy = cloud.xyz[:own_count, :2]
        part, block = point_parts(split, number, xy), named.cells(xy) // of_cloud.block_px
        yield CloudPart(
            cloud, cloud.classification[:own_count], part == PointPart.learnt, part == PointPart.withheld,
            (number << 32) + block[:, 0] * across + block[:, 1],
        )  # fmt: skip


TASK = Task(train_on_features, FeatureRecipe)
