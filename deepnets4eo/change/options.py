"""How a change map is made: each option with its type, default, limits and meaning, which the command line shows too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from deepnets4eo.options import KEY, SeedKey, option_group
from deepnets4eo.registration.options import (
    MAX_ROTATION_DEG,
    MAX_SHIFT_M,
    AssumeRegistered,
    MaxRotation,
    MaxShift,
    Motion,
    PixelSize,
)

DECISION: dict[str, Any] = {"group": "Decision"}
INPUTS: dict[str, Any] = {"group": "Inputs"}

MANIFEST = "manifest.json"  # written last

ChangeMethod: TypeAlias = Literal["ir-mad", "mad", "cva", "difference", "pca-kmeans", "cosine"]
ThresholdMethod: TypeAlias = Literal["two-means", "otsu", "kittler", "em"]
Normalisation: TypeAlias = Literal["none", "training"]


@option_group
class ChangeOptions:
    """How a change map is made; every value is written into the manifest.

    Parameters
    ----------
    gsd_m : size of a pixel in metres, for images without CRS; without it lengths and areas are in pixels
    motion, max_shift_m, max_rotation_deg, assume_registered : see `deepnets4eo.damage.Settings`
    memory_bytes : limit of the whole process during prediction
    device : the device of a network: auto, cpu or cuda
    workers : threads

    Examples
    --------
    >>> ChangeOptions(method="cva", min_area_m2=100).threshold
    'two-means'
    """

    method: Annotated[
        ChangeMethod,
        Field(
            description="Method without training, where no --model is given; cosine for embeddings.",
            json_schema_extra=DECISION,
        ),
    ] = "ir-mad"
    threshold: Annotated[
        ThresholdMethod,
        Field(description="How that method's threshold between no change and change is found.", json_schema_extra=KEY),
    ] = "two-means"
    model: Annotated[
        str | None,
        Field(description="Run of a change network (layers image_pre, image_post).", json_schema_extra=DECISION),
    ] = None
    refine: Annotated[
        bool | None,
        Field(
            description="Fit the scores to edges of both images; by default without --model.",
            json_schema_extra=DECISION,
        ),
    ] = None
    min_area_m2: Annotated[
        float,
        Field(
            description="Leave out polygons below this many m².",
            ge=0,
            json_schema_extra={**DECISION, "flag": "--min-area"},
        ),
    ] = 0.0
    cover_pre: Annotated[
        str | None,
        Field(
            description="Label raster of land cover before: polygons get their class from it.", json_schema_extra=KEY
        ),
    ] = None
    cover_post: Annotated[str | None, Field(description="Label raster of land cover after.", json_schema_extra=KEY)] = (
        None
    )
    cloud_mask_pre: Annotated[
        str | None,
        Field(description="Mask of clouds in PRE: pixels other than 0 are not looked at.", json_schema_extra=INPUTS),
    ] = None
    cloud_mask_post: Annotated[str | None, Field(description="Mask of clouds in POST.", json_schema_extra=INPUTS)] = (
        None
    )
    pre_bands: Annotated[
        str | None,
        Field(description="Bands of PRE, such as 1,2,3; by default those that POST has too.", json_schema_extra=KEY),
    ] = None
    post_bands: Annotated[str | None, Field(description="Bands of POST.", json_schema_extra=KEY)] = None
    normalise: Annotated[
        Normalisation,
        Field(
            description="Light of the images for a --model: training is that of its training images.",
            json_schema_extra=KEY,
        ),
    ] = "none"
    gsd_m: PixelSize = None
    motion: Motion = "auto"
    max_shift_m: MaxShift = MAX_SHIFT_M
    max_rotation_deg: MaxRotation = MAX_ROTATION_DEG
    assume_registered: AssumeRegistered = False
    memory_bytes: int = 4 * 10**9
    device: str = "auto"
    workers: int = 2
    seed: SeedKey = 0

    @property
    def further_inputs(self) -> dict[str, str]:
        """What is read beside both images, by role."""
        named = {
            "model": self.model, "cover_pre": self.cover_pre, "cover_post": self.cover_post,
            "cloud_mask_pre": self.cloud_mask_pre, "cloud_mask_post": self.cloud_mask_post,
        }  # fmt: skip
        return {role: source for role, source in named.items() if source is not None}

    @property
    def refines(self) -> bool:
        """Whether scores are fitted to edges: where nothing was decided, those of methods without training are."""
        return self.model is None if self.refine is None else self.refine


@option_group
class TransitionOptions:
    """How two maps of land cover are compared."""

    legend: Annotated[
        str | None,
        Field(description="Legend of rasters that name none, a name or a YAML card."),
    ] = None
    block_px: Annotated[
        int | None,
        Field(
            description="Side of the blocks that are drawn for the intervals, pixels.",
            ge=1,
            json_schema_extra=KEY,
        ),
    ] = None
    seed: SeedKey = 0


@option_group
class RefineOptions:
    """How `layers refine` fits scores to edges, see `change.Diffusion`."""

    band: Annotated[
        int,
        Field(description="Band of the scores, where there are several.", ge=1, json_schema_extra=KEY),
    ] = 1
    steps: Annotated[
        int,
        Field(
            description="Steps of diffusion; values travel some √(steps/2) pixels.",
            ge=0,
            json_schema_extra=KEY,
        ),
    ] = 2500
    edge_level: Annotated[
        float,
        Field(
            description="Grey levels (0–255) between neighbours that stop half of the flow.",
            json_schema_extra=KEY,
        ),
    ] = 5.0
    rate: Annotated[float, Field(description="Share that flows in a step, below 0.25.", json_schema_extra=KEY)] = 0.24


@dataclass(frozen=True)
class ChangeProducts:
    """Files of a change map. folder : that holds them."""

    folder: Path

    @property
    def labels(self) -> Path:
        """No change (0), change (1), void where an image is not valid."""
        return self.folder / "change.tif"

    @property
    def score(self) -> Path:
        """Probability of change, packed as bytes: value / 254, 255 nodata."""
        return self.folder / "score.tif"

    @property
    def polygons(self) -> Path:
        """One polygon a connected region of change."""
        return self.folder / "change.gpkg"
