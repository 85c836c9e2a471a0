"""Options of a change map, each with its type, default, limits and meaning, which the command line also shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator

from deepnets4eo.errors import name_hint
from deepnets4eo.options import OnDevice, SeedKey, key, option, option_group
from deepnets4eo.outputs import InLanguage
from deepnets4eo.plugins import plugins_of
from deepnets4eo.registration import AssumeRegistered, MaxRotation, MaxShift, Motion, PixelSize, SearchLimits

DECISION, INPUTS = "Decision", "Inputs"  # groups of the help

METHOD_NAMES = ("ir-mad", "mad", "cva", "difference", "pca-kmeans", "cosine", "embeddings")  # of the toolbox
ThresholdMethod: TypeAlias = Literal["two-means", "otsu", "kittler", "em"]
Normalisation: TypeAlias = Literal["none", "training"]


def _known_method(name: str) -> str:
    """Return the name of a method of the toolbox or of another package. Raises ValueError."""
    if name not in METHOD_NAMES and name not in (further := plugins_of("pair_scores")):
        raise ValueError(f"is {name!r}. {name_hint(name, [*METHOD_NAMES, *further])}")
    return name


@option_group
class ChangeOptions:
    """Options of a change map; every value is written into the manifest.

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
        str,
        option(
            f"Method without training, used if --model is not given: {', '.join(METHOD_NAMES)}, or one of another package. embeddings compares the "
            "features of a frozen network or, for rasters of embeddings, their cosine.",
            DECISION,
        ),
        AfterValidator(_known_method),
    ] = "ir-mad"
    threshold: Annotated[
        ThresholdMethod, key("How the threshold of --method between no change and change is found.")
    ] = "two-means"
    model: Annotated[str | None, option("Run of a change network (layers image_pre, image_post).", DECISION)] = None
    refine: Annotated[
        bool | None, option("Fit the scores to the edges of both images; by default only without --model.", DECISION)
    ] = None
    min_area_m2: Annotated[float, option("Leave out polygons smaller than this, m².", DECISION, "--min-area", ge=0)] = (
        0.0
    )
    cover_pre: Annotated[
        str | None, key("Label raster of land cover before, which gives the polygons their classes.")
    ] = None
    cover_post: Annotated[str | None, key("Label raster of land cover after.")] = None
    cloud_mask_pre: Annotated[
        str | None,
        option(
            "Mask of clouds in PRE: 0 clear, 1 cloud, 2 shadow, or a file SCL, QA_PIXEL or Fmask by its name.", INPUTS
        ),
    ] = None
    cloud_mask_post: Annotated[str | None, option("Mask of clouds in POST.", INPUTS)] = None
    pre_bands: Annotated[str | None, key("Bands of PRE, such as 1,2,3; by default the bands that POST also has.")] = (
        None
    )
    post_bands: Annotated[str | None, key("Bands of POST.")] = None
    normalise: Annotated[
        Normalisation,
        key("Brightness of the images for a --model: training adjusts it to the brightness of the training images."),
    ] = "none"
    language: InLanguage = "en"
    gsd_m: PixelSize = None
    motion: Motion = "auto"
    max_shift_m: MaxShift = SearchLimits.shift_m
    max_rotation_deg: MaxRotation = SearchLimits.rotation_deg
    assume_registered: AssumeRegistered = False
    memory_bytes: int = 4 * 10**9
    device: OnDevice = "auto"
    workers: int = 2
    seed: SeedKey = 0

    @property
    def sources(self) -> dict[str, str | None]:
        """Return what is read in addition to both images, by role; None if it is not given."""
        return {
            "model": self.model, "cover_pre": self.cover_pre, "cover_post": self.cover_post,
            "cloud_mask_pre": self.cloud_mask_pre, "cloud_mask_post": self.cloud_mask_post,
        }  # fmt: skip

    @property
    def further_inputs(self) -> dict[str, str]:
        """Return the sources that are given in addition to both images, by role."""
        return {role: source for role, source in self.sources.items() if source is not None}

    @property
    def refines(self) -> bool:
        """Return whether scores are fitted to edges; by default, only the scores of methods without training are."""
        return self.model is None if self.refine is None else self.refine


@option_group
class TransitionOptions:
    """Options of the comparison of two land-cover maps."""

    legend: Annotated[str | None, option("Legend of rasters that name no legend: a name or a YAML card.")] = None
    block_px: Annotated[int | None, key("Side length of the blocks drawn for the intervals, pixels.", ge=1)] = None
    seed: SeedKey = 0


@option_group
class RefineOptions:
    """Options of `layers refine`, which fits scores to edges, see `change.Diffusion`."""

    band: Annotated[int, key("Band of the scores, if the file has several.", ge=1)] = 1
    steps: Annotated[int, key("Number of diffusion steps; values spread over about √(steps/2) pixels.", ge=0)] = 2500
    edge_level: Annotated[
        float, key("Difference of grey levels (0–255) between neighbours that stops half of the flow.", gt=0)
    ] = 5.0
    rate: Annotated[float, key("Share that flows in each step, below 0.25.", gt=0, lt=0.25)] = 0.24


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
        """One polygon per connected region of change."""
        return self.folder / "change.gpkg"
