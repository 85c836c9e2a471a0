"""The legend of masks that come without one, from the colours or values that are in them.

Names come from the legend in the tags, a legend of the catalog, or answers of the user; else they are `class-1`, `class-2` …
"""

from __future__ import annotations

import colorsys
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.cards import VOID, Legend, LegendClass
from deepnets4eo.display import list_and_count
from deepnets4eo.errors import InputError
from deepnets4eo.grid import LABELS_READ_PX, blocks
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer

log = logging.getLogger(__name__)

Key = tuple[int, ...]  # a colour (R, G, B), or a value (v,)
Answer = Callable[[str], str]  # question → answer, "" to keep what was proposed

MAX_CLASSES = VOID  # label values are 0–254
MAX_LISTED = 5  # in a message
MAX_ASKED = 20  # names; beyond them the file is quicker to edit
MAX_JPEG_COLOURS = 32  # JPEG makes hundreds of colours at borders
JPEG = (".jpg", ".jpeg")
MIN_TELLING = 3  # colours other than black and white by which a legend of the catalog is recognised
MAX_BLENDED_SHARE = 0.003  # of the pixels: blended borders have less for each colour, most classes more
MIN_BLENDED = 3  # colours between others; one or two may be rare classes
MAX_BESIDE = 3.0  # of 255, by rounding of blends
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
VOID_COLOURS = (BLACK, (255, 0, 255), (1, 1, 1), (254, 0, 254))
GOLDEN = 0.618034  # of the circle of hues: neighbouring numbers get distant colours


@dataclass(frozen=True)
class MaskContent:
    """Content of masks: pixels of each colour or value, the colours of a palette, and a file that has each."""

    pixels: Mapping[Key, int]
    files: Mapping[Key, str]
    palette: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    stated: Legend | None = None  # by the tags of all files
    hidden: Mapping[float, int] = field(default_factory=dict)  # declared nodata value → pixels that have it
    masked: int = 0  # further pixels without data

    @property
    def in_colours(self) -> bool:
        """Return whether the masks are colours instead of values."""
        return any(len(key) == 3 for key in self.pixels)

    @property
    def is_binary(self) -> bool:
        """Return whether the masks are 0 and 255, so that 255 is a class instead of void."""
        return set(self.pixels) == {(0,), (VOID,)}

    def share(self, key: Key) -> float:
        """Share of the pixels, 0 to 1."""
        return self.pixels.get(key, 0) / self.total

    @property
    def total(self) -> int:
        """Number of pixels, with those that count as nodata."""
        return sum(self.pixels.values()) + sum(self.hidden.values()) + self.masked

    @property
    def hidden_note(self) -> str | None:
        """Return the message about values that masks declare as nodata although they may be classes; None without such values."""
        if not self.hidden:
            return None
        listed = " and ".join(
            f"{value:g} ({count / self.total:.1%} of the pixels)" for value, count in self.hidden.items()
        )
        return (
            f"The masks declare {listed} as nodata, as gdal_rasterize and QGIS do: these pixels are void and not learnt from. If it is a class, "
            f"set data.nodata={{labels: {VOID}}}."
        )

    @property
    def blended_note(self) -> str | None:
        """Return the message about rare colours or values like those that resampling makes at borders; None without such."""
        rare = [key for key in self.pixels if self.share(key) < MAX_BLENDED_SHARE]
        frequent = [key for key in self.pixels if key not in rare]
        blended = [key for key in rare if _is_between(key, frequent)]
        if len(blended) < MIN_BLENDED or (not self.in_colours and len(blended) <= len(frequent)):
            return None
        together = sum(map(self.share, blended))
        what = "colours" if self.in_colours else "values"
        return (
            f"{len(blended)} of the {len(self.pixels)} {what} in the masks have less than {MAX_BLENDED_SHARE:.1%} of the pixels each "
            f"({together:.1%} together) and are between others, e.g. {key_text(blended[0])} in {self.files[blended[0]]}: resampling or smooth "
            f"edges blend borders like that. Each becomes a class. To leave them out, keep only the true classes in the file of the legend, and "
            "train with --set legend=FILE --set data.unknown_labels=void."
        )

    def in_colours_of_palette(self) -> MaskContent:
        """Return the content with the colours of the palette, if any, instead of the indices into it."""
        if not self.palette:
            return self
        pixels: Counter[Key] = Counter()
        for key, count in self.pixels.items():
            pixels[self.palette.get(key[0], BLACK)] += count
        path = next(iter(self.files.values()), "")
        return MaskContent(dict(pixels), dict.fromkeys(pixels, path), {}, self.stated, self.hidden, self.masked)

    def unknown_to(self, legend: Legend) -> list[Key]:
        """Return the colours or values that a legend has neither as a class nor as void, frequent ones first."""
        colours = {entry.color for entry in legend.classes} | {legend.void_color}
        values = {*legend.values, *legend.void_values, *legend.file_values, VOID}
        return [key for key in self.pixels if key not in colours and (len(key) == 3 or key[0] not in values)]


