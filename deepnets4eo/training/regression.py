"""The task `regression`: trains a network that estimates a raster of values, such as heights, from images.

Takes scenes with a target layer. Without a legend the network estimates only the quantity; with a legend, it also predicts
the classes in the same pass.

Errors in a target are refused by `training.target`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.func import functional_call

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.evaluation.options import default_levels
from deepnets4eo.evaluation.values import GroupedScores
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import SCORES, ConfusionMatrix
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.segmenters.units import InUnits
from deepnets4eo.tiling import best_class
from deepnets4eo.training.data import ClassSamples, Sample, SceneSamples, ValidationLoader
from deepnets4eo.training.fit import build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.losses import SumOfLosses, class_weights
from deepnets4eo.training.recipe import LossName, Recipe, TrainSection
from deepnets4eo.training.scenes import open_layers
from deepnets4eo.training.segmentation import open_labelled, protocol_name
from deepnets4eo.training.splits import DataSplit, make_split, windows_by_area
from deepnets4eo.training.statistics import class_cells, measure_inputs
from deepnets4eo.training.target import TargetScale, TargetSection, measure_target, place_target
from deepnets4eo.training.tasks import Task, TrainOptions
from deepnets4eo.training.value_losses import SumOfValueLosses, ValueLossName

Batch = Mapping[str, Tensor]

VALUES = "values"  # of a sample: (h, w) float32, NaN where void


class RegressionTrain(TrainSection):
    """Optimisation; `losses` are of the values, `class_losses` of the classes predicted with them."""

    losses: dict[ValueLossName, float] = Field(  # type: ignore[assignment]
        default={"l1": 1.0}, min_length=1, description="loss of the values -> weight"
    )
    class_losses: dict[LossName, float] = Field(
        default={"cross_entropy": 1.0}, description="with a legend: loss -> weight"
    )
    adversarial: float = Field(
        default=0.0,
        ge=0,
        description="weight of an LS-GAN loss, whose discriminator is trained beside; published: 1 beside l1: 100",
    )
    monitor: str = Field(
        default="r2",
        pattern=r"^(r2|delta1|r2_and_f1|mean_iou|mean_f1|overall_accuracy|kappa)$",
        description="score that decides which epoch is best: r2 or delta1 of the values, mean_f1 … of the classes, or r2_and_f1, "
        "the mean of both",
    )


class RegressionRecipe(Recipe):
    """All that decides the training of a regression: the sections of every recipe, and its target."""

    target: TargetSection = TargetSection()
    train: RegressionTrain = RegressionTrain()

    @model_validator(mode="after")
    def _fitting_losses(self) -> RegressionRecipe:
        if self.target.deviation != ("gaussian" in self.train.losses):
            raise ValueError(
                f"has train.losses={self.train.losses} with target.deviation={self.target.deviation}; the loss gaussian learns the "
                "deviation, and nothing else does. Set both or none"
            )
        return self


def _values_of(recipe: RegressionRecipe) -> Callable[[Mapping[str, NDArray[Any]], Mask], FloatImage]:
    """Return the function that computes the values (h, w) from the layers that were read."""
    return partial(recipe.target.known_values, recipe.target.resolve_quantity())


class ValueSamples(SceneSamples):
    """Windows of scenes with their values: (h, w) float32, NaN for void pixels."""

    def __init__(self, split: DataSplit[Any], inputs: InputSpec, recipe: RegressionRecipe) -> None:
        super().__init__(split, inputs, recipe)
        self.target_layers, self._values = recipe.target.layers, _values_of(recipe)

    def target(self, layers: Mapping[str, NDArray[Any]], labelled: Mask) -> Sample:
        """Return the values."""
        return {VALUES: self._values(layers, labelled & layers["valid"])}


class ValueAndClassSamples(ClassSamples):
    """Windows of labelled scenes with their values and the mask; pixels may be void in only one of the two."""

    def __init__(self, split: DataSplit[Any], inputs: InputSpec, recipe: RegressionRecipe) -> None:
        super().__init__(split, inputs, recipe, class_cells(split))
        self.target_layers = (*ClassSamples.target_layers, *recipe.target.layers)
        self._values = _values_of(recipe)

    def target(self, layers: Mapping[str, NDArray[Any]], labelled: Mask) -> Sample:
        """Return the mask and the values."""
        return super().target(layers, labelled) | {VALUES: self._values(layers, labelled & layers["valid"])}


class RegressionCriterion:
    """The loss of values, and with a legend of classes, of a batch. pixels : (K,) training pixels of each class."""

    def __init__(self, train: RegressionTrain, legend: Legend, layers: Sequence[str], pixels: Sequence[int]) -> None:
        self.layers, self.num_classes = list(layers), legend.num_classes
        self.of_values, self.adversarial = SumOfValueLosses(train.losses), train.adversarial
        self.of_classes = (
            SumOfLosses(train.class_losses, class_weights(train, legend, pixels)) if self.num_classes else None
        )

    def step(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of one batch, () float32."""
        image = torch.cat([batch[name] for name in self.layers], dim=1)
        output = network(image)
        network = getattr(network, "_orig_mod", network)  # of one that is compiled
        loss = self.of_values(output[:, self.num_classes :], batch[VALUES])
        if self.adversarial:
            assert isinstance(network, InUnits)
            loss = loss + self.adversarial * adversarial_loss(
                network, image, output[:, self.num_classes], batch[VALUES]
            )
        if self.of_classes is None:
            return loss
        self.of_classes.to(output.device)
        return loss + self.of_classes(output[:, : self.num_classes], batch["mask"].long(), batch["valid"])


