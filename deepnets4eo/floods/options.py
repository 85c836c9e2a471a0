"""Options of a flood map: each with its type, default, limits and meaning, which the command line shows, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from deepnets4eo.jobs import Part
from deepnets4eo.options import OnDevice, SeedKey, key, option, option_group
from deepnets4eo.outputs import InLanguage
from deepnets4eo.registration import PixelSize

if TYPE_CHECKING:
    from deepnets4eo.floods.radar import RadarOptions

INPUTS = "Inputs"
LABELS, PROBABILITY = "flood.tif", "probability.tif"  # of the folder of a map


@option_group
class FloodOptions:
    """Options of a flood map; every value is written into the manifest. Options without a row here are described by their `Field`.

    Parameters
    ----------
    gsd_m, assume_registered : see `deepnets4eo.damage.Settings`
    memory_bytes : limit of the whole process during prediction
    workers : threads
    device, precision, runtime : of the network that finds water in fine optical images, see `device.choose`
    part : one of the parts of a job that several computers share
    seed : seed of the intervals

    Examples
    --------
    >>> FloodOptions(speckle="lee-sigma").radar.speckle
    'lee-sigma'
    """

    sensor: Annotated[
        Literal["auto", "radar", "optical"], option("Kind of all images, if their bands do not state it.", INPUTS)
    ] = "auto"
    permanent_water: Annotated[str | None, option("Raster of permanent water (0: none).", INPUTS)] = None
    footprints: Annotated[str | None, option("Building outlines: the buildings in the flood are counted.", INPUTS)] = (
        None
    )
    cover: Annotated[str | None, key("Label raster of land cover: flooded hectares are counted by class.")] = None
    dem: Annotated[str | None, key("Terrain heights: steep slopes are ignored in radar images.")] = None
    above_drainage: Annotated[
        str | None, key("Raster of heights above the nearest drainage, metres: high ground is dry.")
    ] = None
    cloud_mask_pre: Annotated[str | None, key("Mask of clouds in the first PRE: pixels other than 0 are ignored.")] = (
        None
    )
    cloud_mask_post: Annotated[str | None, key("Mask of clouds in POST.")] = None
    pre_bands: Annotated[str | None, key("Contents of the bands of every PRE, such as green,nir,swir or vv,vh.")] = None
    post_bands: Annotated[str | None, key("Contents of the bands of POST.")] = None
    min_area_m2: Annotated[float, key("Leave out polygons smaller than this, m².", ge=0)] = 0.0
    threshold: Annotated[
        Literal["otsu", "kittler", "em", "two-means"], key("How the threshold between water and land is found.")
    ] = "otsu"
    speckle: Annotated[Literal["refined-lee", "lee-sigma", "none"], key("Speckle filter for radar images.")] = (
        "refined-lee"
    )
    looks: Annotated[float | None, key("Equivalent number of looks; by default measured.", gt=0)] = None
    least_px: Annotated[int, key("Minimum number of pixels of a water body.", ge=1)] = 10
    least_drop_db: Annotated[float, key("Minimum drop of a flooded pixel against the date before, dB.", ge=0)] = 3.0
    steepest_deg: Annotated[
        float, key("Ground steeper than this is ignored in radar images, degrees.", gt=0, le=90)
    ] = 15.0
    highest_m: Annotated[float, key("Ground higher than this above its drainage is dry, metres.", ge=0)] = 20.0
    comparison: Annotated[
        Literal["drop", "change-vector"],
        key("How two radar dates are compared: by the drop in each band, or by the vector of all bands."),
    ] = "drop"
    incidence_deg: Annotated[
        float | None, key("Incidence angle of the radar at POST, degrees: for layover and shadow.", gt=0, lt=90)
    ] = None
    look_deg: Annotated[
        float | None,
        key("Look direction of the radar, degrees clockwise from north: for layover and shadow.", ge=0, lt=360),
    ] = None
    language: InLanguage = "en"
    gsd_m: PixelSize = None
    assume_registered: Annotated[bool, key("Assume that optical images match, and measure no offset.")] = False
    memory_bytes: int = 4 * 10**9
    workers: int = 2
    device: OnDevice = "auto"
    precision: Annotated[str, key("Precision of the network: auto, float32, bfloat16 or float16 (GPU).")] = "auto"
    runtime: Annotated[
        str,
        key(
            "Runtime for the network on a CPU: torch, openvino, onnx-int8 or openvino-int8; auto measures which is faster."
        ),
    ] = "auto"
    part: Part | None = None
    seed: SeedKey = 0

    @property
    def radar(self) -> RadarOptions:
        """The options of how water is found."""
        from deepnets4eo.floods.radar import RadarOptions

        return RadarOptions(
            self.speckle, self.looks, self.threshold, self.least_px, self.least_drop_db, self.highest_m, self.comparison
        )

    @property
    def sources(self) -> dict[str, str | None]:
        """Return the sources read in addition to the images, by role; None for sources that are not given."""
        roles = (
            "permanent_water", "footprints", "cover", "dem", "above_drainage", "cloud_mask_pre", "cloud_mask_post",
        )  # fmt: skip
        return {role: getattr(self, role) for role in roles}

    @property
    def further_inputs(self) -> dict[str, str]:
        """Return the given sources read in addition to the images, by role."""
        return {role: source for role, source in self.sources.items() if source is not None}
