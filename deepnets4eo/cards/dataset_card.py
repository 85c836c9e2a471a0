"""Dataset cards: where data comes from, what one may do with it, how it lies on disk, how results are scored.

Takes YAML files of datasets/; returns checked values.
Refuses unknown keys, missing ones, and splits and protocols that are not in the card; names the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from deepnets4eo.cards.catalog import dataset_path
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.files import read_yaml
from deepnets4eo.formats.access import is_remote

TRAIN, TEST = "train", "test"  # parts of a split that programs know; a card may have others


def _inside(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Paths below the dataset's folder: a card of others leads nowhere else."""
    for pattern in patterns:
        if is_remote(pattern) or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise ValueError(f"{pattern} leads out of the dataset's folder; expected a path below it")
    return patterns


Patterns = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    AfterValidator(_inside),
]


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


class PublishedScores(_Strict):
    """What one method reached by its authors' account; what they do not give is left out.

    f1 : class of the card's legend → percent. overall_accuracy : percent. kappa : fraction, as papers print them.
    protocol : the card's protocol it was reached under, empty where none of them is the same.
    """

    protocol: str = ""
    f1: dict[str, float] = Field(default_factory=dict)
    overall_accuracy: float | None = None
    kappa: float | None = None
    source: str = ""


class DatasetCard(_Strict):
    """One dataset.

    layout : layer → path pattern under the root, or several of which any may match. `{id}` stands for the tile, with
    further placeholders for folders; a tile's id joins them by "/", and leading zeros of its numbers do not count.
    A pattern without placeholder is one file that serves all tiles. variants : layer → layers that can stand for it.
    splits : split → part (train, test, …) → tile ids, folders of ids (`Train`), or wildcards (`Train/Urban/*`).
    published : method → scores, in the order of the table that they come from.
    checksums : path pattern under the root → `md5:…` or `sha256:…`.
    """

    name: str
    title: str
    source: str
    licence: str
    access: str = Field("", description="how one gets it")
    citation: str = ""
    synthetic: bool = False
    legend: str
    gsd_m: tuple[float, ...] = Field((), description="ground size of a pixel, one or a range, metres")
    bands: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="layer to its bands, in order")
    layout: dict[str, Patterns] = Field(default_factory=dict)
    variants: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    splits: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    protocols: dict[str, ScoringProtocol] = Field(default_factory=dict)
    published: dict[str, PublishedScores] = Field(default_factory=dict)
    checksums: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, source: str | Path) -> DatasetCard:
        """Read a card: a name known to the catalog or a path to a YAML file; InputError names what is wrong in it."""
        path = dataset_path(source)
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise InputError(f"{path} is no dataset card: {_first_problem(error)}") from error

    def split(self, name: str | None = None) -> tuple[str, dict[str, tuple[str, ...]]]:
        """A split's name and its parts; the card's first by default. Errors: InputError names those there are."""
        chosen = name or next(iter(self.splits), "")
        if chosen not in self.splits:
            raise InputError(_unknown(self.name, "split", chosen, self.splits))
        return chosen, self.splits[chosen]

    def protocol(self, name: str) -> ScoringProtocol:
        """One of the card's protocols. Errors: InputError names those there are."""
        if name not in self.protocols:
            raise InputError(_unknown(self.name, "protocol", name, self.protocols))
        return self.protocols[name]

    def with_layout(self, layout: Mapping[str, str]) -> DatasetCard:
        """The card with other patterns: layer → pattern with placeholders, or the name of another layer of the card.

        Bands are the other layer's then; of a pattern's files they are not known, but labels stay colours or values.
        Errors: InputError for a value that is neither.
        """
        patterns, bands = {}, dict(self.bands)
        for layer, value in layout.items():
            if value not in self.layout and "{" not in value and "/" not in value and "." not in value:
                hint = _unknown(self.name, "layer", value, self.layout)
                raise InputError(f"{hint} Give one of them for {layer}, or a pattern such as images/{{id}}.tif.")
            patterns[layer] = self.layout.get(value, (value,))
            if value in self.bands:
                bands[layer] = self.bands[value]
            elif not layer.startswith("labels"):
                bands.pop(layer, None)
        return self.model_copy(update={"layout": {**self.layout, **patterns}, "bands": bands})


def load_protocol(name: str) -> ScoringProtocol:
    """The protocol `DATASET/PROTOCOL` of a dataset card; InputError lists those there are."""
    dataset, _, wanted = name.rpartition("/")
    if not dataset:
        raise InputError(f'Got the protocol "{name}", expected DATASET/PROTOCOL, for example isprs_vaihingen/official.')
    return DatasetCard.load(dataset).protocol(wanted)


def _unknown(card: str, kind: str, wanted: str, known: Mapping[str, object]) -> str:
    hint = name_hint(wanted, known, "")
    return f'{card} has no {kind} "{wanted}", only {", ".join(known) or "none"}. {hint}'.rstrip()


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg']}."
    known = {**DatasetCard.model_fields, **ScoringProtocol.model_fields, **PublishedScores.model_fields}
    return f"{place} is unknown. {name_hint(problem['loc'][-1], known)}"
