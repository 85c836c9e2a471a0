"""Pictures of the ground around the shapes of a sample, equally bright in all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.grid import Window, apply_affine, gsd_m
from deepnets4eo.outputs.map_page import render_window, rings_in_pixels, stretch_of, three_bands
from deepnets4eo.rasters import Layer

MIN_M, MIN_PX = 40.0, 64  # side of the ground around a shape
AROUND = 2.2  # times the longer side of its outline
WIDE = 3.0  # times that where more of the surroundings is shown
MAX_PX = 3072  # of the image are read along a side
SHOWN_PX = 800
QUALITY = 90
MEASURED = 24  # chips over which brightness is stretched


class Chips:
    """Images on one grid around shapes (N,), as bright as around the rows (n,). layers : role on the page → image, all on one grid."""

    def __init__(
        self, layers: Mapping[str, Layer], shapes: NDArray[np.object_], rows: Sequence[int], *, min_m: float = MIN_M
    ) -> None:
        self.layers, self._shapes, self._min_m = layers, shapes, min_m
        self.grid = next(iter(layers.values())).grid
        bounds = shapely.bounds(shapes)
        corners = apply_affine(~self.grid.affine, bounds[:, [[0, 1], [2, 1], [0, 3], [2, 3]]])
        self._low, self._high = corners.min(axis=1), corners.max(axis=1)
        self._stretch = {role: self._measure(layer, rows[:MEASURED]) for role, layer in self.layers.items()}

    def window(self, number: int, *, wide: bool = False) -> Window:
        """Return the window of the image around a shape: a square on the ground."""
        row_m, col_m = gsd_m(self.grid)
        across, down = self._high[number] - self._low[number]
        side_m = max(self._min_m, MIN_PX * max(row_m, col_m), AROUND * max(across * col_m, down * row_m))
        side_m *= WIDE if wide else 1
        height, width = (min(MAX_PX, max(1, math.ceil(side_m / step))) for step in (row_m, col_m))
        col, row = (self._low[number] + self._high[number]) / 2
        return Window(round(row - height / 2), round(col - width / 2), height, width)

    def webp(self, role: str, number: int, *, wide: bool = False) -> bytes:
        """Draw the picture of a shape. Memory: six times MAX_PX² pixels."""
        window = self.window(number, wide=wide)
        step_px = -(-max(window.height, window.width) // SHOWN_PX)
        return render_window(self.layers[role], window, step_px, self._stretch[role], QUALITY).webp

    def facts(self, number: int) -> dict[str, Any]:
        """Return the outline of a shape, and left, top, width and height of its chips in pixels of the image, and metres."""
        windows = [self.window(number, wide=wide) for wide in (False, True)]
        col_m = gsd_m(self.grid)[1]
        return {
            "rings": rings_in_pixels(self._shapes[[number]], self.grid),
            "windows": [[window.col, window.row, window.width, window.height] for window in windows],
            "across_m": [window.width * col_m for window in windows] if self.grid.crs is not None else None,
        }

    def _measure(self, layer: Layer, rows: Sequence[int]) -> NDArray[np.float32]:
        """Measure which values become black and white in all chips of an image, by pixels around some shapes."""
        seen = [np.zeros((3, 0))]
        for row in rows:
            data, valid = layer.read(self.window(row))
            seen.append(three_bands(data)[:, valid][:, :: max(1, int(valid.sum()) // 10_000)])
        values = np.concatenate(seen, axis=1)
        return stretch_of(values, np.ones(values.shape[1], bool))