def _is_between(key: Key, others: Sequence[Key]) -> bool:
    """Return whether a colour or value is on the line between two others, as a blend of them is."""
    colour = np.array(key, float)
    known = np.array([other for other in others if len(other) == len(key)], float).reshape(-1, len(key))
    for first in known:
        along = known - first
        length = np.maximum((along**2).sum(axis=1), 1e-9)
        share = (along @ (colour - first)) / length
        beside = np.abs(first + share[:, None] * along - colour).max(axis=1)
        if ((share > 0) & (share < 1) & (beside <= MAX_BESIDE)).any():
            return True
    return False


def read_masks(files: Sequence[str], nodata: float | None = None) -> MaskContent:
    """Count the colours or values in all masks; indices into palettes that differ count as their colours.

    nodata : value that means no data in all of them, instead of what they declare

    Errors: InputError (no mask has a valid pixel; some have colours and others values; more than 255 of them, or what JPEG leaves
    of colours).
    """
    counted = list(in_order(partial(_count, nodata=nodata), files))
    palettes = [mask.palette for mask in counted]
    shared = palettes[0] if all(palette == palettes[0] for palette in palettes) else {}
    if not shared:
        counted = [mask.in_colours_of_palette() for mask in counted]
    pixels: Counter[Key] = Counter()
    first: dict[Key, str] = {}
    for path, mask in zip(files, counted, strict=True):
        pixels.update(mask.pixels)
        first |= {key: path for key in mask.pixels if key not in first}
    kinds = {len(key): path for key, path in first.items()}
    if len(kinds) != 1:
        raise InputError(
            f"the mask {kinds[1]} has values in one band, {kinds[3]} colours in three. Write all masks in one way."
            if kinds
            else f"no pixel of the {len(files)} masks is valid, e.g. of {files[0]}. Check the masks."
        )
    _check_count(len(pixels), f"up to {files[-1]}")
    stated = counted[0].stated if all(mask.stated == counted[0].stated for mask in counted) else None
    hidden: Counter[float] = Counter()
    for mask in counted:
        hidden.update(mask.hidden)
    return MaskContent(
        dict(pixels.most_common()), first, shared, stated, dict(hidden), sum(mask.masked for mask in counted)
    )


def _count(path: str, nodata: float | None = None) -> MaskContent:
    """Count the colours or values of one mask."""
    layer = Layer.open(path, labels=True, nodata=nodata).in_declared_colours()
    if layer.count not in (1, 3) or (layer.count == 3 and layer.dtype != np.uint8):
        raise InputError(
            f"the mask {path} has {layer.count} bands of {layer.dtype}; expected values in one band, or colours in three of "
            "uint8. Is it an image? Give the folder of the masks to --masks."
        )
    counts: Counter[int] = Counter()
    invalid = 0
    for window in blocks(layer.shape, LABELS_READ_PX):
        data, valid = layer.read(window)
        invalid += int(np.count_nonzero(~valid))
        stored = _whole(data[:, valid], path)
        numbers = stored[0] if len(stored) == 1 else (stored[0] << 16) + (stored[1] << 8) + stored[2]
        for number, count in zip(*np.unique(numbers, return_counts=True), strict=True):
            counts[int(number)] += int(count)
    if Path(path).suffix.lower() in JPEG and len(counts) > MAX_JPEG_COLOURS:
        raise InputError(
            f"the mask {path} is a JPEG with {len(counts)} colours or values: lossy compression changes them at borders. Get the "
            "masks as PNG or TIFF."
        )
    _check_count(len(counts), f"in {path}")
    in_colours = layer.count == 3
    pixels: dict[Key, int] = {
        (code >> 16, code >> 8 & 255, code & 255) if in_colours else (code,): count for code, count in counts.items()
    }
    declared = layer.nodata if nodata is None else None
    may_be_class = declared is not None and 0 <= declared < VOID and invalid > 0
    hidden = {float(declared): invalid} if declared is not None and may_be_class else {}
    return MaskContent(
        pixels, dict.fromkeys(pixels, path), layer.palette or {}, layer.legend, hidden, 0 if hidden else invalid
    )


