"""The settings of a damage job: each with its type, default, limits and meaning, which the command line shows too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from deepnets4eo.options import key, option, option_group
from deepnets4eo.outputs import Language
from deepnets4eo.registration import AssumeRegistered, MaxShift, SearchLimits

INPUTS = "Inputs"
NOT_SOUGHT = "none"  # value of `water`
DECISION = "Decision"
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Runtime = Literal["auto", "torch", "openvino", "onnx-int8", "openvino-int8"]


@option_group
class Settings:
    """Settings of a damage job; every value is written into the manifest. Options without a row here are described by their `Field`.

    Parameters
    ----------
    network_weight : share of a run's log-odds in the average, 0–1, if its validated skill is perfect; multiplied by that skill
    motion, max_rotation_deg : how the pre image may be moved against the post image, and its maximum rotation in degrees
    id_column : column that holds the buildings' ids; by default one of the usual names
    workers : threads
    seed : seed of all randomness

    Examples
    --------
    >>> Settings(motion="translation", damaged_share=0.1).align
    True
    """

    model: Annotated[
        str, option("Decision model (see `deepnets4eo models`), or the run of a damage network.", DECISION)
    ] = "damage-evidence"
    network: Annotated[
        bool, key("Let the default damage network take part in the decision if PyTorch is installed.")
    ] = True
    network_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    look: Annotated[
        float | None,
        Field(ge=0, le=1),
        key(
            "Measure the appearance of buildings in POST (ev_look, see damage-look). The value is its weight in the decision, 0-1, multiplied by its skill; 0: only shown."
        ),
    ] = None
    look_from: Annotated[
        str,
        key(
            "Regression for the appearance of buildings: a run of `train damage/look`; by default the shipped regression."
        ),
    ] = "damage-look"
    evidences: Annotated[
        str,
        key(
            "Evidences of installed packages that take part: NAME or NAME=WEIGHT, separated by commas; --evidence NAME=FILE gives one its file."
        ),
    ] = ""
    damaged_share: Annotated[
        float | None,
        Field(gt=0, lt=1),
        key("Expected share of buildings with major damage or worse; by default estimated from the buildings."),
    ] = None
    gsd_m: Annotated[
        float | None,
        Field(gt=0),
        option(
            "Pixel size in metres, for images without CRS; by default 0.5 m is assumed, and areas are unknown.",
            INPUTS,
            flag="--gsd",
        ),
    ] = None
    motion: Literal["auto", "translation", "similarity", "affine"] = "auto"
    max_shift_m: MaxShift = SearchLimits.shift_m
    max_rotation_deg: Annotated[float, Field(ge=0, le=45)] = SearchLimits.rotation_deg
    assume_registered: AssumeRegistered = False
    align: Annotated[bool, key("Move footprints onto the roofs.")] = True
    sensor: Annotated[Literal["auto", "optical"], key("auto refuses radar, which only a --model RUN can read.")] = (
        "auto"
    )
    water: Annotated[
        str | None,
        option(
            "Raster of new water: 1 (or 255) or a depth, 0 elsewhere; none to ignore water. By default water is searched for in fine optical images.",
            INPUTS,
        ),
    ] = None
    inundation: Annotated[
        Literal["damaged", "possibly-damaged", "shown"],
        key(
            "Grade of buildings in new water: damaged (xBD), possibly-damaged (Copernicus EMS), or shown, which changes no grade."
        ),
    ] = "damaged"
    layer: Annotated[str | None, key("Layer of the footprints file.")] = None
    id_column: str | None = None
    footprints_crs: Annotated[
        str | None, option("CRS of the footprints, e.g. EPSG:4326; or pixels (of POST).", INPUTS)
    ] = None
    segmenter: Annotated[
        str | None,
        key("Run that detects buildings in PRE, or in POST without PRE, if FOOTPRINTS is -; by default buildings."),
    ] = None
    workers: Annotated[int, Field(ge=1)] = 2
    device: Annotated[str, key("Device for networks: auto, cpu or cuda.")] = "auto"
    precision: Annotated[
        Precision, key("Precision of networks; auto: the fastest, but float32 for a --model RUN; float16 only on GPUs.")
    ] = "auto"
    runtime: Annotated[
        Runtime,
        key(
            "Runtime for networks on a CPU: torch, openvino, or onnx-int8 and openvino-int8 (int8 weights); auto measures which is faster."
        ),
    ] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def outlines_in_pixels(self) -> bool:
        """Return whether the footprints are stated to be in pixels of the post image."""
        return self.footprints_crs == "pixels"

    @property
    def seeks_water(self) -> bool:
        """Return True if water is sought or given."""
        return self.water != NOT_SOUGHT

    @property
    def sources(self) -> dict[str, str | None]:
        """Files and runs that the settings name, by role; a word if none is named."""
        roles = ("model", "look_from", "water", "segmenter")
        return {role: getattr(self, role) for role in roles}


@option_group
class FurtherInputs:
    """Inputs of a damage job in addition to images and footprints, as paths on the command line. `areas` and `population` change no grade."""

    dsm_pre: Annotated[str | None, option("Surface model before the event, for height loss.", INPUTS)] = None
    dsm_post: Annotated[str | None, option("Surface model after the event.", INPUTS)] = None
    cloud_mask: Annotated[str | None, option("Raster whose values are not 0 under clouds.", INPUTS)] = None
    points_pre: Annotated[
        str | None, option("Point cloud before the event (LAS, LAZ, …); needs --points-post.", INPUTS)
    ] = None
    points_post: Annotated[
        str | None, option("Point cloud after the event: height loss and debris as evidence.", INPUTS)
    ] = None
    evidence: Annotated[
        list[str] | None,
        option(
            "Raster of scores, such as change, as evidence ev_NAME; it counts in the decision if it has a card or an evidence_weight. "
            "Also the file of an evidence in --set evidences. Repeatable.",
            DECISION,
            metavar="NAME=RASTER",
        ),
    ] = None
    evidence_weight: Annotated[
        str | None,
        key(
            "Weights of --evidence, or of points, in the decision, 0-1, multiplied by the skill in their card: change=0.3,points=0.2."
        ),
    ] = None
    prior: Annotated[
        list[str] | None,
        option(
            "Intensities of the event, reported separately: shakemap=grid.xml, wind:mph=swath.tif, flood:m=depth.tif, dpm=dpm.tif. "
            "Repeatable.",
            DECISION,
            metavar="KIND[:UNIT]=FILE",
        ),
    ] = None
    prior_curves: Annotated[
        str | None, key("YAML file with your own curves from intensities of --prior to probabilities.")
    ] = None
    areas: Annotated[
        str | None,
        option(
            "Polygons, e.g. districts, with counts for each; or grid for squares of 500 m, grid:250 for 250 m, h3:8 for hexagons.",
            INPUTS,
        ),
    ] = None
    population: Annotated[
        str | None, key("Raster of people per pixel, for the number of people exposed in each of --areas.")
    ] = None

    @property
    def layers(self) -> dict[str, str | None]:
        """The rasters by their names in `open_inputs`."""
        return {"dsm_pre": self.dsm_pre, "dsm_post": self.dsm_post, "cloud_mask": self.cloud_mask}

    @property
    def sources(self) -> dict[str, str | None]:
        """Return the sources that are read, by role; None if one is not given. Scores and priors, which have names, are not included."""
        roles = ("points_pre", "points_post", "prior_curves", "areas", "population")
        return {**self.layers, **{role: getattr(self, role) for role in roles}}

    @property
    def files(self) -> list[str]:
        """The files of rasters and of points."""
        named = *self.layers.values(), self.points_pre, self.points_post
        return [name for name in named if name is not None]


CEMS_NAME = re.compile(r"(EMSR\d{3,4}_AOI\d{2})(_GRA_(?:PRODUCT|MONIT\d{2}))?(_v\d{1,2})?", re.ASCII)


def is_cems_name(text: str) -> bool:
    """Return whether a name is one of Copernicus EMS."""
    return CEMS_NAME.fullmatch(text) is not None


def _whole_cems_name(text: str | None) -> str | None:
    """Return the name with product and version. Raises ValueError."""
    if text is None:
        return None
    match = CEMS_NAME.fullmatch(text)
    if match is None:
        raise ValueError(f"is {text!r}, expected EMSRNNN_AOINN, such as EMSR884_AOI06, or EMSRNNN_AOINN_GRA_PRODUCT_vN")
    return f"{match[1]}{match[2] or '_GRA_PRODUCT'}{match[3] or '_v1'}"


@option_group
class ProductOptions:
    """Appearance and names of products.

    Parameters
    ----------
    paper : size of the sheet, landscape
    cems
        Activation and area of interest of Copernicus EMS, which name its file: "EMSR884_AOI06", or with product and version
        "EMSR884_AOI06_GRA_MONIT01_v2"; without these GRA_PRODUCT and v1 are added.
    """

    paper: Literal["a4", "a3"] = "a4"
    language: Annotated[Language | None, key("Language of report.html and --also pdf,png: en, fr, es, ar or pt.")] = (
        None
    )
    cems: Annotated[str | None, AfterValidator(_whole_cems_name)] = None
    products_only: Annotated[
        bool,
        key(
            "Assess nothing: write the formats of --also, or the page and sheets in another language, for the map in --out."
        ),
    ] = False

    def with_formats(self, names: Sequence[str] | None) -> tuple[ProductOptions, list[str] | None]:
        """Return the options and the names of formats from the words of --also; cems=NAME names the file of that format. Errors: InputError."""
        stated = [name.removeprefix("cems=") for name in names or () if name.startswith("cems=")]
        options = replace(self, cems=stated[-1]) if stated else self
        plain = ["cems" if name.startswith("cems=") else name for name in names or ()]
        return options, None if names is None else plain

    @property
    def words(self) -> Language:
        """Return the language, English if none is chosen."""
        return self.language or "en"
