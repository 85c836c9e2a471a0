"""The classes of a labelling: values, names, colours, aliases, and void; and the quantity that a map measures with or without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from deepnets4eo.cards.catalog import CardKind
from deepnets4eo.cards.quantity import Quantity
from deepnets4eo.display import MAX_NAMES, ColorRow, Summary, WithSummary, count_text, list_and_count, list_names
from deepnets4eo.errors import InputError, LabelError, Reading, check_choice, name_hint
from deepnets4eo.files import parse_json, read_yaml
from deepnets4eo.options import Unknown, normalise_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VOID = 255
NEEDED = {"name", "classes"}  # keys of a legend card
KNOWN = NEEDED | {"title", "source", "void_color", "void_values", "void_names", "remaps", "file_values", "quantity"}
ROWS = 64  # of one pass, whose keys stay in the processor's cache: twice as fast as the whole image
CHUNK_PX = 1 << 18  # pixels counted at once
LOSSY, FLAT = 48, 32  # how far lossy compression moves colours, of 255; masks without it have fewer colours
MAX_COMPARED = 1 << 16  # colours that are not in a legend

Color = tuple[int, int, int]
ColorValues = tuple[tuple[Color, int], ...]


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

    Raises InputError if there is neither class nor quantity, if two classes share a value, name or colour, and for values
    out of range.

    Parameters
    ----------
    name, title, source : name of the legend, the legend in words, and its origin
    classes : the classes in order
    void_color : (R, G, B) 0–255
    void_values, void_names : label values that files use for void in addition to 255, and words for void in vector files
    remaps : name of another legend → class here → class there, if the names differ
    file_values : value in files → label value that it means, as 255 → 1 of masks
    quantity : what a network estimates in addition to the classes, or instead of them, such as heights in metres

    Examples
    --------
    >>> isprs = Legend.load("isprs")
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
    quantity: Quantity | None = None

    def __post_init__(self) -> None:
        if not self.classes and self.quantity is None:
            raise InputError(f'Legend "{self.name}" has no classes; it needs one at least. Add them under "classes".')
        _check_byte_range(self)
        _check_unique(self.name, "value", [c.value for c in self.classes] + list(self.void_values))
        _check_unique(self.name, "color", [c.color for c in self.classes] + [self.void_color])
        words = [w for c in self.classes for w in {normalise_name(n) for n in (c.name, *c.aliases)}]
        _check_unique(self.name, "name", words + [normalise_name(n) for n in self.void_names])

    @classmethod
    @Reading.of_source("Is it the right file? Correct it, or write it again.")
    def load(cls, source: str | Path) -> Legend:
        """Read a legend card by its name in the catalog (`Legend.available()`) or the path of a YAML file."""
        path = CardKind.LEGEND.path(source)
        return cls.from_dict(read_yaml(path), where=str(path))

    @staticmethod
    def available() -> list[str]:
        """Return the names of the legends that come with the toolbox."""
        return CardKind.LEGEND.names

    @classmethod
    def from_dict(cls, card: Mapping[str, Any], where: str = "legend") -> Legend:
        """Return the legend of a mapping as `to_dict` writes it; InputError names a missing or an unknown key."""
        values = _parse_card(card, where)
        classes = tuple(LegendClass(**entry) for entry in values.pop("classes"))
        return cls(classes=classes, **values)

    @classmethod
    def from_tags(cls, tags: Mapping[str, str], where: str = "the raster") -> Legend | None:
        """Return the legend in the tag LEGEND of a label raster, or None without the tag. InputError names `where` a wrong legend is from."""
        if "LEGEND" not in tags:
            return None
        name = f"the tag LEGEND of {where}"
        try:
            return cls.from_dict(parse_json(tags["LEGEND"], name), where=name)
        except InputError as error:
            raise InputError(f"{error} Name its legend yourself.") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML, JSON and raster tags."""
        card: dict[str, Any] = {"name": self.name, "title": self.title, "source": self.source}
        card["void_color"] = list(self.void_color)
        card["classes"] = [
            {"value": c.value, "name": c.name, "color": list(c.color), "aliases": list(c.aliases)} for c in self.classes
        ]
        optional: dict[str, Any] = {"void_values": list(self.void_values), "void_names": list(self.void_names)}
        optional_remaps = {name: dict(remap) for name, remap in self.remaps.items()}
        optional |= {"remaps": optional_remaps, "file_values": dict(self.file_values)}
        if self.quantity is not None:
            optional["quantity"] = self.quantity.to_dict()
        return card | {k: v for k, v in optional.items() if v}

    @property
    def num_classes(self) -> int:
        """Number of classes, without void."""
        return len(self.classes)

    @property
    def num_channels(self) -> int:
        """Return the number of channels of a network: one per class, plus the channels of the quantity."""
        return self.num_classes + (0 if self.quantity is None else self.quantity.num_channels)

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
        """Return (K, 3) uint8, the colours in order."""
        return np.array([c.color for c in self.classes], np.uint8)

    def index(self, name: str) -> int:
        """Return the class index (0 … K − 1) of a name or alias; LabelError proposes the nearest name."""
        key = normalise_name(name)
        for class_index, member in enumerate(self.classes):
            if key in {normalise_name(n) for n in (member.name, *member.aliases)}:
                return class_index
        hint = name_hint(name, self.names, "Use one of these.")
        raise LabelError(f'"{name}" is no class of legend "{self.name}", which has {", ".join(self.names)}. {hint}')

    def value(self, name: str) -> int:
        """Return the label value of a name or alias; 255 for the legend's words for void."""
        if normalise_name(name) in {normalise_name(n) for n in ("void", *self.void_names)}:
            return VOID
        return self.classes[self.index(name)].value

    def encode(self, image: np.ndarray, unknown: Unknown = "error") -> np.ndarray:
        """Convert colours (3, H, W) uint8 to label values (H, W) uint8; the void colour becomes 255.

        unknown : "error" or "void", for colours that the legend lacks. Memory: the output and 16 MiB. LabelError
        lists such colours with their counts."""
        check_choice("unknown", unknown, get_args(Unknown))
        colors = {c.color: c.value for c in self.classes} | {self.void_color: VOID}
        if unknown == "void":
            return _color_values(image, tuple(colors.items()), VOID)
        marker = next((v for v in range(254, -1, -1) if v not in self.values), VOID)
        labels = _color_values(image, tuple(colors.items()), marker)
        others = labels == marker
        if marker == VOID:  # 255 classes leave no value of its own for unknown colours
            others &= (image != np.array(self.void_color, np.uint8)[:, None, None]).any(axis=0)
        if others.any():
            strange = _count_colors(image, others)
            raise LabelError(
                f'{len(strange)} colours are not in legend "{self.name}": {_list_counts(strange)}. '
                f"Expected {', '.join(f'{c.name} {c.color}' for c in self.classes)} or void {self.void_color}. "
                + (
                    colour_problem(strange, list(colors), labels.size)
                    or 'Choose the legend that has them ("deepnets4eo datasets --legends" lists all).'
                )
            )
        return labels

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Convert label values (H, W) to colours (3, H, W) uint8; void and unknown values get the void colour."""
        table = np.empty((3, 256), np.uint8)
        table[:] = np.array(self.void_color, np.uint8)[:, None]
        table[:, list(self.values)] = self.colors.T
        if labels.dtype != np.uint8:
            labels = np.where((labels >= 0) & (labels < VOID), labels, VOID)
        return table[:, labels]

    def from_file(self, written: np.ndarray) -> np.ndarray:
        """Return a copy of a file's values (integers of any shape), with the values of `file_values` as label values."""
        labels = written.copy()
        for stored, value in self.file_values.items():
            labels[written == stored] = value  # compared with what the file holds: two values may change places
        return labels

    def check(self, labels: np.ndarray, where: str = "") -> None:
        """Raise LabelError if `labels` (integers of any shape) have a value that is neither a class nor void."""
        known = {*self.values, *self.void_values, VOID}
        strange = {value: count for value, count in _count_values(labels).items() if value not in known}
        if strange:
            raise LabelError(
                f'{f"{where} holds" if where else "The labels hold"} values that are not in legend "{self.name}": {_list_counts(strange)}. '
                f"Expected {', '.join(f'{c.value} {c.name}' for c in self.classes)} or void {VOID}. "
                f'Choose the legend that has them ("deepnets4eo datasets --legends" lists all).'
            )

    def remap_to(self, other: Legend, missing: Unknown = "error") -> np.ndarray:
        """Return the look-up table (256,) uint8 from this legend's label values to another legend's, by name.

        A class without counterpart raises LabelError, or becomes void with missing="void"."""
        check_choice("missing", missing, get_args(Unknown))
        lookup = np.full(256, VOID, np.uint8)
        explicit = {normalise_name(k): v for k, v in self.remaps.get(other.name, {}).items()}
        lost = []
        for member in self.classes:
            names = (explicit.get(normalise_name(member.name), member.name), *member.aliases)
            target = next((v for v in (other._value_or_none(n) for n in names) if v is not None), None)
            if target is None:
                lost.append(member.name)
            else:
                lookup[member.value] = target
        if lost and missing == "error":
            raise LabelError(
                f'Classes {", ".join(lost)} of legend "{self.name}" have no counterpart in "{other.name}" '
                f"({', '.join(other.names)}). Map them to void, or name their counterpart under remaps in the card."
            )
        return lookup

    def to_index(self) -> np.ndarray:
        """Return the (256,) uint8 look-up table from label values to class indices; 255 for all else."""
        lookup = np.full(256, VOID, np.uint8)
        lookup[list(self.values)] = np.arange(self.num_classes)
        return lookup

    def from_index(self) -> np.ndarray:
        """Return the (256,) uint8 look-up table from class indices to label values; 255 for all else."""
        lookup = np.full(256, VOID, np.uint8)
        lookup[: self.num_classes] = self.values
        return lookup

    def color_table(self) -> dict[int, tuple[int, int, int, int]]:
        """Return label value → (R, G, B, alpha), as GDAL writes it into a raster; void is transparent."""
        return {c.value: (*c.color, 255) for c in self.classes} | {VOID: (*self.void_color, 0)}

    def category_names(self) -> dict[int, str]:
        """Return label value → class name, void included."""
        return {c.value: c.name for c in self.classes} | {VOID: "void"}

    def qml(self) -> str:
        """Return the legend as a QGIS style (paletted raster renderer, band 1)."""
        return _qgis_style(self.color_table(), self.category_names())

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the colours and names of the classes, and void; returns the Axes, by default the Axes of a new figure."""
        from deepnets4eo.display import color_patches, drawn_text, make_axes

        entries = [*((c.color, f"{c.value} {c.name}") for c in self.classes), (self.void_color, f"{VOID} void")]
        axes = make_axes(axes, size_in=(3.0, 0.6 + 0.25 * len(entries)))
        axes.legend(handles=color_patches(entries), loc="upper left", frameon=False, title=drawn_text(self.name))
        axes.set_axis_off()
        return axes

    def _summary(self) -> Summary:
        names = list_names([f"{c.value} {c.name}" for c in self.classes], MAX_NAMES)
        rows = [ColorRow(c.color, (str(c.value), c.name)) for c in self.classes]
        head = {"classes": f"{count_text(self.num_classes, 'class', 'classes')} ({names})"}
        rows.append(ColorRow(self.void_color, (str(VOID), "void")))
        return Summary(f"Legend {self.name}", head, colors=rows, in_colors="classes")

    def _value_or_none(self, name: str) -> int | None:
        try:
            return self.value(name)
        except LabelError:
            return None


def _list_counts(counts: Mapping[Any, int], most: int = 10) -> str:
    """Return the keys with the highest counts, and their counts, in words."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return list_and_count([f"{key} ({count} px)" for key, count in ordered], most)


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


