"""QGIS styles of the buildings (a light hatch distinguishes grades without colour), the extents and the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from xml.etree import ElementTree as ET

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.products.profiles import CERTAINTY
from deepnets4eo.damage.table.vocabulary import (
    CLASSES,
    GRADES,
    NOT_KNOWN,
    QUARTERS,
    TITLES,
    UNGRADED,
    colors,
    worst_first,
)
from deepnets4eo.grid import Window
from deepnets4eo.rasters import COLOURS

if TYPE_CHECKING:
    from deepnets4eo.rasters import Layer


class QgisDocument:
    """The head of styles and projects of QGIS."""

    doctype: ClassVar[str] = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    version: ClassVar[str] = "3.22.0"


LINE_MM = 0.15  # width of a line of the hatch
Color = tuple[int, ...]


@dataclass(frozen=True)
class _Fill:
    """Outline and hatch of a polygon: widths and distances in millimetres, angles in degrees."""

    outline: str = "solid"
    width: float = 0.46
    angles: tuple[int, ...] = ()
    distance: float = 2.0
    halo: float = 0.0  # width of a white line below the outline


_FILLS = dict(  # denser with severity; the hatch of the worst covers a seventh of the roof
    zip(
        CLASSES,
        (
            _Fill(width=0.3),
            _Fill(angles=(45,), distance=3.0),
            _Fill(angles=(45,), distance=1.6),
            _Fill(width=0.6, angles=(45, 135)),
            *(_Fill(width=width) for width in (0.6, 0.46, 0.4, 0.3)),
            _Fill(outline="dot", width=0.4, halo=0.7),  # grey alone is lost on grey roofs
        ),
        strict=True,
    )
)
_VIOLET = (176, 104, 255)  # no grade's, and seen on dark ground, on roofs and on white paper; grey is lost on images
_MAGENTA, _WHITE = (255, 0, 200), (255, 255, 255)
_EXTENT = _VIOLET, _Fill(outline="dash", width=0.5)
_SHARES = (0.0, 0.05, 0.15, 0.3, 0.5, 1.0)  # of damaged buildings, borders of the steps by which areas are coloured
_REDS = ((254, 240, 217), (253, 204, 138), (252, 141, 89), (227, 74, 51), (179, 0, 0))
_SURE = ((0, 200, 140), (190, 235, 90), (255, 215, 0))  # from very certain to uncertain
_WATER = (0, 170, 255), _Fill(width=0.9, angles=(0,), distance=1.2)
_WITHOUT_OUTLINES = _VIOLET, _Fill(outline="dot", width=0.26, angles=(135,), distance=4.0)


def buildings_style(ranked: int) -> list[ET.Element]:
    """Return the renderer of the buildings, the map tip, and what names a building in lists.

    ranked : number of buildings with a rank, 0 if the grades are known"""
    attr, classes = f"coalesce(\"damage\", '{UNGRADED}')", (*GRADES, *(QUARTERS if ranked else ()), UNGRADED)
    if ranked:
        quarter = f"'{NOT_KNOWN}-' || ceil({len(QUARTERS)} * \"damage_rank\" / {ranked}.0)"
        attr = f"if(\"damage\" = '{NOT_KNOWN}', {quarter}, {attr})"
    renderer = _renderer("categorizedSymbol", attr=attr)
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    palette = colors()
    for number, grade in enumerate(worst_first(classes)):
        category = {"symbol": str(number), "value": grade, "label": TITLES[grade], "render": "true", "type": "string"}
        ET.SubElement(categories, "category", category)
        _add_fill(symbols, str(number), palette[grade], _FILLS[grade])
    tip = ET.Element("mapTip")
    tip.text = (
        '<b>[% coalesce("damage", "status") %]</b><br/>'
        + (
            f'Rank by probable damage: [% "damage_rank" %] of {ranked}'
            if ranked
            else 'P(major or worse): [% round("damage_prob", 2) %]'
        )
        + '<br/>[% "reason" %]'
    )
    expression = ET.Element("previewExpression")
    expression.text = '"id"'
    return [renderer, tip, expression]


def confidence_style(ranked: int) -> ET.Element:
    """Return the renderer of the buildings by the confidence in their grade; buildings without a grade are highlighted.

    ranked : as in `buildings_style`"""
    steps = [
        (f'"confidence" >= {least:g}', f"{word} ({least:.0%} or more)" if least else word) for least, word in CERTAINTY
    ]
    cases = " ".join(f"WHEN {condition} THEN '{label}'" for condition, label in steps)
    tests = ("IS NULL", f"= '{NOT_KNOWN}'") if ranked else ("IS NULL",)
    unknown = " ".join(f"WHEN \"damage\" {test} THEN '{UNGRADED}'" for test in tests)
    renderer = _renderer("categorizedSymbol", attr=f"CASE {unknown} {cases} END")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    drawn = [(label, label, color, _Fill(width=0.5)) for (_, label), color in zip(steps, _SURE, strict=True)]
    drawn.append((UNGRADED, "Damaged or not is not known", _MAGENTA, _Fill(width=0.5, angles=(45,), distance=1.6)))
    for number, (value, label, color, fill) in enumerate(drawn):
        category = {"symbol": str(number), "value": value, "label": label, "render": "true", "type": "string"}
        ET.SubElement(categories, "category", category)
        _add_fill(symbols, str(number), color, fill)
    return renderer


def extent_style() -> ET.Element:
    """Return the renderer of the assessed extent."""
    return _single(*_EXTENT)


def without_outlines_style() -> ET.Element:
    """Return the renderer of imaged ground without outlines."""
    return _single(*_WITHOUT_OUTLINES)


def water_style() -> ET.Element:
    """Return the renderer of buildings in new water."""
    return _single(*_WATER)


def areas_style() -> ET.Element:
    """Return the renderer of areas: five light steps of the share of damaged buildings."""
    renderer = _renderer("graduatedSymbol", attr="share", graduatedMethod="GraduatedColor")
    ranges, symbols = ET.SubElement(renderer, "ranges"), ET.SubElement(renderer, "symbols")
    for number, (low, high, color) in enumerate(zip(_SHARES[:-1], _SHARES[1:], _REDS, strict=True)):
        label = f"{low:.0%} – {high:.0%} of buildings damaged"
        limits = {"lower": f"{low:g}", "upper": f"{high:g}"}
        ET.SubElement(ranges, "range", {**limits, "symbol": str(number), "label": label, "render": "true"})
        symbol = _symbol(symbols, str(number), "fill")
        fill = {"color": _rgba(color, 50), "style": "solid", "outline_color": _rgba(color), "outline_style": "solid"}
        _layer(symbol, "SimpleFill", {**fill, "outline_width": "0.4", "outline_width_unit": "MM"})
    return renderer


def sample_style(answers: Sequence[str]) -> list[ET.Element]:
    """Return the renderer of a sample (unanswered buildings are highlighted), a list of answers, and what names a building in lists."""
    renderer = _renderer("categorizedSymbol", attr="if(coalesce(\"answer\", '') = '', 'open', 'answered')")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, (value, label, color, width) in enumerate(
        (("open", "To look at", _MAGENTA, 0.9), ("answered", "Answered", _WHITE, 0.4))
    ):
        category = {"symbol": str(number), "value": value, "label": label, "render": "true", "type": "string"}
        ET.SubElement(categories, "category", category)
        _add_fill(symbols, str(number), color, _Fill(width=width))
    fields = ET.Element("fieldConfiguration")
    widget = ET.SubElement(ET.SubElement(fields, "field", name="answer"), "editWidget", type="ValueMap")
    options = ET.SubElement(ET.SubElement(widget, "config"), "Option", type="Map")
    values = ET.SubElement(options, "Option", name="map", type="List")
    for answer in answers:
        pair = ET.SubElement(values, "Option", type="Map")
        ET.SubElement(pair, "Option", name=answer, value=answer, type="QString")
    expression = ET.Element("previewExpression")
    expression.text = '"look" || \': \' || "id"'
    return [renderer, fields, expression]


def qml(*elements: ET.Element, categories: str = "Symbology|MapTips") -> str:
    """Return a style of these elements."""
    root = ET.Element("qgis", version=QgisDocument.version, styleCategories=categories, labelsEnabled="0")
    root.extend(elements)
    ET.indent(root)
    return QgisDocument.doctype + ET.tostring(root, encoding="unicode")


def _renderer(kind: str, **attributes: str) -> ET.Element:
    shared = {"forceraster": "0", "symbollevels": "0", "enableorderby": "0"}
    return ET.Element("renderer-v2", {"type": kind, **attributes, **shared})


def _single(color: Color, fill: _Fill) -> ET.Element:
    renderer = _renderer("singleSymbol")
    _add_fill(ET.SubElement(renderer, "symbols"), "0", color, fill)
    return renderer


def _add_fill(symbols: ET.Element, name: str, color: Color, fill: _Fill) -> None:
    """Add a fill symbol: one layer of lines for each angle, under an outline without fill."""
    symbol = _symbol(symbols, name, "fill")
    rgba = _rgba(color)
    for number, angle in enumerate(fill.angles):
        pattern = {
            "angle": str(angle), "distance": f"{fill.distance:g}", "distance_unit": "MM",
            "line_width": f"{LINE_MM:g}", "line_width_unit": "MM", "color": rgba, "offset": "0", "offset_unit": "MM",
        }  # fmt: skip
        layer = _layer(symbol, "LinePatternFill", pattern)
        line = {"line_color": rgba, "line_style": "solid", "line_width": f"{LINE_MM:g}", "line_width_unit": "MM"}
        _layer(_symbol(layer, f"@{name}@{number}", "line"), "SimpleLine", line)
    lines = [(_rgba(_WHITE), "solid", fill.halo)] if fill.halo else []
    for line_color, line_style, width in (*lines, (rgba, fill.outline, fill.width)):
        outline = {
            "color": _rgba(color, 0), "style": "no", "outline_color": line_color, "outline_style": line_style,
            "outline_width": f"{width:g}", "outline_width_unit": "MM", "joinstyle": "bevel",
        }  # fmt: skip
        _layer(symbol, "SimpleFill", outline)


def _symbol(parent: ET.Element, name: str, kind: str) -> ET.Element:
    return ET.SubElement(parent, "symbol", name=name, type=kind, alpha="1", clip_to_extent="1", force_rhr="0")


def _layer(symbol: ET.Element, kind: str, properties: dict[str, str]) -> ET.Element:
    layer = ET.SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    options = ET.SubElement(layer, "Option", type="Map")
    for key, value in properties.items():
        ET.SubElement(options, "Option", name=key, value=value, type="QString")
    for key, value in properties.items():  # QGIS before 3.26 reads these
        ET.SubElement(layer, "prop", k=key, v=value)
    return layer


def _rgba(color: Color, alpha: int = 255) -> str:
    return ",".join(map(str, (*color[:3], alpha)))


WINDOW_PX = 256
ALONG = 3  # windows along each side
PERCENT = (2, 98)


def raster_pipe(image: Layer) -> ET.Element:
    """Return the renderer of a raster: red, green and blue as the image declares them, else the first three bands; grey for fewer."""
    bands = [image.bands.index(band) for band in image.shown_bands]
    limits = None if image.dtype == np.uint8 else _limits(image)[bands]
    pipe = ET.Element("pipe")
    shared = {"opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    numbers = [str(image.bands[band]) for band in bands]
    if len(bands) == 3:
        kind = {"type": "multibandcolor"} | {f"{color}Band": n for color, n in zip(COLOURS, numbers, strict=True)}
        targets = [f"{color}ContrastEnhancement" for color in COLOURS]
    else:
        kind, targets = (
            {"type": "singlebandgray", "grayBand": numbers[0], "gradient": "BlackToWhite"},
            ["contrastEnhancement"],
        )
    renderer = ET.SubElement(pipe, "rasterrenderer", {**kind, **shared})
    if limits is not None:
        for target, (low, high) in zip(targets, limits.tolist(), strict=True):
            stretch = ET.SubElement(renderer, target)
            for name, value in (
                ("minValue", f"{low:g}"),
                ("maxValue", f"{high:g}"),
                ("algorithm", "StretchToMinimumMaximum"),
            ):
                ET.SubElement(stretch, name).text = value
    return pipe


def _limits(image: Layer) -> Floats:
    """Return (C, 2) values that become black and white, from windows spread over the image."""
    height, width = image.shape
    values = []
    for row in np.linspace(0, max(height - WINDOW_PX, 0), ALONG).astype(int):
        for col in np.linspace(0, max(width - WINDOW_PX, 0), ALONG).astype(int):
            data, valid = image.read(Window(int(row), int(col), min(WINDOW_PX, height), min(WINDOW_PX, width)))
            values.append(data[:, valid].astype(float))
    every = np.concatenate(values, axis=1)
    if every.shape[1] == 0:
        return np.tile([0.0, 1.0], (image.count, 1))
    low, high = np.percentile(every, PERCENT, axis=1)
    return np.stack([low, np.maximum(high, low + 1e-6)], axis=1)
