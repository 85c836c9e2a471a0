"""The recipe of the task `baseline`: which method, over which features, with which estimator and post-processing.

Takes the sections of any recipe, and sections of its own; raises InputError for unknown keys, with the nearest.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from deepnets4eo.baselines.estimators import EstimatorOptions
from deepnets4eo.baselines.features.deep_options import DeepOptions
from deepnets4eo.baselines.features.profile_options import ProfileOptions
from deepnets4eo.training.recipe import ModelSection, Recipe


class BaselineSection(ModelSection):
    """The method, and its inputs; besides `network` and its options, those of any recipe's section `model`.

    Parameters
    ----------
    method
        pixels, superpixels, rules, parts, or network: trained as in the task segmentation, then `post`.
    network, encoder, encoder_weights, options, layers
        The same as in any recipe.
    bands
        Layer → what its bands show, for files without names.
    features
        Names of features.
    stride_px
        pixels: one site in the middle of so many pixels squared is classified.
    max_samples
        Pixels or superpixels that are learnt from, at most.
    max_share
        pixels at random: of the labelled ones, at most; 2,000 may always be learnt from.
    sampling
        pixels: balanced, or random.
    priors
        Probabilities for observed or equal shares of the classes.
    rules
        rules: a YAML file, or the table itself.
    target
        parts: the class that is detected.
    """

    method: Literal["pixels", "superpixels", "rules", "parts", "network"] = Field(
        default="pixels", description="network: model.network, trained as in the task segmentation, then `post`"
    )
    bands: dict[str, tuple[str, ...]] = Field(
        default={}, description="layer -> what its bands show, e.g. {image: [nir, red, green]}, for files without names"
    )
    features: tuple[str, ...] = Field(default=("pixels",), description="names, see the README's table of features")
    stride_px: int = Field(default=1, ge=1, description="pixels: classify a site in the middle of so many squared")
    max_samples: int = Field(default=100_000, ge=10, description="pixels or superpixels that are learned from")
    max_share: float = Field(
        default=1.0, gt=0, le=1, description="pixels at random: of the labelled ones; 2,000 may always be learned from"
    )
    sampling: Literal["balanced", "random"] = Field(
        default="balanced", description="pixels: equally many of each class, or at random, each class with its share"
    )
    priors: Literal["observed", "equal"] = Field(
        default="observed",
        description="probabilities for the classes' shares in the training labels, or for equal ones",
    )
    rules: str | dict[str, Any] = Field(
        default="rules-ndsm.yaml", description="rules: a YAML file, rules.yaml (Zeebruges), or the table itself"
    )
    target: str = Field(default="car", description="parts: the class that is detected")


class DeepSection(DeepOptions):
    """Features of a frozen encoder, beside or instead of `model.features`; none without `encoder`."""

    weights: str | None = Field(default=None, description="a safetensors file, or imagenet: downloaded; none: random")
    patch_px: int | None = Field(default=None, ge=16, description="averaged over a patch around each site")
    input_px: int | None = Field(default=None, ge=16, description="patch: resized to this side first")
    reduction: int | None = Field(default=None, ge=2, description="level of the encoder by pixels a cell; none: 16")


class BaselineRecipe(Recipe):
    """All options of the training of a baseline; branches add methods by subclassing.

    Parameters
    ----------
    task, data, legend, train, predict
        The same as in any recipe.
    model
        The method, and its inputs.
    estimator
        The classifier of pixels and superpixels.
    deep
        Features of a frozen encoder.
    profile
        The feature extended_profile.
    superpixels
        Method of the superpixels, and its parameters.
    parts
        Parameters of the part detector.
    post
        Steps after the classification, in order.

    Examples
    --------
    >>> BaselineRecipe(legend="isprs").estimator.name
    'random_forest'
    """

    task: str = "baseline"
    model: BaselineSection = BaselineSection()
    estimator: EstimatorOptions = EstimatorOptions()
    deep: DeepSection = DeepSection()
    profile: ProfileOptions = ProfileOptions()
    superpixels: dict[str, Any] = Field(default={}, description="superpixels: method and its parameters")
    parts: dict[str, Any] = Field(default={}, description="parts: parameters of the detector")
    post: tuple[dict[str, dict[str, Any]], ...] = Field(
        default=(), description="steps after classification, in order, e.g. [{majority: {radius_px: 3}}]"
    )
