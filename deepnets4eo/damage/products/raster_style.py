"""How QGIS draws an image: its red, green and blue, stretched so that roofs can be seen.

Takes an image layer; returns the `pipe` element of a project. Eight-bit images are drawn as they are; for others a few
windows are read, never the whole image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.grid import Window

if TYPE_CHECKING:
    from deepnets4eo.rasters.scene import Layer

WINDOW_PX = 256
ALONG = 3  # windows along each side
PERCENT = (2, 98)
COLORS = ("red", "green", "blue")


def raster_pipe(image: Layer) -> ET.Element:
    """Red, green and blue by name where the bands are named, else the first three; grey for fewer."""
    names = [name.lower() for name in image.band_names]
    named = set(COLORS) <= set(names)
    bands = [names.index(color) for color in COLORS] if named else [0, 1, 2]
    bands = bands if image.count >= 3 else [0]
    limits = None if image.dtype == np.uint8 else _limits(image)[bands]
    pipe = ET.Element("pipe")
    shared = {"opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    numbers = [str(image.bands[band]) for band in bands]
    if len(bands) == 3:
        kind = {"type": "multibandcolor"} | {f"{color}Band": n for color, n in zip(COLORS, numbers, strict=True)}
        targets = [f"{color}ContrastEnhancement" for color in COLORS]
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


def _limits(image: Layer) -> NDArray[np.float64]:
    """(C, 2): per band, the values that become black and white, from windows spread over the image."""
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
