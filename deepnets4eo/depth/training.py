"""The task `depth`: a regression whose windows may be seen through a lens that blurs by their depth, in training and validation alike.

Takes scenes with a layer of depths in metres; the lens is `train.defocus`. Such a run is for images of such a camera."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator

from deepnets4eo.arrays import Mask
from deepnets4eo.depth.defocus import ThinLens
from deepnets4eo.training import (
    DataSplit,
    RegressionRecipe,
    RegressionTrain,
    Sample,
    SampleWindow,
    TargetSection,
    Task,
    TrainOptions,
    ValueSamples,
    train_regression,
)


class DepthTrain(RegressionTrain):
    """Optimisation, and the lens."""

    defocus: ThinLens | None = Field(
        default=None,
        description="lens that blurs images by depth: {focus_m: 2, f_number: 2.8, focal_mm: 15, pixel_um: 5.6}; none: sharp",
    )


class DepthTarget(TargetSection):
    """The depths that are learnt."""

    layer: str = Field(default="depth", description="layer of the scenes that holds them")
    quantity: str | dict[str, Any] = Field(default="depth", description="depth, or name, unit, low, high and zero")


class DepthRecipe(RegressionRecipe):
    """All that decides the training of depths: a regression's sections, with depth as the quantity."""

    target: DepthTarget = DepthTarget()
    train: DepthTrain = DepthTrain()

    @model_validator(mode="after")
    def _depth_alone(self) -> DepthRecipe:
        if self.train.defocus is not None and self.legend:
            raise ValueError(
                "has train.defocus and a legend; images are blurred for depth alone. Leave one of them out"
            )
        return self


class DefocusedSamples(ValueSamples):
    """Windows of scenes as the recipe's lens sees them. Layers are blurred after their scaling, which gives the same."""

    def __init__(self, split: DataSplit[Any], inputs: Any, recipe: DepthRecipe) -> None:
        super().__init__(split, inputs, recipe)
        self.lens = recipe.train.defocus or ThinLens()

    def _read(self, window: SampleWindow, labelled: Mask, hidden: Mask | None = None) -> Sample:
        sample = super()._read(window, labelled, hidden)
        layers: Mapping[str, Any] = self.split.scenes[window.scene].scene.read(window.window, self.target_layers)
        depth = torch.from_numpy(self._values(layers, layers["valid"]))[None]
        blurred = {name: self.lens.blur(torch.from_numpy(sample[name])[None], depth)[0] for name in self.inputs.names}
        return sample | {name: layer.numpy() for name, layer in blurred.items()}


def train_depth(recipe: DepthRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network that estimates depth, from images that the lens of the recipe blurs if it has one."""
    kind = ValueSamples if recipe.train.defocus is None else DefocusedSamples
    return train_regression(recipe, out, options, kind)


TASK = Task(train_depth, DepthRecipe)