def _parse_card(card: Any, where: str) -> dict[str, Any]:
    """Return the arguments of a Legend from plain values, or raise InputError."""
    _check_keys(card, NEEDED, KNOWN, where)
    return {
        "name": str(card["name"]),
        "title": str(card.get("title", "")),
        "source": str(card.get("source", "")),
        "classes": [_class(item, where) for item in _list_of(object, card, "classes", where)],
        "void_color": _color(card.get("void_color", (0, 0, 0)), where),
        "void_values": tuple(_list_of(int, card, "void_values", where)),
        "void_names": tuple(_list_of(str, card, "void_names", where)),
        "remaps": _remaps(card.get("remaps") or {}, where),
        "file_values": _file_values(card.get("file_values") or {}, where),
        "quantity": Quantity.from_dict(card["quantity"], where) if card.get("quantity") else None,
    }


def _class(item: Any, where: str) -> dict[str, Any]:
    _check_keys(item, {"value", "name", "color"}, {"value", "name", "color", "aliases"}, where)
    if not isinstance(item["value"], int):
        raise InputError(f"{where}: class {item['name']} has value {item['value']!r}, expected an integer 0–254.")
    if not str(item["name"]).isprintable():
        raise InputError(f"{where}: the class name {item['name']!r} holds control characters. Write it without.")
    aliases = tuple(_list_of(str, item, "aliases", where))
    return {**item, "name": str(item["name"]), "color": _color(item["color"], where), "aliases": aliases}


