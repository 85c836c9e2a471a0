"""The recipe of training on a stream of made-up pairs: what is drawn from it, the network, and how it learns.

Takes the sections of any recipe, with keys of its own; refuses unknown ones, naming the nearest.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from deepnets4eo.damage.siamese.recipe import GradingSection
from deepnets4eo.training.recipe import PredictSection, Recipe, Section


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
