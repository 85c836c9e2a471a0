"""The recipes of damage networks: of labelled pairs (`damage`), and of a stream of made-up pairs (`damage-stream`).

Take the sections of any recipe, with keys of their own; refuse unknown ones, naming the nearest.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from deepnets4eo.training.recipe import PredictSection, Recipe, Section, TrainSection


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


class StreamSection(Section):
    """Which pairs come, how windows are cut out of them, and what is wrong with outlines and registration."""

    world: Literal["world", "city", "both"] = Field(
        default="both",
        description="world: all styles and hazards; city: suburbs; both: a third of the pairs are suburbs",
    )
    styles: tuple[str, ...] = Field(default=(), description="styles of the world to learn from; none: all")
    hazards: tuple[str, ...] = Field(default=(), description="hazards of the world to learn from; none: all")
    left_out_styles: tuple[str, ...] = Field(
        default=(), description="styles that are validated on and never learnt from"
    )
    left_out_hazards: tuple[str, ...] = Field(default=(), description="hazards that are validated on alone, likewise")
    size_px: int = Field(default=512, ge=256, description="side of a pair")
    gsd_m: float = Field(default=0.5, gt=0, description="pixels of windows, metres; coarser pairs stay as they are")
    gsd_spread: float = Field(default=0.2, ge=0, lt=1, description="how far that varies, as a logarithm")
    tile_px: int = Field(default=256, ge=32, multiple_of=32, description="side of a training window")
    windows_per_epoch: int = Field(default=512, ge=1)
    windows_per_pair: int = Field(default=3, ge=1, description="cut out of each pair")
    outline_error_m: float = Field(default=3.0, ge=0, description="farthest that outlines lie off")
    varied_share: float = Field(default=0.3, ge=0, le=1, description="share of the images that another sensor shows")
    misregistration_px: int = Field(default=1, ge=0, description="pre is moved by up to this, beside the pair's own")
    val_pairs: int = Field(default=36, ge=1, description="pairs that are validated on, of other seeds")
    num_workers: int = Field(default=1, ge=0, description="threads that make windows ahead of the network")

    @model_validator(mode="after")
    def _nothing_left_out_is_learnt(self) -> StreamSection:
        if self.world != "world" and (self.left_out_styles or self.left_out_hazards):
            raise ValueError(
                f"leaves out styles or hazards of the world, but world={self.world} learns from suburbs, which were struck by the "
                "same hazards; set world=world"
            )
        return self


class PairNetworkSection(Section):
    """The network."""

    network: str = Field(default="damage-network", description="a name of list_models() with two heads")
    encoder: str = "resnet18"
    encoder_weights: str | None = Field(default=None, description="imagenet: downloaded on the user's demand only")
    start: str | None = Field(
        default=None, description="run to start from: of this network, or of a light U-Net that labels pixels"
    )
    decoder_channels: tuple[int, int, int] = (128, 64, 48)


class OrdinalSection(GradingSection):
    """Optimisation of both heads."""

    epochs: int = Field(default=1000, ge=1, description="at most; as a rule the time ends the training")
    batch_size: int = 8
    lr: float = 1e-3
    schedule: Literal["constant", "one_cycle"] = "constant"
    warmup_share: float = 0.0003
    average: float = 0.997
    keep: Literal["best", "last"] = "last"
    monitor: Literal["auc", "kappa"] = "auc"
    clip_norm: float = 1.0
    photometric: float = 0.15
    post_loss: float = Field(default=0.7, ge=0, description="weight of the head of post alone, beside that of the pair")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class StreamRecipe(Recipe):
    """All that decides the training of the default damage network.

    Parameters
    ----------
    task
        "damage-stream".
    data
        What is drawn from the stream.
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
        For unknown keys and bad values; `resolve` turns it into an `InputError`.

    Examples
    --------
    >>> StreamRecipe().data.world
    'both'
    """

    task: str = "damage-stream"
    data: StreamSection = StreamSection()  # type: ignore[assignment]
    legend: Literal["xbd"] = "xbd"
    model: PairNetworkSection = PairNetworkSection()  # type: ignore[assignment]
    train: OrdinalSection = OrdinalSection()
    predict: PredictSection = PredictSection(tile_px=768, halo_px=32)
