"""The classes of a labelling: values, names, colours, aliases, and void.

Takes a card (YAML) or classes; converts between colours, label values, class indices and class names.
Refuses colours, values and names that it does not have, and lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from deepnets4eo.cards import legend_card, palette
from deepnets4eo.cards.catalog import legend_path, legends
from deepnets4eo.display.summary import MOST_NAMES, ColorRow, Summary, WithSummary, count_text, list_names
from deepnets4eo.errors import InputError, LabelError, check_choice, name_hint
from deepnets4eo.files import parse_json, read_yaml
from deepnets4eo.options import Unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VOID = 255

Color = tuple[int, int, int]


@dataclass(frozen=True)
class LegendClass:
    """One class: label value (0–254), name, colour (R, G, B 0–255) and further names."""

    value: int
    name: str
    color: Color
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Legend(WithSummary):
    """An ordered list of classes; class index k is channel k of a network and row k of a confusion matrix.

    Parameters
    ----------
    name
        Name of the legend.
    classes
        The classes in order: label value (0–254), name, colour, aliases.
    void_color
        Colour of void, (R, G, B) 0–255.
    void_values
        Label values that files use for void beside 255.
    void_names
        Words for void in vector files.
    title
        The legend in words.
    source
        Where the legend comes from.
    remaps
        Name of another legend → own class → its class, where the names differ.
    file_values
        Value in files → label value that it stands for, as 255 → 1 of masks; 255 is void otherwise.

    Raises
    ------
    InputError
        There is no class, two classes share a value, a name or a colour, or a value is out of range.

    Examples
    --------
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
    file_values: Mapping[int, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.classes:
            raise InputError(f'Legend "{self.name}" has no classes; it needs one at least. Add them under "classes".')
        _check_byte_range(self)
        _check_unique(self.name, "value", [c.value for c in self.classes] + list(self.void_values))
        _check_unique(self.name, "color", [c.color for c in self.classes] + [self.void_color])
        words = [w for c in self.classes for w in {normalise_name(n) for n in (c.name, *c.aliases)}]
        _check_unique(self.name, "name", words + [normalise_name(n) for n in self.void_names])

    @classmethod
    def load(cls, source: str | Path) -> Legend:
        """Reads a legend card by its name in the catalog (`Legend.available()`) or the path of a YAML file."""
        path = legend_path(source)
        return cls.from_dict(read_yaml(path), where=str(path))

    @staticmethod
    def available() -> list[str]:
        """Returns the names of the legends that come with the toolbox."""
        return legends()

    @classmethod
    def from_dict(cls, card: Mapping[str, Any], where: str = "legend") -> Legend:
        """Returns the legend of a mapping as `to_dict` writes it; InputError names a missing or an unknown key."""
        values = legend_card.parse(card, where)
        classes = tuple(LegendClass(**one) for one in values.pop("classes"))
        return cls(classes=classes, **values)

    @classmethod
    def from_tags(cls, tags: Mapping[str, str], where: str = "the raster") -> Legend | None:
        """Returns the legend in the tag LEGEND, which this toolbox writes into label rasters; None without the tag.

        Raises InputError for a tag that cannot be read; the message names `where` it is from."""
        if "LEGEND" not in tags:
            return None
        name = f"the tag LEGEND of {where}"
        try:
            return cls.from_dict(parse_json(tags["LEGEND"], name), where=name)
        except InputError as error:
            raise InputError(f"{error} Name its legend yourself.") from error

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for YAML, JSON and raster tags."""
        card: dict[str, Any] = {"name": self.name, "title": self.title, "source": self.source}
        card["void_color"] = list(self.void_color)
        card["classes"] = [
            {"value": c.value, "name": c.name, "color": list(c.color), "aliases": list(c.aliases)} for c in self.classes
        ]
        optional: dict[str, Any] = {"void_values": list(self.void_values), "void_names": list(self.void_names)}
        optional_remaps = {name: dict(remap) for name, remap in self.remaps.items()}
        optional |= {"remaps": optional_remaps, "file_values": dict(self.file_values)}
        return card | {k: v for k, v in optional.items() if v}

    @property
    def num_classes(self) -> int:
        """Number of classes, without void."""
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
        """Returns the class index (0 … K − 1) of a name or alias; LabelError proposes the nearest name."""
        key = normalise_name(name)
        for class_index, one in enumerate(self.classes):
            if key in {normalise_name(n) for n in (one.name, *one.aliases)}:
                return class_index
        hint = name_hint(name, self.names, "Use one of these.")
        raise LabelError(f'"{name}" is no class of legend "{self.name}", which has {", ".join(self.names)}. {hint}')

    def value(self, name: str) -> int:
        """Returns the label value of a name or alias; 255 for the legend's words for void."""
        if normalise_name(name) in {normalise_name(n) for n in ("void", *self.void_names)}:
            return VOID
        return self.classes[self.index(name)].value

    def encode(self, image: np.ndarray, unknown: Unknown = "error") -> np.ndarray:
        """Converts colours to label values.

        Parameters
        ----------
        image
            (3, H, W) uint8.
        unknown
            "error" raises for colours that the legend does not have; "void" makes them void.

        Returns
        -------
        ndarray
            (H, W) uint8, label values; 255 where the colour is the void colour. Memory: the output and 16 MiB for the
            table of all colours, built once per palette.

        Raises
        ------
        LabelError
            The image has colours that the legend does not have; the message lists them with their counts.
        InputError
            `unknown` is neither "error" nor "void"."""
        check_choice("unknown", unknown, get_args(Unknown))
        colors = {c.color: c.value for c in self.classes} | {self.void_color: VOID}
        if unknown == "void":
            return palette.lookup(image, tuple(colors.items()), VOID)
        marker = next((v for v in range(254, -1, -1) if v not in self.values), VOID)
        labels = palette.lookup(image, tuple(colors.items()), marker)
        others = labels == marker
        if marker == VOID:  # 255 classes leave no value of its own for unknown colours
            others &= ~palette.has_color(image, self.void_color)
        if others.any():
            strange = palette.count_colors(image, others)
            raise LabelError(
                f'{len(strange)} colours are not in legend "{self.name}": {_list_counts(strange)}. '
                f"Expected {', '.join(f'{c.name} {c.color}' for c in self.classes)} or void {self.void_color}. "
                'Choose the legend that has them ("deepnets4eo datasets --legends" lists all).'
            )
        return labels

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Converts label values (H, W) to colours (3, H, W) uint8; void and unknown values get the void colour."""
        table = np.empty((3, 256), np.uint8)
        table[:] = np.array(self.void_color, np.uint8)[:, None]
        table[:, list(self.values)] = self.colors.T
        if labels.dtype != np.uint8:
            labels = np.where((labels >= 0) & (labels < VOID), labels, VOID)
        return table[:, labels]

    def from_file(self, written: np.ndarray) -> np.ndarray:
        """Returns a copy of a file's values (integers of any shape), those of `file_values` as label values."""
        labels = written.copy()
        for stored, own in self.file_values.items():
            labels[written == stored] = own  # compared with what the file holds: two values may change places
        return labels

    def check(self, labels: np.ndarray, where: str = "") -> None:
        """Raises LabelError where `labels` (integers of any shape) have a value that is neither a class nor void."""
        known = {*self.values, *self.void_values, VOID}
        strange = {value: count for value, count in palette.count_values(labels).items() if value not in known}
        if strange:
            raise LabelError(
                f'{f"{where} holds" if where else "The labels hold"} values that are not in legend "{self.name}": {_list_counts(strange)}. '
                f"Expected {', '.join(f'{c.value} {c.name}' for c in self.classes)} or void {VOID}. "
                f'Choose the legend that has them ("deepnets4eo datasets --legends" lists all).'
            )

    def remap_to(self, other: Legend, missing: Unknown = "error") -> np.ndarray:
        """Returns the look-up table from this legend's label values to another's, by name: `lookup[labels]`.

        The table is (256,) uint8, 255 for void. A class without counterpart raises LabelError, or becomes void with
        missing="void"."""
        check_choice("missing", missing, get_args(Unknown))
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
        """Returns the (256,) uint8 look-up table from label values to class indices; 255 for all else."""
        lookup = np.full(256, VOID, np.uint8)
        lookup[list(self.values)] = np.arange(self.num_classes)
        return lookup

    def from_index(self) -> np.ndarray:
        """Returns the (256,) uint8 look-up table from class indices to label values; 255 for all else."""
        lookup = np.full(256, VOID, np.uint8)
        lookup[: self.num_classes] = self.values
        return lookup

    def color_table(self) -> dict[int, tuple[int, int, int, int]]:
        """Returns label value → (R, G, B, alpha), as GDAL writes it into a raster; void is transparent."""
        return {c.value: (*c.color, 255) for c in self.classes} | {VOID: (*self.void_color, 0)}

    def category_names(self) -> dict[int, str]:
        """Returns label value → class name, void included."""
        return {c.value: c.name for c in self.classes} | {VOID: "void"}

    def qml(self) -> str:
        """Returns the legend as a QGIS style (paletted raster renderer, band 1)."""
        return palette.qml(self.color_table(), self.category_names())

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the colours and names of the classes, and void; returns the Axes, by default those of a new figure."""
        from deepnets4eo.display.figures import color_patches, make_axes

        entries = [*((c.color, f"{c.value} {c.name}") for c in self.classes), (self.void_color, f"{VOID} void")]
        axes = make_axes(axes, size_in=(3.0, 0.6 + 0.25 * len(entries)))
        axes.legend(handles=color_patches(entries), loc="upper left", frameon=False, title=self.name)
        axes.set_axis_off()
        return axes

    def _summary(self) -> Summary:
        names = list_names([f"{c.value} {c.name}" for c in self.classes], MOST_NAMES)
        rows = [ColorRow(c.color, (str(c.value), c.name)) for c in self.classes]
        head = {"classes": f"{count_text(self.num_classes, 'class', 'classes')} ({names})"}
        rows.append(ColorRow(self.void_color, (str(VOID), "void")))
        return Summary(f"Legend {self.name}", head, colors=rows, in_colors="classes")

    def _value_or_none(self, name: str) -> int | None:
        try:
            return self.value(name)
        except LabelError:
            return None


def normalise_name(name: str) -> str:
    """Returns a name in lower case, with hyphens for spaces and underscores."""
    return "-".join(name.lower().replace("_", " ").replace("-", " ").split())


def _list_counts(counts: Mapping[Any, int], most: int = 10) -> str:
    """Returns the most frequent keys with their counts, in words."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    text = ", ".join(f"{key} ({count} px)" for key, count in ordered[:most])
    return text + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def _check_byte_range(legend: Legend) -> None:
    for value in (*legend.values, *legend.void_values):
        if not 0 <= value < VOID:
            raise InputError(f'Legend "{legend.name}" has value {value}; label values are 0–254, 255 is void.')
    for color in (legend.void_color, *(c.color for c in legend.classes)):
        if not all(0 <= band <= 255 for band in color):
            raise InputError(f'Legend "{legend.name}" has colour {color}; expected three integers 0–255.')


def _check_unique(legend: str, what: str, items: list[Any]) -> None:
    duplicates = sorted({str(item) for item in items if items.count(item) > 1})
    if duplicates:
        raise InputError(f'Legend "{legend}" has the {what} {", ".join(duplicates)} twice. Give each class its own.')
