"""Small pictures of a change: the date before and the date itself, around its outline.

Takes a series and an outline; returns WebP bytes and the outline in the picture's pixels.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.grid import Window, transform_shapes
from deepnets4eo.rasters.band_roles import COLOURS, role_indices
from deepnets4eo.tiling.spread import spread_windows

LEAST_PX, MOST_PX = 64, 512  # of the ground that a chip shows
SIDE_PX = 192  # of the picture at most
MARGIN = 1.0  # of the outline's own size, on each side
STRETCH_PERCENT = (1, 99)
OVERVIEW_PX = 900  # longer side of the picture of the whole place at most
STRIP_PX = 1 << 22  # pixels read at a time for it
SAMPLE_PX, SAMPLES = 256, 3
QUALITY = 75


class Chip(NamedTuple):
    """window : pixels of the series. side : of the picture's pixels. outline : in the picture's pixels."""

    window: Window
    height: int
    width: int
    outline: Any


class Chips:
    """Draws chips of a series; the stretch of each date is measured once."""

    def __init__(self, series: ImageSeries) -> None:
        self._series = series
        roles = role_indices(series.band_names)
        names = series.band_names
        self._bands = [0, 1, 2] if len(names) >= 3 else [0, 0, 0]
        if all(colour in roles for colour in COLOURS):
            self._bands = [roles[colour] for colour in COLOURS]
        self._stretch = lru_cache(maxsize=None)(self._measure_stretch)

    def frame(self, shape: Any) -> Chip:
        """What a chip of an outline in the grid's CRS shows."""
        pixels = transform_shapes(~self._series.grid.affine, shape)
        left, top, right, bottom = shapely.bounds(pixels)
        side = min(max(LEAST_PX, (1 + 2 * MARGIN) * max(right - left, bottom - top)), MOST_PX)
        height, width = (min(int(side), length) for length in self._series.shape)
        row = int(min(max((top + bottom - height) / 2, 0), self._series.shape[0] - height))
        col = int(min(max((left + right - width) / 2, 0), self._series.shape[1] - width))
        step = max(1, math.ceil(max(height, width) / SIDE_PX))
        outline = shapely.transform(pixels, lambda xy: (xy - (col, row)) / step)
        return Chip(Window(row, col, height, width), height // step, width // step, outline)

    def webp(self, index: int, chip: Chip) -> bytes:
        """The picture of a date; what is not valid is transparent."""
        return _encode(self._picture(index, chip.window, chip.window.height // chip.height), "WEBP")

    def _picture(self, index: int, window: Window, step: int) -> NDArray[np.uint8]:
        """Red, green, blue and opacity (4, h, w) of every `step`-th pixel of a window."""
        image, valid = self._series.read(index, window)
        image, valid = image[self._bands][:, ::step, ::step], valid[::step, ::step]
        low, high = self._stretch(index)
        colours = np.where(valid, (image - low) / (high - low) * 255, 0).clip(0, 255).astype(np.uint8)
        return np.concatenate([colours, valid[None].astype(np.uint8) * 255])

    def overview(self, index: int) -> tuple[bytes, int]:
        """The whole picture of a date as JPEG, small, and how many pixels one of its pixels stands for. Memory: a strip of rows."""
        height, width = self._series.shape
        step = max(1, math.ceil(max(height, width) / OVERVIEW_PX))
        rows = step * max(1, STRIP_PX // (step * width))
        strips = [
            self._picture(index, Window(row, 0, min(rows, height - row), width), step) for row in range(0, height, rows)
        ]
        return _encode(np.concatenate(strips, axis=1)[:3], "JPEG"), step

    def _measure_stretch(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        pixels = []
        for window in spread_windows(self._series.shape, (SAMPLE_PX, SAMPLE_PX), SAMPLES):
            image, valid = self._series.read(index, window)
            pixels.append(image[self._bands][:, valid][:, ::5])
        values = np.concatenate(pixels, axis=1)
        if not values.shape[1]:
            values = np.zeros((3, 1), np.float32)
        low, high = np.percentile(values, STRETCH_PERCENT, axis=1).astype(np.float32)[:, :, None, None]
        return low, np.maximum(high, low + 1e-6)


def _encode(picture: NDArray[np.uint8], kind: str) -> bytes:
    """A picture (bands, h, w) as a file; kind : WEBP, or JPEG, which is smaller for large ones and has no opacity."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(picture, 0, 2))).save(buffer, kind, quality=QUALITY, method=2)
    return buffer.getvalue()
