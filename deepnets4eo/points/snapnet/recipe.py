"""The recipe of the task `snapnet`: clouds instead of scenes, snapshots of their surfaces instead of windows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from deepnets4eo.options import Section
from deepnets4eo.points.cloud_data import CloudData
from deepnets4eo.points.views import SurfaceOptions
from deepnets4eo.training import ModelSection, Recipe, TrainSection

HEIGHT_EXPONENTS = {"height": 1.0, "height_root": 0.5}  # third band -> the power of the height that it shows


class ViewData(CloudData):
    """Data of a SnapNet recipe: the clouds, their training and validation points, and the number of views per epoch."""

    windows_per_epoch: int = Field(default=1000, ge=1, description="views; an epoch has as many whole batches of them")
    num_workers: int = Field(default=2, ge=0, description="threads that read views ahead of the network")


class ViewSection(Section):
    """Views of a SnapNet recipe: camera positions, the layers of a view, and how the votes of pixels are counted."""

    cameras: Literal["around", "above", "indoors"] = Field(
        default="around",
        description="around: over random points, as published; above: a grid that looks down and in oblique directions, for "
        "aerial clouds; indoors: within a room",
    )
    directions: int = Field(
        default=500,
        ge=1,
        description="around: for each area_m2 of ground; indoors: of a room, which is a cloud; a camera each at every distance",
    )
    area_m2: float = Field(
        default=10_000.0,
        gt=0,
        description="around: ground with points that directions are for; clouds and tiles of other sizes have as many in "
        "proportion",
    )
    distances_m: tuple[float, ...] = Field(
        default=(5.0, 10.0, 20.0), min_length=1, description="around, indoors: from the camera to the point it looks at"
    )
    elevation_deg: tuple[float, float] = Field(
        default=(70.0, 90.0), description="around: angle of the viewing direction to the ground, at least and at most"
    )
    gsd_m: float = Field(default=0.2, gt=0, description="above: side of a pixel on the ground")
    overlap: float = Field(default=0.5, ge=0, lt=1, description="above: of neighbouring views")
    tilt_deg: float = Field(default=45.0, gt=0, lt=90, description="above: of oblique views")
    headings: int = Field(default=4, ge=0, description="above: oblique directions; 0: only straight down")
    third: Literal["depth", "depth_m", "height", "height_root"] = Field(
        default="depth",
        description="third band of the composite: depth stretched in each view, as published; depth or height in metres; "
        "the root of the height",
    )
    height_factor: float = Field(
        default=1.0,
        ge=1,
        description="third: height, height_root: in training the heights of a view are multiplied by a random factor between 1 "
        "by this and this; 1: none",
    )
    votes: Literal["probabilities", "logits"] = Field(
        default="probabilities", description="what is averaged over pixels and views; published: logits"
    )
    seed: int = Field(default=0, ge=0, description="of cameras around and indoors")

    @property
    def third_factor(self) -> float:
        """Return the largest factor by which the third band varies in training; 1 if it shows no height."""
        return self.height_factor ** HEIGHT_EXPONENTS.get(self.third, 0.0)


class SnapNetModel(ModelSection):
    """A network by name, and the layers of snapshots that it takes."""

    network: str | None = Field(default="snapnet-unet", description="a name of list_models()")
    layers: tuple[Literal["image", "composite", "intensity"], ...] = Field(
        default=("composite",),
        min_length=1,
        description="image: colours; composite: verticality, noise, depth; inputs, concatenated in this order",
    )


class SnapNetTrain(TrainSection):
    """Optimisation of a network; the defaults are the published ones."""

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=24, ge=1)
    optimizer: Literal["adamw", "sgd", "adam", "adagrad", "adadelta"] = Field(
        default="adam", description="adam: weight_decay is part of the gradient, not apart from it"
    )
    lr: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "step", "exponential", "poly", "one_cycle", "cosine", "plateau"] = "constant"
    warmup_share: float = Field(default=0.0, ge=0, lt=1, description="share of the steps in which lr rises")
    rotations: bool = Field(default=False, description="by quarter turns")
    photometric: float = Field(default=0.0, ge=0, le=1, description="strength of light and contrast changes; 0: none")


class SnapNetRecipe(Recipe):
    """All that decides a training of SnapNet; `predict` is not used, as snapshots are predicted whole."""

    task: str = "snapnet"
    data: ViewData = ViewData()  # type: ignore[assignment]
    surface: SurfaceOptions = SurfaceOptions()
    views: ViewSection = ViewSection()
    model: SnapNetModel = SnapNetModel()
    train: SnapNetTrain = SnapNetTrain()

    @model_validator(mode="after")
    def _each_layer_once(self) -> SnapNetRecipe:
        if len(set(self.model.layers)) < len(self.model.layers):
            raise ValueError(f"has model.layers={list(self.model.layers)}; expected each layer once")
        return self

    @model_validator(mode="after")
    def _heights_that_vary(self) -> SnapNetRecipe:
        if self.views.height_factor > 1 and self.views.third not in HEIGHT_EXPONENTS:
            raise ValueError(
                f"has views.height_factor={self.views.height_factor}, but views.third={self.views.third} shows no height; "
                "expected views.third height or height_root, or a factor of 1"
            )
        return self