def _check_count(count: int, where: str) -> None:
    if count > MAX_CLASSES:
        raise InputError(
            f"the masks {where} have {count} colours or values; expected at most {MAX_CLASSES}, one for each class. Are they "
            "images or heights? Give the folder of the masks to --masks."
        )


def _whole(values: np.ndarray, path: str) -> np.ndarray:
    if values.dtype.kind not in "iub" and not (values == np.rint(values)).all():
        raise InputError(
            f"the mask {path} has fractions; expected whole numbers. Write the class of each pixel instead."
        )
    return values.astype(np.int64)


def legend_of_masks(content: MaskContent, name: str, answer: Answer | None) -> Legend:
    """Return a legend with a class for every colour or value, or void if that was the answer.

    Errors: InputError (two answers are the same name, or two colours are to be void).
    """
    if content.stated is not None and not content.unknown_to(content.stated):
        return content.stated
    if (recognised := _recognise(content)) is not None:
        log.info("The colours of the masks are those of the legend %s.", recognised.name)
        return recognised
    if content.blended_note is not None:
        log.warning("%s", content.blended_note)
    keys = sorted(key for key in content.pixels if content.in_colours or content.is_binary or key != (VOID,))
    title = f"{'Colours' if content.in_colours else 'Values'} of the masks"
    return _add_classes(None, keys, content, answer, {"name": name, "title": title})


def extend_legend(legend: Legend, content: MaskContent, answer: Answer) -> Legend:
    """Return a legend with a class, or void, for every colour or value that it lacks, by the answers."""
    return _add_classes(legend, content.unknown_to(legend), content, answer, legend.to_dict())


def check_known(legend: Legend, content: MaskContent, where: str) -> None:
    """Refuse masks with colours or values that a legend lacks. Errors: InputError; where : the file or name of the legend."""
    unknown = content.unknown_to(legend)
    if not unknown:
        return
    counts = {key: content.pixels[key] for key in unknown}
    listed = [f"{key_text(key)} ({counts[key]:,} px, e.g. {content.files[key]})" for key in unknown]
    raise InputError(
        f"the masks have {len(unknown)} colours or values that the legend {where} lacks: {list_and_count(listed, MAX_LISTED)}. Add them to a legend file "
        f"and give it with --set legend=FILE (deepnets4eo datasets --legends {where} prints one to edit), leave them out of "
        "the training with --set data.unknown_labels=void, or leave out --set legend: then the legend is written from the masks."
    )


