"""The recipe of the task `damage`: labelled pairs instead of scenes, buildings instead of pixels.

Takes the sections of any recipe, with keys of its own; refuses unknown ones, naming the nearest.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepnets4eo.training.recipe import Recipe, Section, TrainSection


class PairSection(Section):
    """Which pairs, and which of their buildings are trained on and which validated on."""

    folders: tuple[str, ...] = Field(default=(), description="where the pairs are; --data sets it")
    layout: Literal["auto", "xbd", "bright", "vector"] = Field(
        default="auto",
        description="xbd: images/ and labels/; bright: pre-event/, post-event/, target/; vector: `layers`",
    )
    layers: dict[str, str] = Field(
        default={"pre": "*/pre.tif", "post": "*/post.tif", "labels": "*/truth.gpkg"},
        description="of layout vector: pre, post, labels -> pattern; files whose wildcards match alike make one pair",
    )
    labels_layer: str | None = Field(default=None, description="layer of the labelled vector file, if it has several")
    grade_column: str = Field(default="damage", description="column of the vector file with the names of the grades")
    register_images: bool = Field(
        default=True, description="of layout vector: register pre, and outlines, to post first"
    )
    tile_px: int = Field(default=256, ge=32, multiple_of=32, description="side of a training window")
    windows_per_epoch: int = Field(default=1000, ge=1)
    sampling: Literal["balanced", "random"] = Field(
        default="balanced", description="balanced: around a building of each grade in turn; random: of any"
    )
    split: Literal["blocks", "scenes", "events"] = Field(default="blocks", description="what validation is taken from")
    val_share: float = Field(default=0.2, gt=0, lt=1, description="share of blocks, scenes or events validated on")
    val_names: tuple[str, ...] = Field(default=(), description="with split scenes or events: names or patterns of them")
    block_px: int | None = Field(default=None, ge=16, description="side of a block of the split; none: by the image")
    buffer_px: int = Field(default=32, ge=0, description="buildings nearer to a validation block are not learnt from")
    scaling: Literal["scene", "training"] = Field(
        default="scene",
        description="images brought to zero mean by their own values near buildings, or by all training",
    )
    num_workers: int = Field(default=2, ge=0, description="threads that read windows ahead of the network")


class SiameseSection(Section):
    """The network."""

    network: str = Field(default="damage-siamese", description="a name of list_models() that takes pre then post")
    encoder: str = Field(default="resnet18", description="encoder of smp")
    encoder_weights: str | None = Field(default=None, description="imagenet: downloaded on the user's demand only")
    decoder_channels: tuple[int, ...] = Field(default=(128, 96, 64, 48, 32), min_length=3, max_length=5)


class GradingSection(TrainSection):
    """Optimisation; the losses of `losses` count pixels of buildings, `building_loss` whole buildings."""

    building_loss: float = Field(default=1.0, ge=0, description="weight of the cross-entropy of pooled logits")
    misregistration_px: int = Field(default=2, ge=0, description="pre is moved by up to this, each window anew")
    monitor: Literal["mean_f1", "auc", "overall_accuracy", "kappa"] = "mean_f1"
    photometric: float = Field(
        default=0.2, ge=0, le=1, description="light and contrast, of each date on its own; 0: none"
    )


class SiameseRecipe(Recipe):
    """All that decides the training of a Siamese grader.

    Parameters
    ----------
    data
        Which pairs, and which of their buildings are trained and validated on.
    legend
        "xbd": the four grades.
    model
        The network and its encoder.
    train
        Optimisation and augmentation.
    predict
        How images are cut into tiles.

    Raises
    ------
    ValidationError
        For unknown keys and bad values; `load_recipe` turns it into an `InputError`.

    Examples
    --------
    >>> SiameseRecipe().data.split
    'blocks'
    """

    task: str = "damage"
    data: PairSection = PairSection()  # type: ignore[assignment]
    legend: Literal["xbd"] = "xbd"
    model: SiameseSection = SiameseSection()  # type: ignore[assignment]
    train: GradingSection = GradingSection()
