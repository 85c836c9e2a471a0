"""The recipe of damage networks: which pairs they learn from, the network, and what is minimised."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from deepnets4eo.options import Section
from deepnets4eo.training import LossName, Processes, Recipe, TrainSection

PAIRS, MADE_UP = "pairs", "made-up"


class PairFiles(Section):
    """The labelled pairs of files that are read."""

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


class PairKeys(PairFiles):
    """The labelled pairs of files, and the choice of their buildings for training and for validation."""

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


class MadeUpKeys(Section):
    """The synthetic pairs, the windows that are cut out of them, and the errors of outlines and images."""

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
    windows_per_pair: int = Field(default=3, ge=1, description="cut out of each pair, each time that it is learnt from")
    mixed_pairs: int = Field(default=32, ge=1, description="pairs whose windows are mixed, and that are read ahead")
    kept_pairs: int = Field(
        default=0,
        ge=0,
        description="pairs that are drawn once, kept in files of 2 MB and learnt from again; 0: all new",
    )
    pairs_folder: str | None = Field(
        default=None,
        description="folder of the kept pairs, for several trainings; none: a folder of the run, removed once it is trained",
    )
    outline_error_m: float = Field(default=3.0, ge=0, description="farthest that outlines lie off")
    varied_share: float = Field(default=0.3, ge=0, le=1, description="share of the images that another sensor shows")
    val_pairs: int = Field(default=36, ge=1, description="pairs that are validated on, of other seeds")
    processes: Processes = 0

    @model_validator(mode="after")
    def _nothing_left_out_is_learnt(self) -> MadeUpKeys:
        if self.world != "world" and (self.left_out_styles or self.left_out_hazards):
            raise ValueError(
                f"leaves out styles or hazards of the world, but world={self.world} learns from suburbs, which were struck by the "
                "same hazards; set world=world"
            )
        return self


KEYS_OF: dict[str, type[Section]] = {PAIRS: PairKeys, MADE_UP: MadeUpKeys}


class DamageData(PairKeys, MadeUpKeys):
    """The source of pairs, and the windows of them that are trained on; keys of the other source are refused."""

    source: Literal["pairs", "made-up"] = Field(
        default="pairs", description="pairs: labelled ones, from files; made-up: the miniature world and city, endless"
    )
    tile_px: int = Field(default=256, ge=32, multiple_of=32, description="side of a training window")
    windows_per_epoch: int = Field(default=1000, ge=1)
    misregistration_px: int = Field(default=2, ge=0, description="pre is moved by up to this, each window anew")
    num_workers: int = Field(default=2, ge=0, description="threads that read or make windows ahead of the network")

    @property
    def other_source(self) -> str:
        """The source that is not chosen; its keys are not read."""
        return MADE_UP if self.source == PAIRS else PAIRS

    @model_validator(mode="after")
    def _only_keys_of_the_source(self) -> DamageData:
        if self.source == MADE_UP and self.folders:
            raise ValueError(
                "learns from synthetic places and takes no --data. Leave out --data, or train damage-pairs, which learns from "
                "labelled pairs"
            )
        for name, field in KEYS_OF[self.other_source].model_fields.items():
            if getattr(self, name) != field.default:
                raise ValueError(
                    f"has {name}={getattr(self, name)!r}, which a training with source={self.source} does not read. Leave {name} "
                    f"out, or set data.source={self.other_source}"
                )
        return self


class DamageNetworkChoice(Section):
    """The network."""

    network: str = Field(default="damage-network", description="a name of list_models() with the options of DamageNet")
    unet: Literal["light-unet", "unet"] = Field(
        default="light-unet", description="of both dates; unet: that of smp, slower and at full resolution"
    )
    encoder: str = Field(
        default="resnet18", description="encoder of smp; of a light U-Net, resnet18, resnet34 or efficientnet-lite0"
    )
    encoder_weights: str | None = Field(
        default=None, description="efficientnet-lite0: in the box; imagenet: downloaded on the user's demand only"
    )
    start: str | None = Field(
        default=None, description="run to start from: of this network, or of a light U-Net that labels pixels"
    )
    decoder_channels: tuple[int, ...] | None = Field(
        default=None, min_length=3, max_length=5, description="widths of the decoder; none: those of the U-Net"
    )
    stored: Literal["float32", "float16"] = Field(
        default="float32", description="precision of the run's weights; it is scored as stored"
    )


class DamageTraining(TrainSection):
    """Optimisation; `losses` count pixels of buildings, `building_loss` and `post_loss` whole buildings."""

    losses: dict[LossName, float] = Field(
        default={"cross_entropy": 1.0}, description="loss of pixels -> weight; none: whole buildings alone"
    )
    building_loss: float = Field(default=1.0, ge=0, description="weight of whole buildings graded from the pair")
    post_loss: float = Field(
        default=0.7, ge=0, description="the same from post alone; 0: the network has no head for post alone"
    )
    ordinal: bool = Field(
        default=False,
        description="buildings are learnt by the borders between grades, each grade counting the same; false: by "
        "cross-entropy, each building counting the same",
    )
    monitor: Literal["mean_f1", "auc", "overall_accuracy", "kappa"] = "mean_f1"
    photometric: float = Field(
        default=0.2, ge=0, le=1, description="light and contrast, of each date on its own; 0: none"
    )

    @model_validator(mode="after")
    def _positive_losses(self) -> DamageTraining:  # in place of that of every training, which needs losses of pixels
        weights = [*self.losses.values(), self.building_loss, self.post_loss]
        if min(weights) < 0 or max(weights) <= 0:
            raise ValueError("has no loss; expected weights of at least 0 and one of losses, building_loss above 0")
        if self.ordinal and not self.losses and (self.class_weights or self.class_weighting != "none"):
            raise ValueError(
                "has weights of the classes, which ordinal=true without losses of pixels does not read: every grade counts the "
                "same. Leave out class_weights and class_weighting"
            )
        return self


class DamageRecipe(Recipe):
    """All that decides the training of a damage network; each section describes its keys.

    Parameters
    ----------
    task : "damage"
    data : which pairs, and which of their buildings are trained and validated on
    legend : "xbd": the four grades
    model : the network and its encoder
    train : optimisation and augmentation
    predict : how images are cut into tiles

    Raises
    ------
    ValidationError
        For unknown keys and bad values; `resolve` turns it into an `InputError`.
    """

    task: str = "damage"
    data: DamageData = DamageData()  # type: ignore[assignment]
    legend: Literal["xbd"] = "xbd"
    model: DamageNetworkChoice = DamageNetworkChoice()  # type: ignore[assignment]
    train: DamageTraining = DamageTraining()

    @model_validator(mode="after")
    def _known_counts(self) -> DamageRecipe:
        if self.data.source == MADE_UP and self.train.class_weighting != "none":
            raise ValueError(
                f"has train.class_weighting={self.train.class_weighting}, but made-up buildings cannot be counted beforehand. Set "
                "train.class_weights, or train.ordinal=true"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, in the order of the sections, without the keys that the source of pairs does not read."""
        values, unread = super().to_dict(), KEYS_OF[self.data.other_source].model_fields
        read = {name: value for name, value in values["data"].items() if name not in unread}
        return values | {"data": {"source": self.data.source} | read}
