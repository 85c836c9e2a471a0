"""Flat frame for comparing both images: the post grid's pixels in metres (x right, y down).

Refuses layers if only one of them has a CRS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask, Points
from deepnets4eo.errors import GridError
from deepnets4eo.grid import NO_CRS_REMEDY, Grid, Window, apply_affine, gsd_m, transformer
from deepnets4eo.rasters import Layer, without_implausible

GREY_BANDS = 4  # visible and near infrared; more than that is read as every n-th band
SEEN_PX = 512  # sides of what says coarsely where a layer has data
SAME_PX = 0.01
STRAIGHT_PX = 0.05  # a window turned by less than this over its whole side is read as straight
CONTROL = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5)])


def crs_change(source: Grid, target: Grid) -> Callable[[Points], Points]:
    """Return the map from ground coordinates of one grid's CRS to another's; GridError if only one has a CRS."""
    if (source.crs is None) != (target.crs is None):
        raise GridError(f"one image has a CRS and the other has none. {NO_CRS_REMEDY}")
    if source.crs is None or target.crs is None or source.crs == target.crs:
        return lambda points: points
    change = transformer(source.crs.to_wkt(), target.crs.to_wkt())
    return lambda points: np.column_stack(change.transform(points[:, 0], points[:, 1]))


@dataclass(frozen=True)
class MetricFrame:
    """Metres over the post grid: (x, y) = (col · step_col, row · step_row)."""

    grid: Grid
    step_col: float
    step_row: float

    @classmethod
    def of(cls, grid: Grid) -> MetricFrame:
        """Return the frame of a grid."""
        if grid.crs is None:
            a = grid.affine
            return cls(grid, math.hypot(a.a, a.d), math.hypot(a.b, a.e))
        along_row, along_col = gsd_m(grid)
        return cls(grid, along_col, along_row)

    @property
    def to_pixel(self) -> Affine:
        """Frame metres → (col, row) of the post grid."""
        return Affine.scale(1.0 / self.step_col, 1.0 / self.step_row)

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height in metres."""
        return self.grid.shape[1] * self.step_col, self.grid.shape[0] * self.step_row


class LayerSampler:
    """Reads grey values of a layer in affine windows of a frame, within which the map is affine (to 3 cm over 1 km)."""

    def __init__(self, layer: Layer, frame: MetricFrame) -> None:
        step = max(1, math.ceil(layer.count / GREY_BANDS)) if layer.count > GREY_BANDS else 1
        self._layer = without_implausible(layer.subset(layer.bands[::step]) if step > 1 else layer)
        self._frame = frame
        pixel_for_pixel = (layer.grid.crs is None) != (frame.grid.crs is None)
        if pixel_for_pixel and layer.shape != tuple(frame.grid.shape):
            raise GridError(
                f"{layer.source} has {'no CRS' if layer.grid.crs is None else 'a CRS'} and {layer.shape} pixels, the other "
                f"image has {'none' if frame.grid.crs is None else 'one'} and {tuple(frame.grid.shape)} pixels. "
                "Georeference both, or give images of the same size."
            )
        self.grid = frame.grid if pixel_for_pixel else layer.grid
        self._change = crs_change(frame.grid, self.grid)
        self._back = crs_change(self.grid, frame.grid)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of the layer in its own pixels."""
        return self._layer.shape

    @property
    def gsd_m(self) -> float:
        """Size of the layer's pixel in metres of the frame, at the layer's middle."""
        height, width = self.shape
        corner = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]) + (width / 2, height / 2)
        origin, right, down = self.frame_points(corner)
        return math.sqrt(abs(float(np.linalg.det(np.stack((right - origin, down - origin))))))

    def pixels(self, points: Points) -> Points:
        """Frame coordinates → (col, row) of the layer."""
        ground = apply_affine(self._frame.grid.affine * self._frame.to_pixel, points)
        return apply_affine(~self.grid.affine, self._change(ground))

    def frame_points(self, pixels: Points) -> Points:
        """(col, row) of the layer → frame coordinates."""
        ground = self._back(apply_affine(self.grid.affine, pixels))
        return apply_affine(~(self._frame.grid.affine * self._frame.to_pixel), ground)

    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest box (left, top, right, bottom) of the frame that holds the layer."""
        height, width = self.shape
        along = np.linspace(0.0, 1.0, 21)
        edge = np.concatenate([np.column_stack((along, np.full(21, k))) for k in (0.0, 1.0)])
        rim = np.concatenate((edge, edge[:, ::-1])) * (width, height)
        points = self.frame_points(rim)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def covers(self, points: Points) -> Mask:
        """Return which points of the frame fall on the layer's pixels."""
        pixels = self.pixels(points)
        return np.asarray(((pixels >= 0) & (pixels <= self.shape[::-1])).all(axis=1))

    def shows(self, points: Points) -> Mask:
        """At which points of the frame the layer has data, seen coarsely; the first call reads all of it."""
        height, width = self._seen.shape
        cells = np.floor(self.pixels(points) / self.shape[::-1] * (width, height)).astype(int)
        inside = ((cells >= 0) & (cells < (width, height))).all(axis=1)
        col, row = np.clip(cells, 0, (width - 1, height - 1)).T
        return np.asarray(inside & self._seen[row, col])

    @cached_property
    def _seen(self) -> Mask:
        """Return (h, w) where the layer has data, of at most `SEEN_PX` a side."""
        return self._layer.thumbnail(SEEN_PX)[1]

    def read(self, window: Affine, shape: tuple[int, int]) -> tuple[NDArray[np.float32], Mask]:
        """Grey values (h, w) float32 of a window, pixel → frame metres, holes filled with the mean; and (h, w) which are valid."""
        local = self._local(window, shape)
        factor = max(1, int(math.sqrt(abs(local.determinant)) + 0.25))
        grey, valid, corner = self._native(local, shape, factor)
        local = Affine.scale(1.0 / factor) * Affine.translation(-corner[1], -corner[0]) * local
        if factor > 1:
            grey, valid = _average(grey, valid, factor)
        return _resample(grey, valid, local, shape)

    def _local(self, window: Affine, shape: tuple[int, int]) -> Affine:
        """Fit the best affine from output pixels to layer pixels over the window."""
        corners = CONTROL * shape[::-1]
        pixels = self.pixels(apply_affine(window, corners))
        design = np.column_stack((corners, np.ones(len(corners))))
        solution = np.linalg.lstsq(design, pixels, rcond=None)[0]
        return Affine(*solution[:, 0], *solution[:, 1])

    def _native(
        self, local: Affine, shape: tuple[int, int], factor: int
    ) -> tuple[NDArray[np.float32], Mask, tuple[int, int]]:
        """Grey values around the window, in boxes of `factor` that start where the window starts; (top, left)."""
        corners = apply_affine(local, CONTROL * shape[::-1])
        start = np.rint((local.c, local.f)).astype(int)
        before = np.ceil((start - corners.min(axis=0) + 2) / factor).astype(int)
        after = np.ceil((corners.max(axis=0) - start + 2) / factor).astype(int)
        left, top = (int(v) for v in start - before * factor)
        width, height = (int(v) for v in (before + after) * factor)
        data, valid = self._layer.read(Window(top, left, height, width))
        grey = data.mean(axis=0, dtype=np.float32) if len(data) > 1 else data[0].astype(np.float32)
        return grey, valid, (top, left)


