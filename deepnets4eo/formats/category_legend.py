"""The legend that a label raster states in the words of GDAL: names of categories, or a raster attribute table with names.

ArcGIS, ERDAS, GRASS and ENVI write them, for GeoTIFF in a side file (`.aux.xml`).
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.options import normalise_name

WITHOUT_NAMES = (
    "GTiff",
    "COG",
    "PNG",
    "JPEG",
    "JP2OpenJPEG",
)  # drivers whose files name categories only in a side file
LEGEND_TAG = "LEGEND"
SIDE_FILE = ".aux.xml"
LABEL_VALUES = range(255)  # 255 is void
NAME_USAGE, VALUE_USAGES, COLOUR_USAGES = (
    2,
    (5, 3),
    (6, 7, 8),
)  # GDALRATFieldUsage: name, value or its minimum, red to blue
NAME_COLUMNS = ("class-name", "classname", "class-names", "class", "label", "category")
GOLDEN = 0.618034  # of the circle of hues

Colour = tuple[int, int, int]


class Category(NamedTuple):
    """A category of a raster. colour : (R, G, B) 0–255, None if the attribute table has none"""

    value: int
    name: str
    colour: Colour | None = None


def category_legend(dataset: DatasetReader, title: str) -> dict[str, str]:
    """Return the tag LEGEND of a raster of one band of whole numbers whose categories have names; {} of any other.

    Values beyond 0–254 make no legend of labels. Categories without a name and the nodata value are no classes.
    """
    if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iu":
        return {}
    if dataset.driver in WITHOUT_NAMES and not any(file.endswith(SIDE_FILE) for file in dataset.files):
        return {}
    categories = [category for category in _categories(dataset) if category.name and category.value != dataset.nodata]
    if not categories or any(category.value not in LABEL_VALUES for category in categories):
        return {}
    names = [normalise_name(category.name) for category in categories]
    taken: set[Colour] = set()
    classes = []
    for category, name in zip(categories, names, strict=True):
        distinct = category.name if names.count(name) == 1 else f"{category.name} ({category.value})"
        colour = category.colour
        if colour is None or colour in taken:
            colour = next(hue for hue in _hues(category.value) if hue not in taken)
        taken.add(colour)
        classes.append({"value": category.value, "name": distinct, "color": list(colour)})
    void = next(free for free in ((0, 0, 0), *_hues(0)) if free not in taken)
    name = PurePath(title).stem or title
    return {LEGEND_TAG: json.dumps({"name": name, "title": title, "void_color": list(void), "classes": classes})}


def colour_table(dataset: DatasetReader, band: int) -> dict[int, tuple[int, int, int, int]] | None:
    """Return number → red, green, blue, alpha of a band; None if it has no table, whatever its colour interpretation states."""
    try:
        table: dict[int, tuple[int, int, int, int]] = dataset.colormap(band)
    except ValueError:
        return None
    return table


def _categories(dataset: DatasetReader) -> list[Category]:
    """Return the categories of the first band with the colours of its table, if any."""
    with MemoryFile(ext=".vrt") as file:
        rasterio.shutil.copy(dataset, file.name, driver="VRT")
        band = ElementTree.fromstring(file.read()).find("VRTRasterBand")
    if band is None:
        return []
    table = band.find("GDALRasterAttributeTable")
    rows = [] if table is None else list(_rows(table))
    if not rows:
        rows = [
            Category(value, (item.text or "").strip())
            for value, item in enumerate(band.iterfind("CategoryNames/Category"))
        ]
    table_colours = colour_table(dataset, 1) or {}
    return [
        row if row.colour or row.value not in table_colours else row._replace(colour=table_colours[row.value][:3])
        for row in rows
    ]


def _rows(table: ElementTree.Element) -> Iterator[Category]:
    """Yield the rows of an attribute table that has a column of names; without a column of values, rows are numbered by value."""
    fields = [(item.findtext("Name", ""), int(item.findtext("Usage", "0"))) for item in table.iterfind("FieldDefn")]
    by_usage = {usage: index for index, (_, usage) in reversed([*enumerate(fields)])}
    by_name = {normalise_name(name): index for index, (name, _) in reversed([*enumerate(fields)])}
    names = by_usage.get(NAME_USAGE, next((by_name[name] for name in NAME_COLUMNS if name in by_name), None))
    values = next((by_usage[usage] for usage in VALUE_USAGES if usage in by_usage), by_name.get("value"))
    colours = [by_usage[usage] for usage in COLOUR_USAGES if usage in by_usage]
    if names is None:
        return
    for number, row in enumerate(table.iterfind("Row")):
        cells = [(cell.text or "").strip() for cell in row.iterfind("F")]
        value = number if values is None else round(float(cells[values] or -1))
        parts = [int(cells[index]) for index in colours]  # GDAL makes them whole numbers
        known = len(parts) == 3 and all(0 <= part <= 255 for part in parts)
        yield Category(value, cells[names], (parts[0], parts[1], parts[2]) if known else None)


def _hues(number: int) -> Iterator[Colour]:
    """Yield well separated colours, from another start for each number."""
    for turn in range(2 * len(LABEL_VALUES)):
        red, green, blue = colorsys.hsv_to_rgb(GOLDEN * (number + turn) % 1, 0.75, 0.9)
        yield round(255 * red), round(255 * green), round(255 * blue)
