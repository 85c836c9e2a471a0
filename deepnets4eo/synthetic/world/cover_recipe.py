"""The recipe of the task `world-cover`: a world of styles instead of files.

Takes the sections of any recipe, with keys of its own; refuses unknown ones, naming the nearest.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepnets4eo.options import Section
from deepnets4eo.training.recipe import Recipe


class WorldSection(Section):
    """Which made-up sites are trained on, and which validated on."""

    world: Literal["both", "world", "city"] = Field(
        default="world",
        description="world: all styles and hazards; city: suburbs of the miniature city; both: a third are suburbs",
    )
    styles: tuple[str, ...] = Field(default=(), description="names of styles to learn from; none: all")
    left_out_styles: tuple[str, ...] = Field(default=(), description="styles that are validated on alone")
    mixed_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="of the sites, share whose roofs and ground have the colours of other styles",
    )
    size_px: int = Field(default=512, ge=128, description="side of the images of a pair")
    tile_px: int = Field(default=256, ge=32, multiple_of=32, description="side of a training window")
    windows_per_epoch: int = Field(default=512, ge=1)
    windows_per_pair: int = Field(default=8, ge=1, description="cut out of each pair")
    validation_pairs: int = Field(default=4, ge=1, description="of each style; their seeds are never trained on")
    heights: bool = Field(
        default=False,
        description="land cover is learnt with heights above ground, a layer `ndsm`, in half of the windows",
    )
    start: str | None = Field(
        default=None,
        description="folder of a training of this task, of the mean of several, or of one of its runs, whose weights are the first; or the name of a model",
    )
    num_workers: int = Field(default=1, ge=0, description="threads that make windows ahead of the network")


class WorldRecipe(Recipe):
    """All that decides the training of the networks for one image.

    Examples
    --------
    >>> WorldRecipe(data={"world": "city"}).data.tile_px
    256
    """

    task: str = "world-cover"
    data: WorldSection = WorldSection()  # type: ignore[assignment]
