"""The options of every job that registers two images, as the command line shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from deepnets4eo.options import KEY, SeedKey, option_group

ALIGNMENT: dict[str, Any] = {"group": "Alignment"}
MAX_SHIFT_M = 30.0
NEAR_ROTATION_DEG = 3.0  # georeferenced pairs seldom lie turned by more; farther turns need a search over all of them
MAX_ROTATION_DEG = 30.0

Motion: TypeAlias = Annotated[
    Literal["auto", "translation", "similarity", "affine"],
    Field(description="How pre may lie against post: auto, translation, similarity or affine.", json_schema_extra=KEY),
]
MaxShift: TypeAlias = Annotated[
    float,
    Field(
        description="Farthest that pre may lie off, metres.",
        gt=0,
        allow_inf_nan=False,
        json_schema_extra=KEY,
    ),
]
MaxRotation: TypeAlias = Annotated[
    float,
    Field(
        description="Farthest that pre may be turned, degrees.",
        ge=0,
        le=45,
        json_schema_extra=KEY,
    ),
]
AssumeRegistered: TypeAlias = Annotated[
    bool,
    Field(
        description="Assume that pre lies in the right place and measure nothing; an offset then looks like damage or change.",
        json_schema_extra={**ALIGNMENT, "flag": "--assume-registered"},
    ),
]
PixelSize: TypeAlias = Annotated[
    float | None,
    Field(
        description="Size of a pixel in metres, for images without CRS; without it lengths and areas are in pixels.",
        gt=0,
        allow_inf_nan=False,
        json_schema_extra={"group": "Inputs", "flag": "--gsd"},
    ),
]


@option_group
class RegisterOptions:
    """How `deepnets4eo register` measures, see `registration.register`; layer, footprints_crs: of the footprints' file."""

    footprints_crs: Annotated[
        str | None, Field(description="CRS of the footprints, e.g. EPSG:4326; or pixels (of POST).")
    ] = None
    gsd_m: PixelSize = None
    layer: Annotated[str | None, Field(description="Layer of the footprints' file.", json_schema_extra=KEY)] = None
    motion: Motion = "auto"
    max_shift_m: MaxShift = MAX_SHIFT_M
    max_rotation_deg: MaxRotation = MAX_ROTATION_DEG
    seed: SeedKey = 0
