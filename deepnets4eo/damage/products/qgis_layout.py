"""The print layout of a QGIS project: one A4 page with map, legend, scale bar, title, the worst finding and the sources."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from deepnets4eo.damage.products.exchange_formats import clean_text
from deepnets4eo.damage.products.summary import CAVEATS, caveats
from deepnets4eo.outputs import LABELS
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    from deepnets4eo.damage.products.content import DamageMapContent

LAYOUT_NAME = "Damage map"
PAGE, MAP, PICTURE, LABEL, LEGEND, SCALE_BAR = (
    "65638",
    "65639",
    "65640",
    "65641",
    "65642",
    "65646",
)  # kinds of items in QGIS
PAPER = (297, 210)  # A4 landscape; all lengths are millimetres
MAP_BOX, LEGEND_BOX = (8, 37, 206, 158), (217, 37, 72, 120)
NORTH_BOX, SCALE_BOX, SOURCES_BOX = (279, 169, 10, 12), (217, 182, 72, 14), (8, 198, 281, 9)
TITLE_BOX, SENTENCE_BOX, CAUTION_BOX = (8, 6, 281, 8), (8, 14, 281, 10), (8, 24, 281, 12)
SCALE_STEPS = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]  # metres
LONGEST_CAUTION, LONGEST_SENTENCE, LONGEST_SOURCES = 520, 300, 380  # characters that fit in their boxes
RED = (176, 0, 0)
NO_PLACE = (
    "No map is drawn here: the images have no CRS, so that QGIS lays no image under the outlines, and draws these upside down, since rows "
    "count downwards. report.html shows both images and all outlines, and deepnets4eo damage … --also pdf prints them on a sheet.\n\n"
    "For a map in QGIS, give the images a CRS, e.g. with gdal_edit.py -a_srs EPSG:32633 image.tif where a world file has the position, else "
    "with the georeferencer of QGIS, and run the job again."
)
Box = tuple[float, float, float, float]  # left, top, width and height


@dataclass(frozen=True)
class LayoutWords:
    """The texts around the map."""

    title: str
    sentence: str
    caution: str
    sources: str

    @classmethod
    def of(cls, damage_map: DamageMapContent, title: str) -> LayoutWords:
        """Return the headline, the worst finding or the caveats of a map, and its credits."""
        worst = next((finding for finding in damage_map.findings if finding.severity != "note"), None)
        event = damage_map.event
        caution = f"{LABELS[worst.severity].upper()}: {worst.whole}" if worst else " ".join(caveats(damage_map))
        sources = [line for line in event.lines if line.startswith(("Date", "Sensor", "Producer"))]
        credit = event.credit or "not given; --event credit=… names it"
        sources += [f"Images and outlines: {credit}", f"deepnets4eo {__version__}, {CAVEATS[0].lower()}"]
        return cls(*map(clean_text, (title, damage_map.headline(), caution, ". ".join(sources))))


def print_layout(extent: Box | None, words: LayoutWords, legend: Sequence[ET.Element], theme: str) -> ET.Element:
    """Return the layout, whose map follows a theme.

    extent : left, bottom, right and top, metres; without a CRS None, and the page states why it has no map
    legend : nodes of the layers that it names
    """
    layout = ET.Element("Layout", name=LAYOUT_NAME, units="mm", printResolution="300")
    _item(ET.SubElement(layout, "PageCollection"), PAGE, (0, 0, *PAPER))
    if extent is None:
        _label(layout, MAP_BOX, NO_PLACE, 11)
    else:
        _add_map(layout, extent, legend, theme)
    _label(layout, TITLE_BOX, words.title, 15, bold=True)
    _label(layout, SENTENCE_BOX, textwrap.shorten(words.sentence, LONGEST_SENTENCE, placeholder=" …"), 10)
    _label(layout, CAUTION_BOX, textwrap.shorten(words.caution, LONGEST_CAUTION, placeholder=" …"), 8, color=RED)
    _label(layout, SOURCES_BOX, textwrap.shorten(words.sources, LONGEST_SOURCES, placeholder=" …"), 7)
    return layout


def _add_map(layout: ET.Element, extent: Box, legend: Sequence[ET.Element], theme: str) -> None:
    """Add the map with its legend, scale bar and north arrow."""
    left, bottom, right, top = _widened(extent, MAP_BOX[2] / MAP_BOX[3])
    map_item = _item(layout, MAP, MAP_BOX, followPreset="true", followPresetName=theme, frame="true", mapRotation="0")
    corners = {"xmin": left, "ymin": bottom, "xmax": right, "ymax": top}
    ET.SubElement(map_item, "Extent", {name: repr(value) for name, value in corners.items()})
    ET.SubElement(map_item, "LayerSet")
    of_map = map_item.attrib["uuid"]
    _add_legend(layout, of_map, legend)
    step = max(metres for metres in SCALE_STEPS if metres <= max((right - left) / 8, 1))
    _item(
        layout, SCALE_BAR, SCALE_BOX, mapUuid=of_map, style="Single Box", unitType="meters", unitLabel="m", numSegments="2",
        numSegmentsLeft="0", numUnitsPerSegment=str(step), numMapUnitsPerScaleBarUnit="1", segmentSizeMode="0", height="3",
    )  # fmt: skip
    _item(
        layout, PICTURE, NORTH_BOX, file="arrows/NorthArrow_02.svg", mapUuid=of_map, northMode="1", northOffset="0", mode="2",
        resizeMode="0", anchorPoint="4", svgFillColor="0,0,0,255", svgBorderColor="0,0,0,255", svgBorderWidth="0.2",
    )  # fmt: skip


def _add_legend(layout: ET.Element, of_map: str, nodes: Sequence[ET.Element]) -> None:
    """Add the legend of only these layers; without its own list, QGIS would fill it with every layer of the project."""
    legend = _item(
        layout, LEGEND, LEGEND_BOX, map_uuid=of_map, title="", resizeToContents="1", legendFilterByAtlas="0", columnCount="1",
        symbolWidth="7", symbolHeight="4", boxSpace="1", lineSpacing="1", columnSpace="2", wrapChar="", fontColor="#000000",
    )  # fmt: skip
    styles = ET.SubElement(legend, "styles")
    for name, points, margins in (
        ("title", 11, {}),
        ("group", 10, {"marginTop": "2"}),
        ("subgroup", 10, {"marginTop": "2"}),
        ("symbol", 9, {"marginTop": "1.5"}),
        ("symbolLabel", 9, {"marginTop": "2", "marginLeft": "2"}),
    ):
        style = ET.SubElement(styles, "style", {"name": name, "alignment": "1", "indent": "0", **margins})
        ET.SubElement(style, "styleFont", description=_font(points), style="")
    tree = ET.SubElement(legend, "layer-tree-group")
    ET.SubElement(tree, "customproperties")
    tree.extend(nodes)


def _label(
    layout: ET.Element, box: Box, text: str, points: int, *, bold: bool = False, color: tuple[int, int, int] = (0, 0, 0)
) -> None:
    label = _item(layout, LABEL, box, labelText=text, htmlState="0", halign="1", valign="32", marginX="0", marginY="0")
    ET.SubElement(label, "LabelFont", description=_font(points, bold=bold), style="")
    red, green, blue = map(str, color)
    ET.SubElement(label, "FontColor", red=red, green=green, blue=blue, alpha="255")


def _font(points: int, *, bold: bool = False) -> str:
    """Return a font as Qt 5 writes it, which Qt 6 reads, too."""
    return f"Sans,{points},-1,5,{75 if bold else 50},0,0,0,0,0"


def _item(parent: ET.Element, kind: str, box: Box, **more: str) -> ET.Element:
    """Add an item to a page and return it."""
    left, top, width, height = box
    name = f"{{{uuid.uuid5(uuid.NAMESPACE_OID, f'{kind} {box}')}}}"  # two runs of one job write the same bytes
    common: dict[str, Any] = {
        "type": kind, "uuid": name, "templateUuid": name, "position": f"{left},{top},mm", "positionOnPage": f"{left},{top},mm",
        "size": f"{width},{height},mm", "referencePoint": "0", "itemRotation": "0", "visibility": "1", "opacity": "1",
    }  # fmt: skip
    return ET.SubElement(parent, "LayoutItem", {**common, **more})


def _widened(extent: Box, ratio: float) -> Box:
    """Return the extent widened around its middle to a ratio of width to height."""
    left, bottom, right, top = extent
    x, y, width, height = (left + right) / 2, (bottom + top) / 2, right - left, top - bottom
    width, height = max(width, height * ratio), max(height, width / ratio)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
