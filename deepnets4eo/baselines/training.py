"""The task `baseline`: takes scenes and a recipe, writes a run folder, for every method except plain networks.

Errors of the methods are raised before long work starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from deepnets4eo.baselines.recipe import BaselineRecipe
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.training.segmentation import Prepared, fit_and_write, train_network
from deepnets4eo.training.splits import TRAIN
from deepnets4eo.training.tasks import Task, TrainOptions


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
        network, training_notes = _network(prepared, out, options)
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
    recipe
        The recipe; its sections `model`, `estimator`, `deep`, `superpixels`, `parts` and `post` are used.
    prepared
        Split scenes and what was measured of their training part, as of `training.segmentation.prepare`.

    Returns
    -------
    The fitted segmenter.

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


def _network(prepared: Prepared, out: Path, options: TrainOptions) -> tuple[Segmenter, dict[str, Any]]:
    if not prepared.recipe.model.network:
        raise InputError("the recipe's method is network, but has no network. Set model.network, e.g. patch-alexnet.")
    return train_network(prepared, out, options)


def _pixels(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.estimators import build_estimator
    from deepnets4eo.baselines.pixel_classifier import PixelClassifier

    classifier = PixelClassifier(
        build_estimator(recipe.estimator, recipe.train.seed),
        prepared.inputs,
        prepared.legend,
        features=_features(recipe),
        bands=recipe.model.bands,
        shares=_shares(recipe, prepared),
        stride_px=recipe.model.stride_px,
    )
    model, seed = recipe.model, recipe.train.seed
    return classifier.fit(
        _scenes(prepared),
        max_pixels=model.max_samples,
        seed=seed,
        balanced=model.sampling == "balanced",
        max_share=model.max_share,
    )


def _superpixels(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.estimators import build_estimator
    from deepnets4eo.baselines.superpixel_classifier import SuperpixelClassifier
    from deepnets4eo.baselines.superpixels import Superpixels

    classifier = SuperpixelClassifier(
        build_estimator(recipe.estimator, recipe.train.seed),
        prepared.inputs,
        prepared.legend,
        features=_features(recipe),
        superpixels=Superpixels.from_dict(recipe.superpixels),
        bands=recipe.model.bands,
        shares=_shares(recipe, prepared),
    )
    return classifier.fit(_scenes(prepared), max_regions=recipe.model.max_samples, seed=recipe.train.seed)


def _rules(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.rule_table import RuleTable
    from deepnets4eo.baselines.rules import ExpertRules

    rules = recipe.model.rules
    table = RuleTable.load(rules) if isinstance(rules, str) else RuleTable.from_dict(rules)
    return ExpertRules(table, prepared.inputs, prepared.legend, bands=recipe.model.bands)


def _parts(recipe: BaselineRecipe, prepared: Prepared) -> Segmenter:
    from deepnets4eo.baselines.parts import PartDetector, PartSettings

    detector = PartDetector(
        prepared.inputs,
        prepared.legend,
        settings=PartSettings.from_dict(recipe.parts),
        class_name=recipe.model.target,
        bands=recipe.model.bands,
    )
    return detector.fit(_scenes(prepared), seed=recipe.train.seed)


METHODS: dict[str, Callable[[BaselineRecipe, Prepared], Segmenter]] = {
    "pixels": _pixels, "superpixels": _superpixels, "rules": _rules, "parts": _parts,
}  # fmt: skip


def _features(recipe: BaselineRecipe) -> list[Any]:
    """Return named features and, where an encoder is named, deep ones."""
    features: list[Any] = list(recipe.model.features)
    if "extended_profile" in features:
        from deepnets4eo.baselines.features.extended_profile import ExtendedProfile

        features[features.index("extended_profile")] = ExtendedProfile(recipe.profile)
    if recipe.deep.encoder:
        from deepnets4eo.baselines.features.deep import DeepFeatures

        features.append(DeepFeatures(**recipe.deep.model_dump(), seed=recipe.train.seed))
    return features


def _shares(recipe: BaselineRecipe, prepared: Prepared) -> list[float] | None:
    """Return the factors of the classes: their shares in the training labels; None where samples have the shares wanted.

    Balanced samples and balanced weights make probabilities of equal shares, random samples without weights those of the
    labels. Angles know no shares: they are adjusted to the labels' where samples are balanced, and never to equal ones.
    """
    from deepnets4eo.baselines.estimators import UNWEIGHTED

    model, estimator, total = recipe.model, recipe.estimator, sum(prepared.pixels)
    at_random = model.sampling == "random" and model.method == "pixels"
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
    return [scene.with_labels_where(split.usable(number, TRAIN)) for number, scene in enumerate(split.scenes)]


TASK = Task(train_baseline, BaselineRecipe)
