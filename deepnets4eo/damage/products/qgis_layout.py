"""A print layout of a QGIS project on A4: title, the one sentence, map, legend and scale bar."""

from __future__ import annotations

import uuid
from typing import Any
from xml.etree import ElementTree as ET

PAGE, MAP, LABEL, LEGEND, SCALE_BAR = "65638", "65639", "65641", "65642", "65646"
STEPS = [one * 10**power for power in range(7) for one in (1, 2, 5)]  # of a scale bar, metres
NAME = "Damage map"


def add_layout(root: ET.Element, extent: tuple[float, float, float, float], title: str, sentence: str) -> None:
    """Add the layout, whose map follows the theme `damage`. extent : left, bottom, right and top, metres."""
    layout = ET.SubElement(ET.SubElement(root, "Layouts"), "Layout", name=NAME, units="mm", printResolution="300")
    _item(ET.SubElement(layout, "PageCollection"), PAGE, (0, 0, 297, 210))
    left, bottom, right, top = _widened(extent, 200 / 174)
    map_item = _item(
        layout, MAP, (8, 28, 200, 174), followPreset="true", followPresetName="damage", frame="true", mapRotation="0"
    )
    corners = {"xmin": left, "ymin": bottom, "xmax": right, "ymax": top}
    ET.SubElement(map_item, "Extent", {name: repr(value) for name, value in corners.items()})
    ET.SubElement(map_item, "LayerSet")
    for text, box in ((title, (8, 6, 281, 9)), (sentence, (8, 16, 281, 9))):
        _item(layout, LABEL, box, labelText=text, htmlState="0")
    of_map = map_item.attrib["uuid"]
    _item(layout, LEGEND, (214, 28, 75, 120), map_uuid=of_map, title="", resizeToContents="1", legendFilterByAtlas="0")
    step = max(each for each in STEPS if each <= max((right - left) / 8, 1))
    _item(
        layout, SCALE_BAR, (214, 188, 75, 14), mapUuid=of_map, style="Single Box", unitType="meters", unitLabel="m", numSegments="2",
        numSegmentsLeft="0", numUnitsPerSegment=str(step), numMapUnitsPerScaleBarUnit="1", segmentSizeMode="0", height="3",
    )  # fmt: skip


def _item(parent: ET.Element, kind: str, box: tuple[float, float, float, float], **more: str) -> ET.Element:
    """An item of a page; box : left, top, width and height in millimetres."""
    left, top, width, height = box
    name = f"{{{uuid.uuid5(uuid.NAMESPACE_OID, f'{kind} {box}')}}}"  # two runs of one job write the same bytes
    common: dict[str, Any] = {
        "type": kind, "uuid": name, "templateUuid": name, "position": f"{left},{top},mm", "positionOnPage": f"{left},{top},mm",
        "size": f"{width},{height},mm", "referencePoint": "0", "itemRotation": "0", "visibility": "1", "opacity": "1",
    }  # fmt: skip
    return ET.SubElement(parent, "LayoutItem", {**common, **more})


def _widened(extent: tuple[float, float, float, float], ratio: float) -> tuple[float, float, float, float]:
    """The extent around the same middle with a ratio of width to height."""
    left, bottom, right, top = extent
    x, y, width, height = (left + right) / 2, (bottom + top) / 2, right - left, top - bottom
    width, height = max(width, height * ratio), max(height, width / ratio)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
