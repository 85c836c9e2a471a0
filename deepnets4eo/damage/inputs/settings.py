"""The settings of a damage job: each with its type, default, limits and meaning, which the command line shows too."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

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

INPUTS: dict[str, Any] = {"group": "Inputs"}
Language = Literal["en", "fr", "es", "ar", "pt"]  # of the page and the map sheet
NOT_SOUGHT = "none"  # value of `water`
DECISION: dict[str, Any] = {"group": "Decision"}


@option_group
class Settings:
    """How a damage job is done; every value is written into the manifest.

    Parameters
    ----------
    model : name of the decision's model, or folder of a trained run, which then decides together with the default model
    network
        Whether the network that comes with the toolbox decides, too, where PyTorch is installed and the images are such as
        it knows; not with a run in `model`.
    network_weight
        Share of such a run's log-odds in the average, 0–1, if its validated skill is perfect; multiplied by that skill.
    damaged_share
        Share of buildings expected with major damage or worse, between 0 and 1; None estimates it from the evidence.
    gsd_m : size of a pixel in metres, for images without CRS; without it a pixel of such images is taken for 0.5 m
    motion : how the pre image may lie against the post image
    max_shift_m : farthest that it may lie off, metres
    max_rotation_deg : farthest that it may be turned, degrees; a registration that finds more fails
    assume_registered : whether the pre image is taken as lying right, unmeasured: an offset then passes for damage
    align : whether the footprints are moved onto the roofs
    sensor : "auto" refuses radar, which only a network can read; "optical" takes every image as optical
    class_shares
        Folder of a run that labels pixels, or a label raster of the post image with its legend; the classes' shares in
        each outline become evidence.
    water
        Raster that is not 0 where water is new (or the legend `water` of the verb flood); None looks for water in fine optical
        images; "none" leaves it out.
    inundation
        What a building in new water counts as: "damaged" (xBD), "possibly-damaged" (Copernicus EMS), or "shown" beside a
        grade that rests on its structure alone.
    layer, id_column, footprints_crs : layer, column of ids and CRS of the footprints' file
    segmenter : folder or name of the run that found the buildings, where there was no file (`damage.buildings_of`)
    workers : threads
    seed : seed of all randomness

    Examples
    --------
    >>> Settings(motion="translation", damaged_share=0.1).align
    True
    """

    model: Annotated[
        str,
        Field(
            description="Model of the decision, see `deepnets4eo models`; or the run of a damage network.",
            json_schema_extra=DECISION,
        ),
    ] = "damage-evidence"
    network: Annotated[
        bool,
        Field(
            description="Let the default damage network decide, too, where PyTorch is installed.",
            json_schema_extra=KEY,
        ),
    ] = True
    network_weight: Annotated[
        float,
        Field(
            description="Share of a run in the decision if its skill is perfect; it is multiplied by its validated skill.",
            ge=0,
            le=1,
            json_schema_extra=KEY,
        ),
    ] = 0.5
    damaged_share: Annotated[
        float | None,
        Field(
            description="Share of buildings expected with major damage or worse; estimated from the buildings by default.",
            json_schema_extra=KEY,
        ),
    ] = None
    gsd_m: PixelSize = None
    motion: Motion = "auto"
    max_shift_m: MaxShift = MAX_SHIFT_M
    max_rotation_deg: MaxRotation = MAX_ROTATION_DEG
    assume_registered: AssumeRegistered = False
    align: Annotated[bool, Field(description="Move footprints onto the roofs.", json_schema_extra=KEY)] = True
    sensor: Annotated[
        Literal["auto", "optical"],
        Field(description="auto refuses radar, which only a --model RUN can read.", json_schema_extra=KEY),
    ] = "auto"
    class_shares: Annotated[
        str | None,
        Field(
            description="Run that labels pixels, or labels of POST: the classes' shares in each outline, as evidence.",
            json_schema_extra=KEY,
        ),
    ] = None
    water: Annotated[
        str | None,
        Field(
            description="Raster that is not 0 where water is new; by default it is looked for in fine optical images; or none.",
            json_schema_extra=INPUTS,
        ),
    ] = None
    inundation: Annotated[
        Literal["damaged", "possibly-damaged", "shown"],
        Field(
            description="What a building in new water counts as: damaged (xBD), possibly-damaged (Copernicus EMS), or shown.",
            json_schema_extra=KEY,
        ),
    ] = "damaged"
    layer: Annotated[str | None, Field(description="Layer of the footprints' file.", json_schema_extra=KEY)] = None
    id_column: Annotated[
        str | None, Field(description="Column that holds the buildings' ids.", json_schema_extra=KEY)
    ] = None
    footprints_crs: Annotated[
        str | None,
        Field(description="CRS of the footprints, e.g. EPSG:4326; or pixels (of POST).", json_schema_extra=INPUTS),
    ] = None
    segmenter: Annotated[
        str | None,
        Field(
            description="Run that finds the buildings in PRE (else POST) where FOOTPRINTS is -; by default buildings.",
            json_schema_extra=KEY,
        ),
    ] = None
    workers: int = 2
    seed: SeedKey = 0


@option_group
class FurtherInputs:
    """What a damage job reads beside images and footprints, as the command line takes it; paths.
    evidence : NAME=RASTER, a raster of scores each. evidence_weight : NAME=WEIGHT of these, or points=WEIGHT, with commas between. areas, population : what
    the damage is counted by (see `DamageMap.add_areas`); they shape no grade."""

    dsm_pre: Annotated[
        str | None, Field(description="Surface model before, for height loss.", json_schema_extra=INPUTS)
    ] = None
    dsm_post: Annotated[str | None, Field(description="Surface model after.", json_schema_extra=INPUTS)] = None
    cloud_mask: Annotated[
        str | None, Field(description="Raster that is not 0 under clouds.", json_schema_extra=INPUTS)
    ] = None
    points_pre: Annotated[
        str | None,
        Field(description="Cloud of points before (LAS, LAZ, …), with --points-post.", json_schema_extra=INPUTS),
    ] = None
    points_post: Annotated[
        str | None,
        Field(description="Cloud of points after: height loss and debris as evidence.", json_schema_extra=INPUTS),
    ] = None
    evidence: Annotated[
        list[str] | None,
        Field(
            description="Raster of scores, such as change, as evidence ev_NAME; it decides by its card, else is shown only. "
            "Repeatable.",
            json_schema_extra={**DECISION, "metavar": "NAME=RASTER"},
        ),
    ] = None
    evidence_weight: Annotated[
        str | None,
        Field(
            description="Shares of such scores, or of points, in the decision, 0-1, times the skill in their card: change=0.3,points=0.2.",
            json_schema_extra=KEY,
        ),
    ] = None
    areas: Annotated[
        str | None,
        Field(
            description="Polygons, e.g. districts, that are counted each; or grid for squares of 500 m, grid:250 for others, h3:8 for hexagons.",
            json_schema_extra=INPUTS,
        ),
    ] = None
    population: Annotated[
        str | None,
        Field(
            description="Raster of people a pixel, for the people exposed in each of --areas.", json_schema_extra=KEY
        ),
    ] = None

    @property
    def layers(self) -> dict[str, str | None]:
        """The rasters by their names in `damage.inputs.open_inputs`."""
        return {"dsm_pre": self.dsm_pre, "dsm_post": self.dsm_post, "cloud_mask": self.cloud_mask}


CEMS_NAME = re.compile(r"(EMSR\d{3,4}_AOI\d{2})(_GRA_(?:PRODUCT|MONIT\d{2}))?(_v\d{1,2})?", re.ASCII)


def _whole_cems_name(text: str | None) -> str | None:
    """The name with product and version. Errors: ValueError."""
    if text is None:
        return None
    match = CEMS_NAME.fullmatch(text)
    if match is None:
        raise ValueError(f"is {text!r}, expected EMSRNNN_AOINN, such as EMSR884_AOI06, or EMSRNNN_AOINN_GRA_PRODUCT_vN")
    return f"{match[1]}{match[2] or '_GRA_PRODUCT'}{match[3] or '_v1'}"


@option_group
class ProductOptions:
    """How products look and are called.

    Parameters
    ----------
    paper : size of the sheet, landscape
    language : of all on sheet and page that is not a name, a number or a finding
    cems
        Activation and area of interest of Copernicus EMS, after which its file is named: "EMSR884_AOI06", or with product and version
        "EMSR884_AOI06_GRA_MONIT01_v2"; without these GRA_PRODUCT and v1 are added.
    products_only : whether products of a map that is there are written anew, and nothing is assessed
    """

    paper: Annotated[
        Literal["a4", "a3"], Field(description="Paper of --also pdf,png, landscape: a4 or a3.", json_schema_extra=KEY)
    ] = "a4"
    language: Annotated[
        Language | None,
        Field(description="Language of report.html and --also pdf,png: en, fr, es, ar or pt.", json_schema_extra=KEY),
    ] = None
    cems: Annotated[
        str | None,
        AfterValidator(_whole_cems_name),
        Field(
            description="Name of the file of --also cems: EMSR884_AOI06, or all of EMSR884_AOI06_GRA_MONIT01_v2.",
            json_schema_extra=KEY,
        ),
    ] = None
    products_only: Annotated[
        bool,
        Field(
            description="Of the map in --out, write only the formats of --also, or page and sheets in another language.",
            json_schema_extra=KEY,
        ),
    ] = False

    @property
    def words(self) -> Language:
        """The language, English where none is chosen."""
        return self.language or "en"