def _list_of(kind: type, card: Mapping[str, Any], key: str, where: str) -> list[Any]:
    items = card.get(key) or []
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, kind) for item in items):
        raise InputError(f"{where}: {key} is {items!r}, expected a list. Write it as [a, b], strings in quotes.")
    return list(items)


def _remaps(value: Any, where: str) -> dict[str, dict[str, str]]:
    if not isinstance(value, Mapping) or not all(isinstance(names, Mapping) for names in value.values()):
        raise InputError(f"{where}: remaps is {value!r}, expected {{other legend: {{own class: its class}}}}.")
    return {str(other): {str(name): str(its) for name, its in names.items()} for other, names in value.items()}


def _file_values(value: Any, where: str) -> dict[int, int]:
    try:
        return {int(stored): int(label) for stored, label in dict(value).items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: file_values is {value!r}, expected {{value in files: label value}}.") from error


def _color(value: Any, where: str) -> Color:
    if not isinstance(value, (list, tuple)) or len(value) != 3 or not all(isinstance(v, int) for v in value):
        raise InputError(f"{where}: colour {value!r} is not three integers. Write it as [R, G, B], each 0–255.")
    return value[0], value[1], value[2]


def _check_keys(card: Any, needed: set[str], known: set[str], where: str) -> None:
    if not isinstance(card, Mapping):
        raise InputError(f"{where}: got {type(card).__name__}, expected a mapping with {', '.join(sorted(needed))}.")
    for key in needed - set(card):
        raise InputError(f'{where} has no "{key}"; a legend needs {", ".join(sorted(needed))}. Add it.')
    for key in set(card) - known:
        raise InputError(f'{where} has an unknown key "{key}". {name_hint(key, sorted(known))}')


def _color_values(image: np.ndarray, colors: ColorValues, unknown: int) -> np.ndarray:
    """Return (H, W) values of the colours of an image (3, H, W), `unknown` for others. Memory: a table of 16 MiB."""
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != np.uint8:
        raise LabelError(f"Got colours {image.shape} {image.dtype}, expected (3, H, W) uint8. Read them as RGB bytes.")
    table = _table(colors, unknown)
    values = np.empty(image.shape[1:], np.uint8)
    for row in range(0, image.shape[1], ROWS):
        keys = _keys(image[:, row : row + ROWS])
        # keys are below 2**24 by construction; "clip" spares NumPy the range check and a copy
        np.take(table, keys, out=values[row : row + ROWS], mode="clip")
    return values


def colour_problem(strange: Mapping[Color, int], known: Sequence[Color], pixels: int) -> str:
    """Return why masks have colours that no class has if their pattern shows the reason; else "".

    strange : colour → number of pixels."""
    colours, counts = np.array(list(strange)[:MAX_COMPARED]), np.array(list(strange.values())[:MAX_COMPARED])
    far = np.abs(colours[:, None] - np.array(known)).max(axis=2).min(axis=1)
    if len(strange) > FLAT and counts[far <= LOSSY].sum() > 0.5 * counts.sum():
        return (
            f"Most of them lie within {LOSSY} of a class's colour, as lossy compression (JPEG) leaves them: nearest colours are no labels at "
            "borders. Get the masks as PNG."
        )
    if len(strange) <= FLAT and sum(strange.values()) > 0.5 * pixels:
        return (
            "They are few, and most pixels have them: the classes are listed with other colours than the masks have. Write a legend with the "
            'colours of the masks, or choose the one that has them ("deepnets4eo datasets --legends" lists all).'
        )
    return ""


def _count_colors(image: np.ndarray, where: np.ndarray) -> dict[Color, int]:
    """Return the colours (R, G, B) of the pixels where `where` (H, W) bool is True, each with its count."""
    keys, counts = np.unique(_keys(image[:, where]), return_counts=True)
    return {
        (int(key) >> 16, int(key) >> 8 & 255, int(key) & 255): int(count)
        for key, count in zip(keys, counts, strict=True)
    }


def _count_values(labels: np.ndarray) -> dict[int, int]:
    """Return the values (integers, any shape) with their counts; counting bytes is 30 times faster than sorting."""
    if labels.dtype != np.uint8:
        values, sums = np.unique(labels, return_counts=True)
        return {int(value): int(count) for value, count in zip(values, sums, strict=True)}
    counts = np.zeros(256, np.int64)
    flat = labels.ravel()
    for start in range(0, flat.size, CHUNK_PX):  # bincount widens what it counts to 8 bytes
        counts += np.bincount(flat[start : start + CHUNK_PX], minlength=256)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _qgis_style(colors: dict[int, tuple[int, int, int, int]], names: dict[int, str]) -> str:
    """Return a QGIS layer style with the paletted raster renderer on band 1."""
    entries = "\n".join(
        f'        <paletteEntry value="{value}" color="#{r:02x}{g:02x}{b:02x}" alpha="{alpha}" '
        f'label="{escape(names.get(value, str(value)))}"/>'
        for value, (r, g, b, alpha) in sorted(colors.items())
    )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.28" styleCategories="Symbology">\n'
        "  <pipe>\n"
        '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">\n'
        f"      <colorPalette>\n{entries}\n      </colorPalette>\n"
        "    </rasterrenderer>\n"
        "  </pipe>\n"
        "</qgis>\n"
    )


@lru_cache(maxsize=4)
def _table(colors: ColorValues, unknown: int) -> np.ndarray:
    table = np.full(1 << 24, unknown, np.uint8)
    for (red, green, blue), value in colors:
        table[red << 16 | green << 8 | blue] = value
    table.flags.writeable = False
    return table


def _keys(image: np.ndarray) -> np.ndarray:
    """Return (…) uint32, red << 16 | green << 8 | blue; writing bytes is twice as fast as shifting."""
    keys = np.zeros((*image.shape[1:], 4), np.uint8)
    for byte, band in zip((2, 1, 0), image, strict=True):
        keys[..., byte] = band
    return keys.view("<u4")[..., 0]
