"""Options of a ranking of rare changes; every value is written next to the result."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from deepnets4eo.errors import InputError
from deepnets4eo.options import SeedKey, key, option, option_group, split_names

INPUTS = "Inputs"


@option_group
class SeriesInputs:
    """Sources of dates, bands and clouds of a series, in the words of the command line: names between commas."""

    dates: Annotated[str | None, key("Dates of images and masks in the order of their names, separated by commas.")] = (
        None
    )
    bands: Annotated[str | None, option("Names of all bands, or those to use: nir=4,red=3.", INPUTS)] = None
    assets: Annotated[str | None, key("STAC assets to use, separated by commas.")] = None
    masks: Annotated[
        str | None, option("Folder of masks of clouds, one a date or several that are joined; or a STAC asset.", INPUTS)
    ] = None
    mask_values: Annotated[str | None, key("Values of the masks that mean clouds; by default all above 0.")] = None
    date_pattern: Annotated[str | None, key("Format of the dates in file names, e.g. %Y%j.")] = None
    mask_band: Annotated[int | None, key("Band of the images that contains their mask.", ge=1)] = None
    mask_above: Annotated[float, key("Values of mask_band above this mean clouds.")] = 0.0

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
    """Options for describing cells, comparing them with earlier dates, and ranking them."""

    cell_px: Annotated[int, key("Side length of a cell, pixels.", ge=4, le=4096)] = 32
    stride_px: Annotated[int | None, key("Distance between cells, pixels; by default their side length.", ge=4)] = None
    min_valid: Annotated[float, key("Minimum valid share of a cell at a date.", gt=0, le=1)] = 0.7
    encoder: Annotated[
        str | None,
        key(
            "Describe cells by this encoder of timm, e.g. resnet18; by efficientnet-lite0; or by a .safetensors file of Galileo or Presto."
        ),
    ] = None
    weights: Annotated[
        str | None,
        key(
            "Weights of the encoder: a .safetensors file or a run; the toolbox ships the weights of efficientnet-lite0."
        ),
    ] = None
    history: Annotated[int, key("Number of earlier valid dates whose median is the baseline.", ge=3)] = 3
    season_days: Annotated[
        int,
        key(
            "Compare with dates of earlier years within this number of days of the season, if at least two years have any.",
            ge=0,
            le=183,
        ),
    ] = 30
    persistence: Annotated[int, key("Number of later valid dates at which a change must persist.", ge=0)] = 2
    candidates: Annotated[float, key("Share of the cells of each date that are clustered.", gt=0, le=1)] = 0.05
    clusters: Annotated[int, key("Number of k-means clusters.", ge=1)] = 16
    clustering: Annotated[Literal["k-means", "hdbscan"], key("How changes are grouped.")] = "k-means"
    rank_by: Annotated[
        Literal["rarity", "isolation", "magnitude"],
        key("Factor of the magnitude in the score: rarity, isolation, or none (magnitude)."),
    ] = "rarity"
    seed: SeedKey = 0

    @property
    def encoder_file(self) -> str | None:
        """The file of an encoder of Galileo or Presto with its weights; None for an encoder by name."""
        return self.encoder if self.encoder is not None and self.encoder.endswith(".safetensors") else None


@option_group
class SeriesProducts:
    """Products that are written next to the ranking."""

    top: Annotated[int, key("Number of changes with pictures in the report.", ge=0)] = 30
    breaks_from: Annotated[
        str | None, key("Also detect breaks of the seasonal curve of each pixel from this date on.")
    ] = None
    break_of: Annotated[str | None, key("Band in which breaks are detected, or ndvi.")] = None

    def breaks_since(self) -> date | None:
        """Return the date from which breaks are searched, or None for none. Raises InputError."""
        from deepnets4eo.change.series.dates import as_date

        return None if self.breaks_from is None else as_date(self.breaks_from, "--set breaks_from")

    def check(self) -> None:
        """Refuse a band of breaks without breaks. Errors: InputError."""
        if self.breaks_from is None and self.break_of is not None:
            raise InputError(
                f"--set break_of={self.break_of} was given without --set breaks_from, so no breaks are detected. Give their first "
                "date, or leave it out."
            )
