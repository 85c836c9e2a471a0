"""QGIS styles (QML) for the layers of damage.gpkg: colour and hatching, so that grades also differ without colour.

Takes nothing but the grades' colours; returns XML text that QGIS 3 reads.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from deepnets4eo.damage.products.grades import TITLES, colors
from deepnets4eo.damage.vocabulary import CLASSES, GRADES, UNGRADED

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_PATTERNS = dict(  # Qt brush styles: one per grade, denser with severity
    zip(CLASSES, ("no", "b_diagonal", "diagonal_x", "solid", "dense6"), strict=True)
)


def buildings_qml() -> str:
    """Categorised by `damage`, buildings without a grade drawn as not assessed."""
    root = _root()
    renderer = ET.SubElement(
        root,
        "renderer-v2",
        type="categorizedSymbol",
        attr=f"coalesce(\"damage\", '{UNGRADED}')",
        forceraster="0",
        symbollevels="0",
        enableorderby="0",
    )
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    palette = colors()
    for number, grade in enumerate((*reversed(GRADES), UNGRADED)):
        category = {"symbol": str(number), "value": grade, "label": TITLES[grade], "render": "true", "type": "string"}
        ET.SubElement(categories, "category", category)
        width = "0.26" if grade == UNGRADED else "0.46"
        _symbol(symbols, str(number), palette[grade], _PATTERNS[grade], width, "solid")
    ET.SubElement(root, "mapTip").text = (
        '<b>[% coalesce("damage", "status") %]</b><br/>P(major or worse): [% round("damage_prob", 2) %]'
        '<br/>[% "reason" %]'
    )
    ET.SubElement(root, "previewExpression").text = '"id"'
    return _text(root)


def extent_qml() -> str:
    """A dashed outline without fill."""
    return _single((60, 60, 60), "no", "0.5", "dash")


def without_outlines_qml() -> str:
    """Hatched: the image shows the ground, but has no outline."""
    return _single((110, 110, 110), "f_diagonal", "0.26", "dot")


def _single(color: tuple[int, ...], pattern: str, width: str, outline: str) -> str:
    root = _root()
    renderer = ET.SubElement(root, "renderer-v2", type="singleSymbol", forceraster="0", symbollevels="0")
    _symbol(ET.SubElement(renderer, "symbols"), "0", color, pattern, width, outline)
    return _text(root)


def _root() -> ET.Element:
    return ET.Element("qgis", version="3.22.0", styleCategories="Symbology|MapTips", labelsEnabled="0")


def _symbol(symbols: ET.Element, name: str, color: tuple[int, ...], pattern: str, width: str, outline: str) -> None:
    symbol = ET.SubElement(symbols, "symbol", name=name, type="fill", alpha="1", clip_to_extent="1", force_rhr="0")
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
    rgb = ",".join(map(str, color[:3]))
    properties = {
        "color": f"{rgb},190",
        "style": pattern,
        "outline_color": f"{rgb},255",
        "outline_style": outline,
        "outline_width": width,
        "outline_width_unit": "MM",
        "joinstyle": "bevel",
    }
    options = ET.SubElement(layer, "Option", type="Map")
    for key, value in properties.items():
        ET.SubElement(options, "Option", name=key, value=value, type="QString")
    for key, value in properties.items():  # QGIS before 3.26 reads these
        ET.SubElement(layer, "prop", k=key, v=value)


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return _DOCTYPE + ET.tostring(root, encoding="unicode")
