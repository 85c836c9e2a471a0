"""Options of deep features, with the same checks in recipes and in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from deepnets4eo.baselines.features.encoder_images import Inputs
from deepnets4eo.options import Section

Looks = Literal["dense", "patch"]
Scale = Annotated[float, Field(gt=0, le=8)]


class DeepOptions(Section):
    """Which frozen encoder is used, on which inputs, and how."""

    encoder: str | None = Field(default=None, description="a name of timm, e.g. resnet18")
    weights: str | Path | None = Field(
        default=None, description="a safetensors file, or imagenet: downloaded; none: random"
    )
    inputs: Inputs = Field(default="rgb", description="d: the height, too; +: its normals, too")
    scales: tuple[Scale, ...] = Field(default=(1.0,), min_length=1, description="factors by which tiles are resized")
    patch_px: int | None = Field(default=None, ge=1, description="averaged over a patch around each site")
    looks: Looks = Field(default="dense", description="dense: one pass over a tile for all sites")
    step_px: int = Field(default=16, ge=1, description="patch: sites nearer than this share a patch")
    input_px: int | None = Field(default=None, ge=1, description="patch: resized to this side first")
    reduction: int | None = Field(default=None, description="level of the encoder by pixels a cell; none: 16")
    components: int | None = Field(default=None, ge=1, description="columns a image and scale; none: all")

    @model_validator(mode="after")
    def _patches_where_needed(self) -> DeepOptions:
        if self.encoder is None:  # a recipe without deep features
            return self
        if self.looks == "patch" and not self.patch_px:
            raise ValueError(
                "has looks=patch, which needs the side of a patch. Set patch_px (231 in the benchmark of 2015)"
            )
        if self.looks == "dense" and self.input_px:
            raise ValueError(
                "has input_px, which resizes patches, with looks=dense, which has none. Set scales instead"
            )
        return self