def adversarial_loss(network: InUnits, image: Tensor, estimate: Tensor, values: Tensor) -> Tensor:
    """Return ½ (D(estimate) − 1)² of the network and ½ (D(values) − 1)² + ½ D(estimate)² of its discriminator, for one optimiser.

    Mao et al., Least Squares GAN (ICCV 2017); Carvalho et al., ICIP 2018. Where values (N, H, W) are NaN, both are the estimate.
    """
    assert network.discriminator is not None
    known = values.isfinite()
    truth = torch.where(known, values.nan_to_num(), estimate.detach())
    real, made = (
        torch.cat([image, ((target - network.offset) / network.scale)[:, None]], dim=1) for target in (truth, estimate)
    )
    own = (network.discriminator(real) - 1).square().mean() / 2 + network.discriminator(
        made.detach()
    ).square().mean() / 2
    as_it_is = {name: weight.detach() for name, weight in network.discriminator.named_parameters()}
    passed = functional_call(network.discriminator, as_it_is, (made,))
    return own + (passed - 1).square().mean() / 2


@dataclass(frozen=True)
class _RegressionData:
    """Data and settings of a regression training."""

    recipe: RegressionRecipe
    legend: Legend
    split: DataSplit[Any]
    samples: ValueSamples | ValueAndClassSamples
    scale: TargetScale

    @property
    def pixels(self) -> list[int]:
        """Training pixels of each class."""
        cells = self.samples.cells if isinstance(self.samples, ValueAndClassSamples) else []
        return [int(count) for count in np.sum([scene.counts for scene in cells], axis=0)] if cells else []

    def validation(self, most: int | None = None) -> ValidationLoader:
        """Tiles that show each validation pixel once; `most` of them, or all."""
        data, halo_px = self.recipe.data, min(self.recipe.predict.halo_px, self.recipe.data.tile_px // 8)
        batch_size, workers = self.recipe.train.usual_batch_size, data.num_workers
        return ValidationLoader(self.samples, data.tile_px, halo_px, batch_size, workers, most=most)


def train_regression(
    recipe: RegressionRecipe, out: Path, options: TrainOptions, kind: type[ValueSamples] = ValueSamples
) -> Path:
    """Train a network that estimates a quantity, and classes where the recipe has a legend; returns the run folder."""
    if not recipe.model.network:
        raise InputError("the recipe names no network. Set model.network, e.g. to unet.")
    check_extra("deep")
    prepared = _prepare(recipe, kind)
    recipe = prepared.recipe
    model, scale, quantity = recipe.model, prepared.scale, prepared.legend.quantity
    named = {"name": model.network, "encoder": model.encoder}
    units = {"offset": scale.median, "scale": scale.std, "deviation": bool(quantity and quantity.deviation)}
    units |= {"critic_bands": prepared.samples.inputs.in_channels} if recipe.train.adversarial else {}
    network = {key: value for key, value in named.items() if value is not None} | model.options
    network |= {"head": "units", "head_options": units}
    segmenter = build_segmenter(recipe, network, prepared.samples.inputs, prepared.legend)
    criterion = RegressionCriterion(recipe.train, prepared.legend, segmenter.inputs.names, prepared.pixels)
    batches = prepared.validation(most=recipe.data.windows_per_epoch)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        if not prepared.split.validated:
            return {recipe.train.monitor: float("nan")}
        return overall_scores(score_segmenter(segmenter, batches))

    notes = fit_segmenter(segmenter, prepared.samples, criterion.step, score, recipe, out, options)
    split = prepared.split.describe()
    protocol = {
        "name": protocol_name(prepared.split.validated),
        "leaky": split["leaky"],
        "split": split,
    }
    synthetic = any(named.scene.synthetic for named in prepared.split.scenes)
    scores = score_segmenter(segmenter, prepared.validation()) | {
        "legend": prepared.legend.name,
        "protocol": protocol,
        "synthetic": synthetic,
    }
    notes = {
        "scenes": {named.name: named.sources for named in prepared.split.scenes}, "split": split, "leaky": prepared.split.leaky,
        "synthetic": synthetic, "training_values": asdict(scale), "validation": overall_scores(scores),
    } | notes  # fmt: skip
    return write_run(segmenter, recipe, out, split=prepared.split, scores=scores, notes=notes)


def _prepare(recipe: RegressionRecipe, kind: type[ValueSamples]) -> _RegressionData:
    """Open the scenes, split them, and measure inputs and target over the training part."""
    quantity, targets = recipe.target.resolve_quantity(), recipe.target.layers
    if recipe.legend:
        classes, labelled = open_labelled(recipe, targets)
        legend = replace(classes, quantity=quantity)
        scenes: Sequence[Any] = labelled
    else:
        legend = Legend(quantity.name, (), quantity=quantity)
        scenes = open_layers(recipe.data, recipe.model.layers, targets)
    split: DataSplit[Any] = make_split(
        [place_target(named, recipe.target, recipe.data) for named in scenes], recipe.data
    )
    recipe = windows_by_area(split, recipe)
    inputs = measure_inputs(split, recipe.model.layers, scaling=recipe.data.scaling).with_nodata(
        {name: value for name, value in recipe.data.nodata.items() if name in recipe.model.layers}
    )
    scale = measure_target(split, recipe.target, quantity)
    samples = ValueAndClassSamples(split, inputs, recipe) if recipe.legend else kind(split, inputs, recipe)
    return _RegressionData(recipe, legend, split, samples, scale)


def score_segmenter(segmenter: NetworkSegmenter, batches: ValidationLoader) -> dict[str, Any]:
    """Compute scores of the values, overall, by class and by level, and of the classes if there are any."""
    legend, count = segmenter.legend, segmenter.legend.num_classes
    values = GroupedScores(legend.names, default_levels("" if legend.quantity is None else legend.quantity.unit))
    matrix = ConfusionMatrix(count) if count else None
    for batch in batches:
        output = segmenter.predict_raw(np.concatenate([batch[name] for name in segmenter.inputs.names], axis=1))
        classes = batch["mask"] if matrix is not None else None
        deviation = output[:, count + 1] if segmenter.legend.num_channels > count + 1 else None
        values.update(batch[VALUES], output[:, count], classes, deviation)
        if matrix is not None:
            matrix.update(batch["mask"], np.stack([best_class(scores[:count]) for scores in output]))
    of_classes = {} if matrix is None else report.scores(matrix, segmenter.legend.names)
    assert segmenter.legend.quantity is not None
    return of_classes | values.to_dict(segmenter.legend.quantity)


def overall_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Those of a report that are one number, for the log of a training."""
    values = {name: float(scores["values"][name]) for name in SCORES}
    if "mean_f1" not in scores:
        return values
    both = {"r2_and_f1": (values["r2"] + scores["mean_f1"]) / 2}
    return values | {name: float(scores[name]) for name in report.ScoreNames.overall} | both


TASK = Task(train_regression, RegressionRecipe)
