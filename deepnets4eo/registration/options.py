"""The options of every job that registers two images, as the command line shows them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from deepnets4eo.options import SeedKey, key, option, option_group


class SearchLimits:
    """Default limits of the search of a registration."""

    shift_m: ClassVar[float] = 30.0
    rotation_deg: ClassVar[float] = 30.0
    near_rotation_deg: ClassVar[float] = (
        3.0  # georeferenced pairs are seldom turned by more; larger turns need a search over all of them
    )


Motion: TypeAlias = Annotated[
    Literal["auto", "translation", "similarity", "affine"],
    key("Transformation between PRE and POST: auto, translation, similarity or affine."),
]
MaxRotation: TypeAlias = Annotated[float, key("Maximum rotation of PRE, degrees.", ge=0, le=45)]
MaxShift: TypeAlias = Annotated[float, key("Maximum offset of PRE, metres.", gt=0)]
AssumeRegistered: TypeAlias = Annotated[
    bool,
    option(
        "Assume that PRE matches POST, and measure no offset; an offset then looks like damage or change.",
        "Alignment",
        flag="--assume-registered",
    ),
]
PixelSize: TypeAlias = Annotated[
    float | None,
    option(
        "Pixel size in metres, for images without CRS; without it, lengths and areas are in pixels.",
        "Inputs",
        flag="--gsd",
        gt=0,
    ),
]


@option_group
class RegisterOptions:
    """Options of `deepnets4eo register`, see `registration.register`; layer, footprints_crs: of the footprints file."""

    footprints_crs: Annotated[str | None, option("CRS of the footprints, e.g. EPSG:4326; or pixels (of POST).")] = None
    gsd_m: PixelSize = None
    layer: Annotated[str | None, key("Layer of the footprints file.")] = None
    motion: Motion = "auto"
    max_shift_m: MaxShift = SearchLimits.shift_m
    max_rotation_deg: MaxRotation = SearchLimits.rotation_deg
    seed: SeedKey = 0
