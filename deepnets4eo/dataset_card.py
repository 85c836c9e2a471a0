"""Dataset cards: where data comes from, what one may do with it, how it lies on disk, how results are scored.

Takes YAML files of datasets/; returns checked values.
Refuses unknown keys, missing ones, and protocols that are not in the card; names the nearest.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepnets4eo.catalog import dataset_path
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScoringProtocol(_Strict):
    """One way results on a dataset are scored; scores are only compared under the same one."""

    legend: str
    split: str = Field(description="which of the card's splits is trained and tested on")
    reference: Literal["full", "eroded"] = Field("full", description="labels as they are, or without object borders")
    erode_px: int = Field(0, ge=0, description="radius of our own erosion, where no eroded files are given out")
    ignored_classes: tuple[str, ...] = ()
    window_px: int | None = None
    stride_px: int | None = None
    averaging: str = Field("", description="what is summed where windows overlap")
    source: str = ""


class DatasetCard(_Strict):
    """One dataset. `splits` maps a split's name to its parts (train, test, …) and these to their tiles."""

    name: str
    title: str
    source: str
    licence: str
    citation: str = ""
    synthetic: bool = False
    legend: str
    gsd_m: tuple[float, ...] = Field((), description="ground size of a pixel, one or a range, metres")
    bands: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="layer to its bands, in order")
    layout: dict[str, str] = Field(default_factory=dict, description="layer to its path pattern under the root")
    splits: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    protocols: dict[str, ScoringProtocol] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, source: str | Path) -> DatasetCard:
        """Read a card: a name known to the catalog or a path to a YAML file; InputError names what is wrong in it."""
        path = dataset_path(source)
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise InputError(f"{path} is no dataset card: {_first_problem(error)}") from error


def load_protocol(name: str) -> ScoringProtocol:
    """The protocol `DATASET/PROTOCOL` of a dataset card; InputError lists those there are."""
    dataset, _, wanted = name.rpartition("/")
    if not dataset:
        raise InputError(f'Got the protocol "{name}", expected DATASET/PROTOCOL, for example isprs_vaihingen/official.')
    card = DatasetCard.load(dataset)
    if wanted not in card.protocols:
        nearest = get_close_matches(wanted, card.protocols, 1, 0.4)
        hint = f' Did you mean "{nearest[0]}"?' if nearest else ""
        raise InputError(f'{card.name} has no protocol "{wanted}", only {", ".join(card.protocols) or "none"}.{hint}')
    return card.protocols[wanted]


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg']}."
    known = {**DatasetCard.model_fields, **ScoringProtocol.model_fields}
    nearest = get_close_matches(str(problem["loc"][-1]), known, 1, 0.0)[0]
    return f'{place} is unknown. Did you mean "{nearest}"?'
