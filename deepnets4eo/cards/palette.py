"""Colours to small integers by one table look-up, and palettes as QGIS styles.

Takes (3, H, W) uint8 images and colour tables.
Refuses images of other shapes or types."""

from __future__ import annotations

from functools import lru_cache
from xml.sax.saxutils import quoteattr

import numpy as np

from deepnets4eo.errors import LabelError

ROWS = 64  # of one pass, whose keys stay in the processor's cache: twice as fast as the whole image
CHUNK = 1 << 18  # pixels counted at once

ColorValues = tuple[tuple[tuple[int, int, int], int], ...]


def lookup(image: np.ndarray, colors: ColorValues, unknown: int) -> np.ndarray:
    """Returns the value of each pixel's colour, `unknown` where `colors` has none.

    image : (3, H, W) uint8 ; returns (H, W) uint8. Memory: the output, one band of rows, and the 16 MiB table."""
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != np.uint8:
        raise LabelError(f"Got colours {image.shape} {image.dtype}, expected (3, H, W) uint8. Read them as RGB bytes.")
    table = _table(colors, unknown)
    values = np.empty(image.shape[1:], np.uint8)
    for row in range(0, image.shape[1], ROWS):
        keys = _keys(image[:, row : row + ROWS])
        # keys are below 2**24 by construction; "clip" spares NumPy the range check and a copy
        np.take(table, keys, out=values[row : row + ROWS], mode="clip")
    return values


def has_color(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Returns where an image (3, H, W) uint8 has a colour, (H, W) bool."""
    same = image[0] == color[0]
    for band, value in zip(image[1:], color[1:], strict=True):
        same &= band == value
    return same


def count_colors(image: np.ndarray, where: np.ndarray) -> dict[tuple[int, int, int], int]:
    """Returns the colours (R, G, B) of the pixels where `where` (H, W) bool is True, each with its count."""
    keys, counts = np.unique(_keys(image[:, where]), return_counts=True)
    return {
        (int(key) >> 16, int(key) >> 8 & 255, int(key) & 255): int(count)
        for key, count in zip(keys, counts, strict=True)
    }


def count_values(labels: np.ndarray) -> dict[int, int]:
    """Returns the values (integers, any shape) with their counts; counting bytes is 30 times faster than sorting."""
    if labels.dtype != np.uint8:
        values, sums = np.unique(labels, return_counts=True)
        return {int(value): int(count) for value, count in zip(values, sums, strict=True)}
    counts = np.zeros(256, np.int64)
    flat = labels.ravel()
    for start in range(0, flat.size, CHUNK):  # bincount widens what it counts to 8 bytes
        counts += np.bincount(flat[start : start + CHUNK], minlength=256)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def qml(colors: dict[int, tuple[int, int, int, int]], names: dict[int, str]) -> str:
    """Returns a QGIS layer style with the paletted raster renderer on band 1."""
    entries = "\n".join(
        f'        <paletteEntry value="{value}" color="#{r:02x}{g:02x}{b:02x}" alpha="{alpha}" '
        f"label={quoteattr(names.get(value, str(value)))}/>"
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
    """Returns (…) uint32, red << 16 | green << 8 | blue; writing bytes is twice as fast as shifting."""
    keys = np.zeros((*image.shape[1:], 4), np.uint8)
    for byte, band in zip((2, 1, 0), image, strict=True):
        keys[..., byte] = band
    return keys.view("<u4")[..., 0]
