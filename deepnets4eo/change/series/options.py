"""What a ranking of rare changes is made with; every value is written beside the result."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from deepnets4eo.errors import InputError
from deepnets4eo.options import KEY, SeedKey, option_group, split_names

INPUTS: dict[str, Any] = {"group": "Inputs"}
CELLS: dict[str, Any] = {"group": "Cells"}
BASELINE: dict[str, Any] = {"group": "Baseline"}
RANKING: dict[str, Any] = {"group": "Ranking"}
BREAKS: dict[str, Any] = {"group": "Breaks"}


@option_group
class SeriesInputs:
    """Where dates, bands and clouds of a series are found, in the words of the command line: names between commas."""

    dates: Annotated[
        str | None,
        Field(
            description="Dates between commas, of images and masks in the order of the names.", json_schema_extra=KEY
        ),
    ] = None
    bands: Annotated[
        str | None,
        Field(description="Names of all bands, or those to use: nir=4,red=3.", json_schema_extra=INPUTS),
    ] = None
    assets: Annotated[str | None, Field(description="STAC assets to use, between commas.", json_schema_extra=KEY)] = (
        None
    )
    masks: Annotated[
        str | None,
        Field(
            description="Folder of masks of clouds, one a date or several that are joined; or a STAC asset.",
            json_schema_extra=INPUTS,
        ),
    ] = None
    mask_values: Annotated[
        str | None, Field(description="Values of masks that are clouds; by default above 0.", json_schema_extra=KEY)
    ] = None
    date_pattern: Annotated[
        str | None, Field(description="How dates stand in the names, e.g. %Y%j.", json_schema_extra=KEY)
    ] = None
    mask_band: Annotated[
        int | None, Field(description="Band of the images that is their mask.", ge=1, json_schema_extra=KEY)
    ] = None
    mask_above: Annotated[float, Field(description="Values above this are clouds.", json_schema_extra=KEY)] = 0.0

    def check(self) -> None:
        """Refuse options of masks that would have no effect. Errors: InputError."""
        if self.masks is not None and self.mask_band is not None:
            raise InputError(
                f"--masks {self.masks} and --set mask_band={self.mask_band} were given. Choose one of them."
            )
        if self.cloud_values and self.mask_above:
            raise InputError("--set mask_values and --set mask_above were given. Choose one of them.")
        if self.masks is None and self.mask_band is None and (self.cloud_values or self.mask_above):
            flag = "--set mask_values" if self.cloud_values else "--set mask_above"
            raise InputError(
                f"{flag} was given without a mask. Give masks with --masks, or a band with --set mask_band, or leave it out."
            )

    @property
    def cloud_values(self) -> tuple[float, ...]:
        """The values of clouds as numbers. Errors: InputError."""
        try:
            return tuple(float(number) for number in split_names(self.mask_values or ""))
        except ValueError as error:
            raise InputError(
                f"--set mask_values={self.mask_values} are not numbers. Write them like 3,8,9,10."
            ) from error

    @property
    def chosen_bands(self) -> dict[str, int] | list[str] | None:
        """Name → number of the bands to use, or the names of all; None for the images' own. Errors: InputError."""
        if self.bands is None:
            return None
        if "=" not in self.bands:
            return split_names(self.bands)
        pairs = [name.partition("=") for name in split_names(self.bands)]
        if not all(name and number.strip().isdecimal() for name, _, number in pairs):
            raise InputError(f"--bands {self.bands} is not of the form name=number, as in nir=4,red=3.")
        return {name.strip(): int(number) for name, _, number in pairs}


@option_group
class NoveltyOptions:
    """How cells are described, compared with earlier dates, and ranked."""

    cell_px: Annotated[int, Field(description="Side of a cell, pixels.", ge=4, le=4096, json_schema_extra=KEY)] = 32
    stride_px: Annotated[
        int | None,
        Field(description="Distance of cells, pixels; by default their side.", ge=4, json_schema_extra=KEY),
    ] = None
    min_valid: Annotated[
        float, Field(description="Share of a cell that must be valid at a date.", gt=0, le=1, json_schema_extra=KEY)
    ] = 0.7
    encoder: Annotated[
        str | None,
        Field(description="Describe cells by this encoder of timm, e.g. resnet18.", json_schema_extra=KEY),
    ] = None
    weights: Annotated[
        str | None, Field(description="Weights of the encoder, a .safetensors file or a run.", json_schema_extra=KEY)
    ] = None
    history: Annotated[
        int,
        Field(description="The baseline is the median of so many valid dates before.", ge=3, json_schema_extra=KEY),
    ] = 3
    season_days: Annotated[
        int,
        Field(
            description="Compare with dates within so many days of the season, where two earlier years have them.",
            ge=0, le=183, json_schema_extra=KEY,
        ),
    ] = 30  # fmt: skip
    persistence: Annotated[
        int,
        Field(description="A change must hold at so many later valid dates.", ge=0, json_schema_extra=KEY),
    ] = 2
    candidates: Annotated[
        float,
        Field(description="Share of the cells of a date that are clustered.", gt=0, le=1, json_schema_extra=KEY),
    ] = 0.05
    clusters: Annotated[int, Field(description="Clusters of k-means.", ge=1, json_schema_extra=KEY)] = 16
    clustering: Annotated[
        Literal["k-means", "hdbscan"], Field(description="How changes are grouped.", json_schema_extra=KEY)
    ] = "k-means"
    rank_by: Annotated[
        Literal["rarity", "isolation", "magnitude"],
        Field(description="What multiplies the magnitude: rarity, isolation, or nothing.", json_schema_extra=KEY),
    ] = "rarity"
    seed: SeedKey = 0


@option_group
class SeriesProducts:
    """What is written beside the ranking."""

    top: Annotated[int, Field(description="Changes with pictures in the report.", ge=0, json_schema_extra=KEY)] = 30
    breaks_from: Annotated[
        str | None,
        Field(
            description="Also write breaks of the seasonal curve of each pixel from this date on.",
            json_schema_extra=KEY,
        ),
    ] = None
    break_of: Annotated[
        str | None, Field(description="Band whose breaks are detected, or ndvi.", json_schema_extra=KEY)
    ] = None

    def check(self) -> None:
        """Refuse a band of breaks without breaks. Errors: InputError."""
        if self.breaks_from is None and self.break_of is not None:
            raise InputError(
                f"--set break_of={self.break_of} was given without --set breaks_from, so no breaks are detected. Give their first "
                "date, or leave it out."
            )
