"""The stored draw of the sample of a map, checked when it is read: the file may come from another person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from deepnets4eo.addresses import has_scheme, name_of
from deepnets4eo.errors import InputError
from deepnets4eo.files import parse_json
from deepnets4eo.outputs import file_facts

Index = Annotated[int, Field(ge=0, le=254)]
Count = Annotated[int, Field(ge=0, le=2**62)]
Part = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Byte = Annotated[int, Field(ge=0, le=255)]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StoredImage(_Stored):
    """An image by its path, size and hash, by which it is opened again; an address has neither."""

    path: Annotated[str, Field(min_length=1)]
    bytes: int | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, image: Path | str) -> StoredImage:
        """Return what is stored of an image that a user gave; of an address only its name, without secrets."""
        if has_scheme(str(image)) or not Path(image).is_file():
            return cls(path=name_of(str(image)))
        return cls(path=str(Path(image).resolve()), **file_facts(Path(image)))

    def open_path(self, sample: Path) -> Path:
        """Return the file, if it is on this computer and is the one that was given. Errors: InputError."""
        path = Path(self.path)
        facts = {"bytes": self.bytes, "sha256": self.sha256}
        if has_scheme(self.path) or self.sha256 is None or not path.is_file() or file_facts(path) != facts:
            raise InputError(
                f"{sample} was drawn with the image {name_of(self.path)}, which is not on this computer as it was. Give it: --image IMAGE."
            )
        return path


class StoredZones(_Stored):
    """Zones of falling confidence, see `Zones`."""

    limits: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=100)]
    sizes: list[list[Part]] = Field(validation_alias=AliasChoices("sizes", "pixels"))  # of pixels in samples of before
    zone_of: list[Count]


class DrawnSample(_Stored):
    """The entry `about` of a sample: how it was drawn, and the classes of the map at its points.

    Parameters
    ----------
    classes, colours : (K,) of the map
    stratum : (n,) of each point, in the order of the draw
    pixels, hectares : (S,) of each stratum
    areas : (n,) hectares of the pixel of each point; None if all pixels have the same area
    images : that show the ground
    kind : of one map, whose strata are its classes, or of the difference of two, whose strata are DIFFER and AGREE
    maps : one or two names
    classes_of : (2, n) classes of two maps at the points
    """

    classes: Annotated[list[str], Field(min_length=1, max_length=255)]
    colours: list[tuple[Byte, Byte, Byte] | None]
    stratum: Annotated[list[Index], Field(min_length=1)]
    pixels: list[Count]
    hectares: list[Part] | None
    areas: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    images: list[StoredImage | str]
    kind: Literal["map", "difference"]
    maps: Annotated[list[str], Field(min_length=1, max_length=2)]
    classes_of: list[list[Byte]] | None = None
    zones: StoredZones | None = None

    @classmethod
    def read(cls, text: Any, path: Path) -> dict[str, Any]:
        """Return the entry as plain values. Errors: InputError for one that does not fit."""
        if not isinstance(text, str):
            raise InputError(
                f"{path} is no sample of a map: its table `drawn` holds no text. Draw one with `deepnets4eo review`."
            )
        try:
            return cls.model_validate(parse_json(text, f"the table `drawn` of {path}")).model_dump(exclude_none=False)
        except ValidationError as error:
            first = error.errors()[0]
            entry = ".".join(map(str, first["loc"])) or "about"
            raise InputError(
                f"{path} is no whole sample of a map: {entry} of its table `drawn`: {first['msg']}. Draw it again with `deepnets4eo review`."
            ) from error

    @model_validator(mode="after")
    def _fits(self) -> Self:
        number, points = len(self.classes), len(self.stratum)
        strata = number if self.kind == "map" else 2
        sides, zones = self.classes_of, self.zones
        checks = {
            "a class occurs twice": len(set(self.classes)) == number,
            "as many colours as classes": len(self.colours) == number,
            "as many counts of pixels as strata": len(self.pixels) == strata and sum(self.pixels) > 0,
            "as many areas as strata": self.hectares is None or len(self.hectares) == strata,
            "an area for each point": self.areas is None or len(self.areas) == points,
            "strata below their number": max(self.stratum) < strata,
            "one map, or two": len(self.maps) == (1 if self.kind == "map" else 2),
            "classes of both maps at all points": (sides is None) == (self.kind == "map")
            and (sides is None or [len(side) for side in sides] == [points] * 2),
            "zones of all points and classes": zones is None
            or (len(zones.zone_of) == points and max(zones.zone_of) < len(zones.limits)
                and [len(row) for row in zones.sizes] == [number] * len(zones.limits)),
        }  # fmt: skip
        if sides is not None:
            checks["known classes"] = max(map(max, sides)) < number
        if wrong := next((what for what, holds in checks.items() if not holds), None):
            raise ValueError(f"expected {wrong}")
        return self


def stored_images(images: Sequence[Path | str]) -> list[dict[str, Any]]:
    """Return what a sample stores of the images that a user gave."""
    return [StoredImage.of(image).model_dump() for image in images]


def images_of(about: dict[str, Any], sample: Path) -> list[Path]:
    """Return the images that a sample was drawn with, if they are as they were. Errors: InputError."""
    return [
        StoredImage(**(image if isinstance(image, dict) else {"path": image})).open_path(sample)
        for image in about["images"]
    ]