def _average(grey: NDArray[np.float32], valid: Mask, factor: int) -> tuple[NDArray[np.float32], Mask]:
    """Mean of factor × factor boxes over valid pixels; a box is valid when half of it is."""
    height, width = (side // factor * factor for side in grey.shape)
    boxes = (height // factor, factor, width // factor, factor)
    weight = valid[:height, :width].reshape(boxes).sum(axis=(1, 3), dtype=np.float32)
    total = np.where(valid, grey, 0.0)[:height, :width].reshape(boxes).sum(axis=(1, 3), dtype=np.float32)
    return total / np.maximum(weight, 1.0), weight >= 0.5 * factor * factor


def _resample(
    grey: NDArray[np.float32], valid: Mask, local: Affine, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], Mask]:
    """Bilinear values at the centres of the output pixels; what touches a hole is not valid."""
    whole = _whole_pixels(local, shape)
    if whole is not None:
        return grey[whole], valid[whole]
    if not valid.all():
        fill = float(grey[valid].mean()) if valid.any() else 0.0
        grey = np.where(valid, grey, np.float32(fill))
    known = valid.all()
    if abs(local.b) * shape[0] < STRAIGHT_PX and abs(local.d) * shape[1] < STRAIGHT_PX:
        rows = local.e * (np.arange(shape[0]) + 0.5) + local.f + 0.5 * local.d * shape[1] - 0.5
        cols = local.a * (np.arange(shape[1]) + 0.5) + local.c + 0.5 * local.b * shape[0] - 0.5
        values = _bilinear(grey, rows, cols)
        share = None if known else _bilinear(valid.astype(np.float32), rows, cols)
    else:
        matrix = np.array([[local.e, local.d], [local.b, local.a]])
        offset = matrix @ (0.5, 0.5) + (local.f, local.c) - 0.5
        values = scipy.ndimage.affine_transform(grey, matrix, offset, output_shape=shape, order=1, mode="nearest")
        share = None
        if not known:
            weight = valid.astype(np.float32)
            share = scipy.ndimage.affine_transform(weight, matrix, offset, output_shape=shape, order=1, cval=0.0)
    return values, np.ones(shape, bool) if share is None else share > 0.999


def _whole_pixels(local: Affine, shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """Return the part of the input that equals the output if pixels coincide to a hundredth; else None."""
    corners = apply_affine(local, CONTROL * shape[::-1])
    start = np.rint(corners[0])
    if np.abs(corners - start - CONTROL * shape[::-1]).max() > SAME_PX:
        return None
    col, row = int(start[0]), int(start[1])
    return slice(row, row + shape[0]), slice(col, col + shape[1])


def _bilinear(grey: NDArray[np.float32], rows: NDArray[np.floating], cols: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values at the crossings of rows and columns; clamped at the rim."""
    above, row_share = _cell(rows, grey.shape[0])
    left, col_share = _cell(cols, grey.shape[1])
    lines = grey[above]
    lines += row_share[:, None] * (grey[np.minimum(above + 1, grey.shape[0] - 1)] - lines)
    values = np.take(lines, left, axis=1)
    values += col_share * (np.take(lines, np.minimum(left + 1, grey.shape[1] - 1), axis=1) - values)
    return values


def _cell(position: NDArray[np.floating], side: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    inside = np.clip(position, 0, side - 1)
    first = np.minimum(inside.astype(np.intp), max(side - 2, 0))
    return first, (inside - first).astype(np.float32)
