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
from deepnets4eo.rasters.band_roles import COLOURS
from deepnets4eo.rasters.display import colour_bands

if TYPE_CHECKING:
    from deepnets4eo.rasters.scene import Layer

WINDOW_PX = 256
ALONG = 3  # windows along each side
PERCENT = (2, 98)


def raster_pipe(image: Layer) -> ET.Element:
    """Red, green and blue as the image declares them, else the first three; grey for fewer."""
    bands = [image.bands.index(band) for band in colour_bands(image)]
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
