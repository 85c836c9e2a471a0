"""The recipe of the task `points-features`: clouds, features of their points, and a classifier.

Takes the sections of any recipe, and sections of its own; raises InputError for unknown keys, with the nearest.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepnets4eo.baselines import EstimatorOptions
from deepnets4eo.points.cloud_data import CloudData
from deepnets4eo.points.features.options import FeatureOptions
from deepnets4eo.training.recipe import ModelSection, Recipe


class FeatureClouds(CloudData):
    """Which clouds, and which of their points are learnt from and which validated on, in cells of 1 m."""

    most_points: int = Field(
        default=2_000_000, ge=1000, description="clouds of more points are cut in tiles of so many, halos aside"
    )
    block_m: float = Field(default=16, ge=2, description="side of a block of the split")
    buffer_m: float = Field(default=4, ge=0, description="points nearer to a validation block are not learnt from")


class PointModel(ModelSection):
    """What is learnt from, and what becomes of the probabilities: at most `max_samples` points, equally many of each
    class; `priors` for equal or observed shares of the classes; `smooth_m`, the radius in which probabilities are
    averaged."""

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
    """All that decides a training on features of points.

    Parameters
    ----------
    task, train, predict
        The same as in any recipe; of train only `seed` is used, of predict nothing.
    legend
        The classes; the values are the codes that are written to clouds.
    data
        Which clouds, and how they are split.
    model
        Samples and priors.
    features
        Scales and measurements.
    estimator
        The classifier.

    Examples
    --------
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
