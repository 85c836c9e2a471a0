"""Area on the ground of the pixels of a grid: one figure if it is the same all over a window, else one of each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.grid import Grid, Window, pixel_areas_m2

SQUARE_METRES = 10_000.0  # of a hectare
NODES = (
    33  # along each side of a window, between which areas are interpolated: 0.01 % off across 30 degrees of latitude
)


class GroundArea:
    """Hectares of masks and classes on a grid. Without a CRS a pixel is 1 m².

    Examples
    --------
    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> degrees = GroundArea(GeoBox((60, 1), Affine(1, 0, 0, 0, -1, 60), "EPSG:4326"))  # 60° north to the equator
    >>> both = Window(0, 0, 60, 1)
    >>> [round(degrees.of(both, np.arange(60)[:, None] // 30 == half) / 1e6, 1) for half in (0, 1)]  # Mha
    [26.0, 35.3]
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def pixels(self, window: Window) -> Floats:
        """Return the hectares of the pixels of a window: (1, 1) if they are alike, else (h, w)."""
        rows, cols = (np.linspace(0.5, side - 0.5, min(side, NODES)) for side in (window.height, window.width))
        at = np.stack(np.meshgrid(cols + window.col, rows + window.row), axis=-1)
        hectares = pixel_areas_m2(self.grid, at.reshape(-1, 2)).reshape(at.shape[:2]) / SQUARE_METRES
        if not hectares.size or (hectares == hectares.flat[0]).all():
            return hectares[:1, :1]
        down = np.array([np.interp(np.arange(window.height) + 0.5, rows, column) for column in hectares.T]).T
        return np.array([np.interp(np.arange(window.width) + 0.5, cols, row) for row in down])

    def of(self, window: Window, *masks: Mask) -> Any:
        """Return the hectares of a mask (h, w) of a window, or an array of the hectares of several masks."""
        hectares = self.pixels(window)
        if hectares.shape == (1, 1):
            areas = np.array([np.count_nonzero(mask) for mask in masks]) * hectares[0, 0]
        else:
            areas = np.array([float(hectares[mask].sum()) if hectares.size else 0.0 for mask in masks])
        return areas if len(masks) > 1 else float(areas[0])

    def by_value(self, window: Window, values: NDArray[Any], number: int) -> Floats:
        """Return (number,) hectares of each value 0 … `number` − 1 in (h, w) bytes; higher values count nowhere."""
        hectares = self.pixels(window)
        weights = None if hectares.shape == (1, 1) else np.broadcast_to(hectares, values.shape).ravel()
        areas = np.bincount(values.ravel(), weights, minlength=256)[:number]
        return areas * hectares[0, 0] if weights is None and hectares.size else np.asarray(areas, float)
