"""The classes of a labelling: values, names, colours, aliases, and void.

Takes a card (YAML) or classes; translates between colours, label values and class names. Nothing else knows palettes.
Refuses colours, values and names that it does not have, and lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepnets4eo.cards import legend_card, palette
from deepnets4eo.cards.catalog import legend_path, legends
from deepnets4eo.errors import InputError, LabelError, name_hint
from deepnets4eo.files import read_yaml

VOID = 255

Color = tuple[int, int, int]


@dataclass(frozen=True)
class LegendClass:
    """One class: its label value (0–254), its name, its colour (R, G, B 0–255) and other names it goes by."""

    value: int
    name: str
    color: Color
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Legend:
    """An ordered list of classes; the k-th class is channel k of a network and row k of a confusion matrix.

    `void_values` are label values that a source uses for void beside 255, `void_names` words for it in vector files.
    `remaps` names, for another legend, the class of it that each class becomes, where names alone do not tell.
    Errors: InputError when two classes share a value, a name or a colour.

    >>> isprs = Legend.load("isprs")
    >>> isprs.names
    ('impervious', 'building', 'low_vegetation', 'tree', 'car', 'clutter')
    >>> Legend.load("isprs-torchgeo").remap_to(isprs)[:6].tolist()
    [5, 0, 1, 2, 3, 4]
    """

    name: str
    classes: tuple[LegendClass, ...]
    void_color: Color = (0, 0, 0)
    void_values: tuple[int, ...] = ()
    void_names: tuple[str, ...] = ()
    title: str = ""
    source: str = ""
    remaps: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.classes:
            raise InputError(f'Legend "{self.name}" has no classes; it needs one at least. Add them under "classes".')
        _refuse_bytes_out_of_range(self)
        _refuse_twins(self.name, "value", [c.value for c in self.classes] + list(self.void_values))
        _refuse_twins(self.name, "color", [c.color for c in self.classes] + [self.void_color])
        words = [w for c in self.classes for w in {normalise_name(n) for n in (c.name, *c.aliases)}]
        _refuse_twins(self.name, "name", words + [normalise_name(n) for n in self.void_names])

    @classmethod
    def load(cls, source: str | Path) -> Legend:
        """Read a legend card: a name known to the catalog (`Legend.available()`) or a path to a YAML file."""
        path = legend_path(source)
        return cls.from_dict(read_yaml(path), where=str(path))

    @staticmethod
    def available() -> list[str]:
        """Names of the legends that come with the toolbox."""
        return legends()

    @classmethod
    def from_dict(cls, card: Mapping[str, Any], where: str = "legend") -> Legend:
        """The legend that `to_dict` wrote; InputError names a missing or an unknown key."""
        values = legend_card.parse(card, where)
        classes = tuple(LegendClass(**one) for one in values.pop("classes"))
        return cls(classes=classes, **values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML, JSON and raster tags."""
        card: dict[str, Any] = {"name": self.name, "title": self.title, "source": self.source}
        card["void_color"] = list(self.void_color)
        card["classes"] = [
            {"value": c.value, "name": c.name, "color": list(c.color), "aliases": list(c.aliases)} for c in self.classes
        ]
        optional = {"void_values": list(self.void_values), "void_names": list(self.void_names)}
        optional_remaps = {name: dict(remap) for name, remap in self.remaps.items()}
        return card | {k: v for k, v in {**optional, "remaps": optional_remaps}.items() if v}

    @property
    def num_classes(self) -> int:
        """How many classes there are; void is none."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(c.name for c in self.classes)

    @property
    def values(self) -> tuple[int, ...]:
        """Label values in order; 0 … num_classes − 1 for most legends, not for all."""
        return tuple(c.value for c in self.classes)

    @property
    def colors(self) -> np.ndarray:
        """(K, 3) uint8, the colours in order."""
        return np.array([c.color for c in self.classes], np.uint8)

    def index(self, name: str) -> int:
        """Place in the order (0 … K − 1) of a class by its name or alias; LabelError proposes the nearest."""
        wanted = normalise_name(name)
        for place, one in enumerate(self.classes):
            if wanted in {normalise_name(n) for n in (one.name, *one.aliases)}:
                return place
        hint = name_hint(name, self.names, "Use one of these.")
        raise LabelError(f'"{name}" is no class of legend "{self.name}", which has {", ".join(self.names)}. {hint}')

    def value(self, name: str) -> int:
        """Label value of a class by its name or alias; 255 for the legend's words for void."""
        if normalise_name(name) in {normalise_name(n) for n in ("void", *self.void_names)}:
            return VOID
        return self.classes[self.index(name)].value

    def encode(self, image: np.ndarray, unknown: Literal["error", "void"] = "error") -> np.ndarray:
        """Colours to label values.

        image : (3, H, W) uint8 ; returns (H, W) uint8, label values, 255 where the colour is the void colour.
        A colour that the legend does not have is a LabelError that lists it with its count, or void when asked.
        Memory: the output and 16 MiB for the table of all colours, built once per palette.
        """
        colors = {c.color: c.value for c in self.classes} | {self.void_color: VOID}
        marker = next(v for v in range(254, -1, -1) if v not in self.values) if unknown == "error" else VOID
        labels = palette.lookup(image, tuple(colors.items()), marker)
        if unknown == "error" and (labels == marker).any():
            found = palette.count_colors(image, labels == marker)
            raise LabelError(
                f'{len(found)} colours are not in legend "{self.name}": {_listed(found)}. '
                f"Expected {', '.join(f'{c.name} {c.color}' for c in self.classes)} or void {self.void_color}. "
                'Choose the legend that has them, or make them void with unknown="void" (--unknown void).'
            )
        return labels

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Label values (H, W) to colours (3, H, W) uint8; void and what the legend lacks take the void colour."""
        table = np.empty((3, 256), np.uint8)
        table[:] = np.array(self.void_color, np.uint8)[:, None]
        table[:, list(self.values)] = self.colors.T
        return table[:, labels]

    def check(self, labels: np.ndarray, where: str = "") -> None:
        """LabelError when `labels` (any shape, integers) hold a value that is neither a class nor void."""
        known = {*self.values, *self.void_values, VOID}
        found = {value: count for value, count in palette.count_values(labels).items() if value not in known}
        if found:
            raise LabelError(
                f'{where or "The labels"} hold values that are not in legend "{self.name}": {_listed(found)}. '
                f"Expected {', '.join(f'{c.value} {c.name}' for c in self.classes)} or void {VOID}. "
                f'Choose the legend that has them ("deepnets4eo datasets --legends" lists all).'
            )

    def remap_to(self, other: Legend, missing: Literal["error", "void"] = "error") -> np.ndarray:
        """Look-up from this legend's label values to another's, by name: `lookup[labels]`.

        returns : (256,) uint8, 255 for void. A class without counterpart is a LabelError, or void when asked.
        """
        lookup = np.full(256, VOID, np.uint8)
        explicit = {normalise_name(k): v for k, v in self.remaps.get(other.name, {}).items()}
        lost = []
        for one in self.classes:
            names = (explicit.get(normalise_name(one.name), one.name), *one.aliases)
            target = next((v for v in (other._value_or_none(n) for n in names) if v is not None), None)
            if target is None:
                lost.append(one.name)
            else:
                lookup[one.value] = target
        if lost and missing == "error":
            raise LabelError(
                f'Classes {", ".join(lost)} of legend "{self.name}" have no counterpart in "{other.name}" '
                f"({', '.join(other.names)}). Map them to void, or name their counterpart under remaps in the card."
            )
        return lookup

    def to_index(self) -> np.ndarray:
        """(256,) uint8 look-up from label values to places in the order (0 … K − 1); 255 for all else."""
        lookup = np.full(256, VOID, np.uint8)
        lookup[list(self.values)] = np.arange(self.num_classes)
        return lookup

    def from_index(self) -> np.ndarray:
        """(256,) uint8 look-up from places in the order to label values; 255 for all else."""
        lookup = np.full(256, VOID, np.uint8)
        lookup[: self.num_classes] = self.values
        return lookup

    def color_table(self) -> dict[int, tuple[int, int, int, int]]:
        """Label value → (R, G, B, alpha), as GDAL writes it into a raster; void is transparent."""
        return {c.value: (*c.color, 255) for c in self.classes} | {VOID: (*self.void_color, 0)}

    def category_names(self) -> dict[int, str]:
        """Label value → class name, void included."""
        return {c.value: c.name for c in self.classes} | {VOID: "void"}

    def qml(self) -> str:
        """The legend as a QGIS style (paletted raster renderer, band 1)."""
        return palette.qml(self.color_table(), self.category_names())

    def _value_or_none(self, name: str) -> int | None:
        try:
            return self.value(name)
        except LabelError:
            return None


def normalise_name(name: str) -> str:
    return "-".join(name.lower().replace("_", " ").replace("-", " ").split())


def _listed(found: Mapping[Any, int], most: int = 10) -> str:
    ordered = sorted(found.items(), key=lambda item: -item[1])
    text = ", ".join(f"{key} ({count} px)" for key, count in ordered[:most])
    return text + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def _refuse_bytes_out_of_range(legend: Legend) -> None:
    for value in (*legend.values, *legend.void_values):
        if not 0 <= value < VOID:
            raise InputError(f'Legend "{legend.name}" has value {value}; label values are 0–254, 255 is void.')
    for color in (legend.void_color, *(c.color for c in legend.classes)):
        if not all(0 <= part <= 255 for part in color):
            raise InputError(f'Legend "{legend.name}" has colour {color}; expected three integers 0–255.')


def _refuse_twins(legend: str, what: str, items: list[Any]) -> None:
    twins = sorted({str(item) for item in items if items.count(item) > 1})
    if twins:
        raise InputError(f'Legend "{legend}" has the {what} {", ".join(twins)} twice. Give each class its own.')
