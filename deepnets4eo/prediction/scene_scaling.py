"""A scene scaled by its own values, which change from place to place without steps: no borders of tiles.

Takes a scene and the inputs of a network that would scale each tile alone (`segmenters.window_scaling`); returns prepared
images, scaled. Cells of about 512 px are measured once, what lies between their centres is interpolated, so that a pixel is
scaled alike in every tile that shows it. Pixels that are not valid enter no measure.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.window_scaling import LEAST_SPREAD

CELL_PX = 512  # near the side of tiles, whose own values a network would take
STEP_PX = 2  # between the rows and columns that are measured

Interpolation = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]


class SceneScaling:
    """Means of the bands and their common spread over a scene.

    Memory: one cell, and a few numbers for each. Threads may share it.

    Parameters
    ----------
    scene
        The scene.
    inputs
        Of the network.
    """

    def __init__(self, scene: Scene, inputs: InputSpec) -> None:
        self._scene, self._inputs = scene, inputs
        rows, cols = (max(1, round(side / CELL_PX)) for side in scene.shape)
        self._edges = tuple(np.arange(n + 1) * side // n for n, side in zip((rows, cols), scene.shape, strict=True))
        # means, spread, and whether the cell has a valid pixel; 0 where it has none
        self._values = np.zeros((inputs.in_channels + 2, rows, cols), np.float32)
        self._is_measured = np.zeros((rows, cols), bool)
        self._lock = threading.Lock()

    def apply(self, window: Window, prepared: FloatImage, valid: Mask) -> None:
        """Scale an image in place; pixels that are not valid become 0, the mean.

        Parameters
        ----------
        window
            Within the scene.
        prepared
            (C, h, w) float32 of the window, as of `InputSpec.prepare`.
        valid
            (h, w) bool.
        """
        rows, cols = (
            _between(start, length, len(edges) - 1, int(edges[-1]))
            for start, length, edges in zip(window[:2], window[2:], self._edges, strict=True)
        )
        self._measure(rows, cols)
        known = self._interpolate(-1, rows, cols)
        np.maximum(known, np.finfo(np.float32).tiny, out=known)  # 0 where no cell around is valid, nor is the pixel
        for band, image in enumerate(prepared):
            image -= self._interpolate(band, rows, cols) / known
        prepared /= self._interpolate(-2, rows, cols) / known + np.float32(LEAST_SPREAD)
        if not valid.all():
            prepared[:, ~valid] = 0

    def _interpolate(self, plane: int, rows: Interpolation, cols: Interpolation) -> NDArray[np.float32]:
        """(h, w) of one kind of values. By single operations: products of matrices round by their sizes."""
        (above, below, down), (left, right, across) = rows, cols
        cells = self._values[plane]
        by_row = cells[above] * (1 - down[:, None]) + cells[below] * down[:, None]
        return np.asarray(by_row[:, left] * (1 - across) + by_row[:, right] * across)

    def _measure(self, rows: Interpolation, cols: Interpolation) -> None:
        with self._lock:
            for row in range(int(rows[0][0]), int(rows[1][-1]) + 1):
                for col in range(int(cols[0][0]), int(cols[1][-1]) + 1):
                    if not self._is_measured[row, col]:
                        self._values[:, row, col] = self._measure_cell(row, col)
                        self._is_measured[row, col] = True

    def _measure_cell(self, row: int, col: int) -> NDArray[np.float32]:
        (top, bottom), (left, right) = (edges[i : i + 2] for edges, i in zip(self._edges, (row, col), strict=True))
        window = Window(int(top), int(left), int(bottom - top), int(right - left))
        sample = self._scene.read_stored(window, self._inputs.present(self._scene))
        thin = (..., slice(None, None, STEP_PX), slice(None, None, STEP_PX))
        pixels = self._inputs.prepare({name: layer[thin] for name, layer in sample.items()})[:, sample["valid"][thin]]
        if not pixels.size:
            return np.zeros(len(self._values), np.float32)
        means = pixels.mean(axis=1, dtype=np.float64)
        spread = np.sqrt(np.square(pixels - means[:, None]).mean())
        return np.array([*means, spread, 1], np.float32)


def _between(start: int, length: int, cells: int, side: int) -> Interpolation:
    """For pixels start, start + 1, …: the cells whose centres lie around each, and its share of the way, (length,) each."""
    position = np.clip((np.arange(start, start + length) + 0.5) * cells / side - 0.5, 0, cells - 1)
    before = np.floor(position).astype(np.intp)
    return before, np.minimum(before + 1, cells - 1), (position - before).astype(np.float32)
