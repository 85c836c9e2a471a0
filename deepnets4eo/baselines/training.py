"""The task `baseline`: its recipe, and the training of every method with it into a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from deepnets4eo.baselines.estimators import EstimatorOptions, build_estimator
from deepnets4eo.baselines.features.deep import DeepOptions
from deepnets4eo.baselines.features.profiles import ProfileOptions
from deepnets4eo.cards import SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import Segmenter
from deepnets4eo.training import ModelSection, Prepared, Recipe, Task, TrainOptions, fit_and_write

UNWEIGHTED = ("knn", "sam")  # have no class_weight


class BaselineSection(ModelSection):
    """The method and its inputs, in addition to `network` and the other options of any recipe's section `model`.

    Parameters
    ----------
    network, encoder, encoder_weights, options, layers : identical to the options of any recipe
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
        default="balanced", description="equally many of each class, or at random, each class with its share"
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
    """Features of a frozen encoder, in addition to or instead of `model.features`; none without `encoder`."""

    weights: str | None = Field(default=None, description="a safetensors file, or imagenet: downloaded; none: random")
    patch_px: int | None = Field(default=None, ge=16, description="averaged over a patch around each site")
    input_px: int | None = Field(default=None, ge=16, description="patch: resized to this side first")
    reduction: int | None = Field(default=None, ge=2, description="level of the encoder by pixels a cell; none: 16")


class BaselineRecipe(Recipe):
    """All options of the training of a baseline; branches add methods by subclassing.

    Parameters
    ----------
    task, data, legend, train, predict : identical to the sections of any recipe
    model : the method and its inputs
    estimator : the classifier of pixels and superpixels
    deep, profile : options of the features of a frozen encoder, and of the feature extended_profile

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


def train_baseline(recipe: BaselineRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a baseline on labelled scenes; returns the run folder."""
    if recipe.model.method in ("network", "parts") or recipe.deep.encoder:
        check_extra("deep")
    return fit_and_write(recipe, out, options, partial(_fit, recipe))


def _fit(
    recipe: BaselineRecipe, prepared: Prepared, out: Path, options: TrainOptions
) -> tuple[Segmenter, dict[str, Any]]:
    """Return the method's segmenter, and notes for the card."""
    started = time.perf_counter()
    notes: dict[str, Any] = {"method": recipe.model.method}
    if recipe.model.method == "network":
        if not recipe.model.network:
            raise InputError(
                "the recipe's method is network, but has no network. Set model.network, e.g. patch-alexnet."
            )
        network, training_notes = prepared.train(out, options)
        segmenter = _with_post(network, recipe)
        notes |= training_notes
    else:
        segmenter = fit_baseline(recipe, prepared)
        notes["seconds"] = round(time.perf_counter() - started, 3)
    return segmenter, notes


def fit_baseline(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    """Fit the method of a recipe that needs no network, with its post-processing.

    Parameters
    ----------
    recipe : the recipe
    prepared : split scenes and what was measured of their training part, from `training.segmentation.prepare`

    Returns
    -------
    Segmenter

    Raises
    ------
    InputError
        For options or labels that the method cannot use.
    """
    return _with_post(METHODS[recipe.model.method](recipe, prepared), recipe)


def _with_post(segmenter: Segmenter, recipe: BaselineRecipe) -> Segmenter:
    if not recipe.post:
        return segmenter
    from deepnets4eo.baselines.postprocessing import PostProcessed

    return PostProcessed(segmenter, recipe.post, bands=recipe.model.bands)


def _pixels(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.pixel_classifier import PixelClassifier

    model, seed = recipe.model, recipe.train.seed
    classifier = PixelClassifier(
        build_estimator(recipe.estimator, seed), prepared.inputs, prepared.legend, features=_features(recipe),
        bands=model.bands, shares=_shares(recipe, prepared), stride_px=model.stride_px,
    )  # fmt: skip
    return classifier.fit(
        _scenes(prepared), max_pixels=model.max_samples, seed=seed, balanced=model.sampling == "balanced",
        max_share=model.max_share,
    )  # fmt: skip


def _superpixels(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.superpixel_classifier import SuperpixelClassifier
    from deepnets4eo.baselines.superpixels import Superpixels

    model, seed = recipe.model, recipe.train.seed
    classifier = SuperpixelClassifier(
        build_estimator(recipe.estimator, seed), prepared.inputs, prepared.legend, features=_features(recipe),
        superpixels=Superpixels.from_dict(recipe.superpixels), bands=model.bands, shares=_shares(recipe, prepared),
    )  # fmt: skip
    return classifier.fit(
        _scenes(prepared), max_regions=model.max_samples, seed=seed, balanced=model.sampling == "balanced"
    )


def _rules(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.rules import ExpertRules, RuleTable

    rules = recipe.model.rules
    table = RuleTable.load(rules) if isinstance(rules, str) else RuleTable.from_dict(rules)
    return ExpertRules(table, prepared.inputs, prepared.legend, bands=recipe.model.bands)


def _parts(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.parts import PartDetector, PartSettings

    detector = PartDetector(
        prepared.inputs, prepared.legend, settings=PartSettings.from_dict(recipe.parts), class_name=recipe.model.target,
        bands=recipe.model.bands,
    )  # fmt: skip
    return detector.fit(_scenes(prepared), seed=recipe.train.seed)


METHODS: dict[str, Callable[[BaselineRecipe, Prepared], Segmenter]] = {
    "pixels": _pixels, "superpixels": _superpixels, "rules": _rules, "parts": _parts,
}  # fmt: skip


def _features(recipe: BaselineRecipe) -> list[Any]:
    """Return named features and, where an encoder is named, deep ones."""
    features: list[Any] = list(recipe.model.features)
    if "extended_profile" in features:
        from deepnets4eo.baselines.features.profiles import ExtendedProfile

        features[features.index("extended_profile")] = ExtendedProfile(recipe.profile)
    if recipe.deep.encoder:
        from deepnets4eo.baselines.features.deep import DeepFeatures

        features.append(DeepFeatures(**recipe.deep.model_dump(), seed=recipe.train.seed))
    return features


def _shares(recipe: BaselineRecipe, prepared: Prepared) -> list[float] | None:
    """Return the shares of the classes in the training labels, or None if samples already have the requested shares.

    Balanced samples and weights make probabilities of equal shares. Random samples without weights make probabilities of
    the labels' shares.

    Spectral angles have no shares: they are adjusted to the shares of the labels if samples are balanced, and never to
    equal shares.
    """

    model, estimator, total = recipe.model, recipe.estimator, sum(prepared.pixels)
    at_random = model.sampling == "random"
    weighted = estimator.class_weight == "balanced" and estimator.name not in UNWEIGHTED
    if not total or (model.priors == "observed") != (not at_random or weighted):
        return None
    if estimator.name == "sam" and model.priors == "equal":
        return None
    shares = [count / total for count in prepared.pixels]
    return shares if model.priors == "observed" else [1 / share if share else 0.0 for share in shares]


def _scenes(prepared: Prepared) -> list[Scene]:
    """Return the scenes with labels in the training split only."""
    split = prepared.split
    return [scene.with_labels_where(split.usable(number, SplitPart.train)) for number, scene in enumerate(split.scenes)]


TASK = Task(train_baseline, BaselineRecipe)