def describe_legend(legend: Legend, content: MaskContent) -> str:
    """Return a table of the classes: value, name, colour or value in the masks, share of the pixels."""
    stored = {value: number for number, value in legend.file_values.items()}
    rows, void = [("value", "class", "in the masks", "pixels")], 1.0
    for entry in legend.classes:
        key: Key = entry.color if content.in_colours else (stored.get(entry.value, entry.value),)
        rows.append((str(entry.value), entry.name, key_text(key), f"{content.share(key):.1%}"))
        void -= content.share(key)
    rows.append((str(VOID), "void, not learnt from", "", f"{max(void, 0.0):.1%}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def key_text(key: Key) -> str:
    """Return a value as a number, a colour as R,G,B."""
    return ",".join(map(str, key))


def _add_classes(
    start: Legend | None, keys: Sequence[Key], content: MaskContent, answer: Answer | None, card: dict[str, Any]
) -> Legend:
    """Return the legend of a card with further classes, named by the answers or as proposed."""
    classes = list(start.classes) if start else []
    stored = dict(start.file_values) if start else {}
    void: list[Key] = []
    for number, key in enumerate(keys, 1):
        name = _proposed_name(key, number, content)
        if answer is not None and len(keys) <= MAX_ASKED:
            name = (
                answer(f"Class of {key_text(key)}, {content.share(key):.1%} of the pixels (or: void) [{name}]").strip()
                or name
            )
        if name.lower() == "void":
            void.append(key)
            continue
        value = _free_value(key, classes, content)
        if len(key) == 1 and key[0] != value:
            stored[key[0]] = value
        classes.append(LegendClass(value, name, _free_colour(key, classes, content)))
    values = [key[0] for key in void if len(key) == 1]
    stored |= {value: VOID for value in values if not 0 <= value < VOID}
    card |= {
        "classes": [{"value": entry.value, "name": entry.name, "color": entry.color, "aliases": entry.aliases} for entry in classes],
        "void_color": _void_colour(start, [key for key in void if len(key) == 3], classes, content),
        "void_values": [*(start.void_values if start else ()), *(value for value in values if 0 <= value < VOID)],
        "file_values": stored,
    }  # fmt: skip
    return Legend.from_dict(card, "the legend of the masks")


def _proposed_name(key: Key, number: int, content: MaskContent) -> str:
    if content.is_binary or set(content.pixels) <= {(0,), (1,), (VOID,)}:
        return "background" if key == (0,) else "foreground"
    if len(key) == 1 and key[0] < 0:  # "class--1" would be the name of 1
        return f"class-minus-{-key[0]}"
    return f"class-{key[0] if len(key) == 1 else number}"


def _free_value(key: Key, classes: Sequence[LegendClass], content: MaskContent) -> int:
    """Return the value in the mask if a label can have it, else the lowest that no class and no mask has."""
    taken = {entry.value for entry in classes}
    if len(key) == 1 and 0 <= key[0] < VOID and key[0] not in taken:
        return key[0]
    taken |= {other[0] for other in content.pixels if len(other) == 1}
    return next(value for value in range(VOID) if value not in taken)


def _free_colour(key: Key, classes: Sequence[LegendClass], content: MaskContent) -> tuple[int, int, int]:
    """Return the colour in the mask or its palette if no class has it, else a saturated one."""
    if len(key) == 3:
        return key[0], key[1], key[2]
    taken = {entry.color for entry in classes}
    own = content.palette.get(key[0])
    if own is not None and own not in taken:
        return own
    hues = (colorsys.hsv_to_rgb(GOLDEN * (len(classes) + turn) % 1, 0.75, 0.9) for turn in range(2 * VOID))
    made = ((round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in hues)
    return next(colour for colour in made if colour not in taken | set(content.palette.values()))


def _void_colour(
    start: Legend | None, void: Sequence[Key], classes: Sequence[LegendClass], content: MaskContent
) -> tuple[int, ...]:
    """Return the one colour of void: the answer, else the colour so far, else one that is not in the masks."""
    if start is not None and (not void or content.pixels.get(start.void_color)):
        void = [start.void_color, *void]
    if len(void) > 1:
        raise InputError(
            f"{' and '.join(map(key_text, void))} are to be void, but a legend has only one colour of void. Give the others a name, "
            "or leave them out of the training with --set data.unknown_labels=void."
        )
    return next(colour for colour in (*void, *VOID_COLOURS) if colour not in {entry.color for entry in classes})


def _recognise(content: MaskContent) -> Legend | None:
    """Return the smallest legend of the catalog that has all colours of the masks, if enough of them are neither black nor white."""
    if len({key for key in content.pixels if len(key) == 3} - {BLACK, WHITE}) < MIN_TELLING:
        return None
    fitting = [legend for legend in map(Legend.load, Legend.available()) if not content.unknown_to(legend)]
    return min(fitting, key=lambda legend: legend.num_classes, default=None)
