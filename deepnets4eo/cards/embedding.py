"""Cards of embeddings: what the bands of a raster of vectors are, and how its stored numbers become values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepnets4eo.cards.catalog import CardKind
from deepnets4eo.errors import InputError
from deepnets4eo.files import parse_json, read_yaml
from deepnets4eo.options import option_error

TAG = "EMBEDDING"


class EmbeddingCard(BaseModel):
    """The meaning of the bands of an embedding raster, which has one vector per pixel.

    Parameters
    ----------
    components : number of bands; 0 for any
    band_names : regular expression that matches the name of each band and identifies the raster; "" for none
    stored : type of whole numbers that `scale`, `power` and `nodata` apply to; values of other types are read unchanged
    scale, power : a value is (number · scale), its size to the power and its sign kept
    nodata : number of pixels without data
    unit_length : whether vectors have length 1
    gsd_m : ground size of a pixel in metres
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    source: str = ""
    licence: str = ""
    citation: str = ""
    components: int = Field(0, ge=0)
    band_names: str = ""
    stored: str = ""
    scale: float = Field(1.0, gt=0, allow_inf_nan=False)
    power: float = Field(1.0, gt=0, allow_inf_nan=False)
    nodata: float | None = None
    unit_length: bool = False
    gsd_m: float | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, source: str | Path) -> EmbeddingCard:
        """Read a card by its name in the catalog or the path of a YAML file. Raises InputError, naming what is wrong in it."""
        path = CardKind.EMBEDDING.path(source)
        return cls._of(read_yaml(path), str(path))

    @classmethod
    def from_tags(cls, tags: Mapping[str, str], where: str) -> EmbeddingCard | None:
        """Return the card in the tags of a raster: a name of the catalog or a whole card as JSON; None without one. Raises InputError."""
        text, name = tags.get(TAG), f"the tag {TAG} of {where}"
        if text is None or text in CardKind.EMBEDDING.names:
            return None if text is None else cls.load(text)
        if not text.startswith("{"):
            raise InputError(
                f"{name} is {text!r}; expected one of {', '.join(CardKind.EMBEDDING.names)}. Correct or remove it."
            )
        return cls._of(parse_json(text, name), name)

    @classmethod
    def of_names(cls, names: Sequence[str]) -> EmbeddingCard | None:
        """Return the card of the catalog with these band names, or None if there is none."""
        cards = (card for card in _known() if len(names) == card.components)
        return next((card for card in cards if all(re.fullmatch(card.band_names, name) for name in names)), None)

    @classmethod
    def likely(cls, count: int, dtype: str) -> EmbeddingCard | None:
        """Return the catalog's card that stores `count` bands of this type as scaled values, whatever their names; None without one."""
        return next(
            (card for card in _known() if (card.components, card.stored) == (count, dtype) and card.scale != 1), None
        )

    def check_bands(self, count: int, name: str) -> None:
        """Refuse a raster with another number of bands. Raises InputError."""
        if self.components not in (0, count):
            raise InputError(
                f"{name} has {count} bands, but {self.title} {self.components}. Name another card, or leave #{self.name} out."
            )

    def to_tags(self) -> dict[str, str]:
        """Return the tag of rasters of these embeddings."""
        return {TAG: self.name if self.name in CardKind.EMBEDDING.names else self.model_dump_json()}

    @classmethod
    def _of(cls, values: Any, where: str) -> EmbeddingCard:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise option_error(error, cls, f"{where} is no card of embeddings") from error


@cache
def _known() -> list[EmbeddingCard]:
    return [EmbeddingCard.load(name) for name in CardKind.EMBEDDING.names]


def split_card(text: str) -> tuple[str, EmbeddingCard] | None:
    """Return the raster and the card of `FILE#CARD`, or None for other texts. Raises InputError for a YAML file that is no card."""
    file, _, card = text.rpartition("#")
    known = file and (card in CardKind.EMBEDDING.names or card.endswith((".yaml", ".yml")))
    return (file, EmbeddingCard.load(card)) if known else None
