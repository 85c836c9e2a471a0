"""Dataset cards: source, licence, files on disk, splits and protocols of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from deepnets4eo.cards.catalog import CardKind
from deepnets4eo.errors import InputError, Reading, name_hint
from deepnets4eo.files import read_yaml
from deepnets4eo.formats import is_remote


class SplitPart:
    """Parts of a split that programs know; a card may have others."""

    train: ClassVar[str] = "train"
    val: ClassVar[str] = "val"
    test: ClassVar[str] = "test"


def _check_inside(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the patterns; raise ValueError if a pattern leads out of the dataset's folder."""
    for pattern in patterns:
        paths = (PurePosixPath(pattern), PureWindowsPath(pattern))  # a card is read on either system
        if is_remote(pattern) or any(path.anchor or ".." in path.parts for path in paths):
            raise ValueError(f"{pattern} leads out of the dataset's folder; expected a path below it")
    return patterns


Patterns = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    AfterValidator(_check_inside),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScoringProtocol(_Strict):
    """The rules for scoring results on a dataset; scores are only compared under the same protocol."""

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
    """One method's scores by class, `sites` and overall in percent, kappa a fraction, under a `protocol` of the card."""

    protocol: str = ""
    f1: dict[str, float] = Field(default_factory=dict)
    iou: dict[str, float] = Field(default_factory=dict)
    sites: dict[str, float] = Field(default_factory=dict)
    mean_f1: float | None = None
    mean_iou: float | None = None
    overall_accuracy: float | None = None
    kappa: float | None = None
    source: str = ""


class CubeFacts(_Strict):
    """Facts of a hyperspectral image: its bands, three of them shown as colours, the first and last wavelength."""

    sensor: str
    bands: int = Field(gt=3)
    colour_bands: tuple[int, int, int]
    range_nm: tuple[float, float] | None = None


class DatasetCard(_Strict):
    """One dataset: source, licence, files on disk, splits, protocols, published scores.

    Parameters
    ----------
    name, title, source, licence, access, citation, notes
        Name of the card, as in `datasets/NAME.yaml`, and what people need to know about the data.
    synthetic : whether the data is synthetic
    legend : name of the legend of the labels
    gsd_m : ground size of a pixel in metres, one value or a range
    bands : layer → names of its bands, in order
    cube : sensor, number of bands and bands of a colour image, if `image` is a hyperspectral cube
    layout
        Layer → path pattern under the root, or several patterns; any may match. `{id}` is the tile, with further
        placeholders for folders; a tile's id joins them by "/", and leading zeros of its numbers do not count. A
        pattern without placeholder is one file for all tiles.
    variants : layer → layers that can be used in place of this layer
    splits : split → part (train, test, …) → tile ids, folders of ids (`Train`), or wildcards (`Train/Urban/*`)
    protocols : name → rules of scoring
    published : method → scores, in the order of the published table
    checksums : path pattern under the root → `md5:…` or `sha256:…`

    Examples
    --------
    >>> DatasetCard.load("isprs_vaihingen").legend
    'isprs'
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
    cube: CubeFacts | None = None
    layout: dict[str, Patterns] = Field(default_factory=dict)
    variants: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    splits: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    protocols: dict[str, ScoringProtocol] = Field(default_factory=dict)
    published: dict[str, PublishedScores] = Field(default_factory=dict)
    checksums: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    @Reading.of_source("Is it the right file? Correct it, or write it again.")
    def load(cls, source: str | Path) -> DatasetCard:
        """Read a card by its name in the catalog or the path of a YAML file; InputError names what is wrong in it."""
        path = CardKind.DATASET.path(source)
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise InputError(f"{path} is no dataset card: {_first_problem(error)}") from error

    def split(self, name: str | None = None) -> tuple[str, dict[str, tuple[str, ...]]]:
        """Return a split's name and its parts, by default of the first split; InputError lists the available splits."""
        chosen = name or next(iter(self.splits), "")
        if chosen not in self.splits:
            raise InputError(_unknown(self.name, "split", chosen, self.splits))
        return chosen, self.splits[chosen]

    def protocol(self, name: str) -> ScoringProtocol:
        """Return a protocol of the card by its name; InputError lists the available protocols."""
        if name not in self.protocols:
            raise InputError(_unknown(self.name, "protocol", name, self.protocols))
        return self.protocols[name]

    def with_layout(self, layout: Mapping[str, str]) -> DatasetCard:
        """Return the card with other patterns: layer → pattern with placeholders, or the name of a layer of the card.

        The layer then has the bands of the named layer. The bands of a pattern's files are unknown, except for labels,
        which stay colours or values.

        Raises InputError for a value that is neither.
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

    def check_bands(self, layer: str, path: str | Path, count: int) -> None:
        """Refuse a file of another number of bands than its layer; bands declared as alpha are read as masks."""
        expected = self.bands.get(layer)
        if not expected or count == len(expected):
            return
        remedy = "Give its pattern (data.layers) to use the bands of the file."
        if layer.startswith("labels"):
            remedy = (
                "The classes of its values are unknown: name the legend it is stored in, such as isprs-mmseg "
                "(data.labels_legend, --set reference_legend=…)."
            )
        elif count == len(expected) - 1:
            remedy = f"If it has {len(expected)}, the last is marked alpha: gdal_edit.py -colorinterp_{len(expected)} undefined."
        raise InputError(
            f"{path} has {count} bands, the {layer} of {self.name} {len(expected)} ({', '.join(expected)}). {remedy}"
        )


def load_protocol(name: str) -> ScoringProtocol:
    """Return the protocol `DATASET/PROTOCOL` of a dataset card; InputError lists the available protocols."""
    dataset, _, protocol = name.rpartition("/")
    if not dataset:
        raise InputError(f'Got the protocol "{name}", expected DATASET/PROTOCOL, for example isprs_vaihingen/official.')
    return DatasetCard.load(dataset).protocol(protocol)


def _unknown(card: str, kind: str, name: str, known: Mapping[str, object]) -> str:
    hint = name_hint(name, known, "")
    return f'{card} has no {kind} "{name}", only {", ".join(known) or "none"}. {hint}'.rstrip()


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    location = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{location}: {problem['msg']}."
    known = [name for card in (DatasetCard, CubeFacts, ScoringProtocol, PublishedScores) for name in card.model_fields]
    return f"{location} is unknown. {name_hint(problem['loc'][-1], known)}"
