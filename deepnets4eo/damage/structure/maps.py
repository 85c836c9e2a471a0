"""Measures of every pixel of an image: light, its derivatives and its roughness, in the image's contrast unit.

The floor of the roughness is the smoothest spot nearby: roofs have smooth planes everywhere, rubble has none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Spectrum
from deepnets4eo.footprints import order_by_place
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import gradient_floor, orientation_field
from deepnets4eo.tiling import spread_indices

FEW_ROWS = 64  # at once: they stay in the cache of the processor


def box(values: FloatImage, size_px: int) -> FloatImage:
    """Mean over a square window of an odd side."""
    return _means(_means(values, size_px, 0), size_px, 1)


def deviation(values: FloatImage) -> FloatImage:
    """Return the standard deviation in 3 × 3 pixels, from differences: exact also for large means."""
    out = np.zeros_like(values)
    for top in range(0, len(values) - 2, FEW_ROWS):
        rows = values[top : top + FEW_ROWS + 2]
        mean = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) * np.float32(1 / 3)
        inner = _squares(rows[:, 1:] - rows[:, :-1], 1)
        total = _squares(mean[1:] - mean[:-1], 0)
        total *= 3
        for offset in range(3):
            total += _part(inner, 0, offset, len(total))
        total *= np.float32(1 / 9)
        np.sqrt(total, out=out[top + 1 : top + 1 + len(total), 1:-1])
    return out


def maximum(values: NDArray[Any], size_px: int) -> NDArray[Any]:
    """Return the largest value in a square window of odd side."""
    top = values.max()
    return np.asarray(top - minimum(top - values, size_px))


def minimum(values: NDArray[Any], size_px: int) -> NDArray[Any]:
    """Return the smallest value in a square window of odd side."""
    for axis in (0, 1):
        reach, part = 1, values
        while 2 * reach <= size_px:  # minima over 1, 2, 4 … pixels, then two overlapping ones make the window
            shorter = part.shape[axis] - reach
            part = np.minimum(_part(part, axis, 0, shorter), _part(part, axis, reach, shorter))
            reach *= 2
        length = values.shape[axis] - size_px + 1
        values = values.copy()
        _part(values, axis, size_px // 2, length)[...] = np.minimum(
            _part(part, axis, 0, length), _part(part, axis, size_px - reach, length)
        )
    return values


def gradient(values: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return derivatives along rows and columns (Sobel), per pixel; 0 at the rim."""
    along_row, along_col = np.zeros_like(values), np.zeros_like(values)
    for top in range(0, len(values) - 2, FEW_ROWS):
        rows = values[top : top + FEW_ROWS + 2]
        inner = np.s_[top + 1 : top + len(rows) - 1, 1:-1]
        smooth = rows[:, :-2] + rows[:, 2:] + 2 * rows[:, 1:-1]
        np.multiply(smooth[2:] - smooth[:-2], np.float32(1 / 8), out=along_row[inner])
        smooth = rows[:-2] + rows[2:] + 2 * rows[1:-1]
        np.multiply(smooth[:, 2:] - smooth[:, :-2], np.float32(1 / 8), out=along_col[inner])
    return along_row, along_col


def cell_sums(values: NDArray[np.generic], cell_px: int) -> FloatImage:
    """Return sums over square cells; the sides of `values` are multiples of the cell's side."""
    rows, cols = values.shape[0] // cell_px, values.shape[1] // cell_px
    stripes = values.reshape(rows, cell_px, values.shape[1]).sum(axis=1, dtype=np.float32)
    return stripes.reshape(rows, cols, cell_px).sum(axis=2)


def _means(values: FloatImage, size_px: int, axis: int) -> FloatImage:
    length = values.shape[axis] - size_px + 1
    out = values.copy()
    total = _part(values, axis, 0, length).copy()
    for offset in range(1, size_px):
        total += _part(values, axis, offset, length)
    np.multiply(total, np.float32(1 / size_px), out=_part(out, axis, size_px // 2, length))
    return out


def _squares(steps: FloatImage, axis: int) -> FloatImage:
    """Squared deviations of three neighbours from their mean, summed, from their two steps."""
    length = steps.shape[axis] - 1
    first, second = _part(steps, axis, 0, length), _part(steps, axis, 1, length)
    total = first * second
    steps = steps * steps
    total += _part(steps, axis, 0, length)
    total += _part(steps, axis, 1, length)
    total *= np.float32(2 / 3)
    return total


def _part(values: NDArray[Any], axis: int, start: int, length: int) -> NDArray[Any]:
    return values[start : start + length] if axis == 0 else values[:, start : start + length]


SAMPLE_PX = 256
CELL_PX = 8  # contrast is that of 4 m cells: coarser than the texture that is measured with it
MAX_SAMPLES = 32
ROOF_SIGMA_PX = 0.7  # of the smoothing before directions of edges are compared: tanks and ridges are two pixels wide
DARKEST = 0.5  # percentile of the luminance of a window that is as dark as the image gets
SMOOTHEST = 2  # percentile of the roughness of a window that is the grain of the image
ROUNDING = 12**-0.5  # standard deviation of what whole numbers leave out
BLANK_PX = 31  # side of a square of one single value that no ground shows, not even a saturated roof


@dataclass(frozen=True)
class Radiometry:
    """Median luminance of an image, contrast unit (median spread of windows), and noise of gradients in squared units.

    darkest : of the image, contrast units from its median
    grain : roughness of the smoothest ground in contrast units, below which nothing is seen"""

    level: float
    unit: float
    noise: float = 1.0
    darkest: float = 0.0
    grain: float = 0.0


def luminance(data: NDArray[Any]) -> FloatImage:
    """Mean of the bands (C, h, w): (h, w) float32."""
    total = data[0].astype(np.float32)
    for band in data[1:]:  # a third of the time of the mean along an axis
        np.add(total, band, out=total, dtype=np.float32, casting="unsafe")
    total /= len(data)
    return total


def nonzero_valid(data: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return valid pixels that are not 0 in every band, which excludes collars without a nodata value."""
    return valid & (data != 0).any(axis=0)


def blank(data: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark pixels (h, w) in a square of 31 × 31 pixels of a single value: undeclared nodata, or a saturated or lost block."""
    same = np.ones(data.shape[1:], bool)
    same[1:] &= (data[:, 1:] == data[:, :-1]).all(axis=0)
    same[:, 1:] &= (data[:, :, 1:] == data[:, :, :-1]).all(axis=0)
    half = BLANK_PX // 2
    if min(same.shape) < BLANK_PX or same.sum() < (BLANK_PX - 1) ** 2:
        return np.zeros_like(same)
    core = minimum(same.astype(np.uint8), BLANK_PX)
    core[:half] = core[-half:] = 0  # there the square is not whole
    core[:, :half] = core[:, -half:] = 0
    return np.asarray(maximum(core, BLANK_PX), bool) if core.any() else np.zeros_like(same)


class WindowSample(NamedTuple):
    """Spread and middle of the luminance of a window, noise of its gradients, its darkest luminance and its grain."""

    spread: Any
    level: Any
    power: float
    darkest: Any
    grain: Any


WindowSamples = dict[tuple[int, int], "WindowSample | None"]  # by the pixel in the middle; None where little is seen


def measure(layer: Layer, centres: NDArray[np.float64], known: WindowSamples | None = None) -> Radiometry:
    """Measure the radiometry of a layer from up to 32 windows of 256² pixels around (row, col) positions, in any order.

    known : windows of the layer that were measured before; the windows of the positions are added"""
    chosen = order_by_place(centres)[spread_indices(len(centres), MAX_SAMPLES, round_down=True)]
    known = {} if known is None else known
    positions = [(int(row), int(col)) for row, col in centres[chosen]]
    for position in positions:
        if position not in known:
            known[position] = _sample(layer, *position)
    samples = [sample for sample in map(known.__getitem__, positions) if sample is not None]
    if not samples:
        return Radiometry(0.0, 1.0)
    spreads, levels, powers, *ends = map(list, zip(*samples, strict=True))
    level = float(np.median(levels))
    unit = max(float(np.median(spreads)), 1e-6 * (1 + abs(level)))
    darkest, grain = np.median(ends, axis=1)
    grain = max(grain, ROUNDING if layer.dtype.kind in "iu" else 0.0)
    return Radiometry(
        level, unit, float(np.median(powers)) / unit**2, float(darkest - level) / unit, float(grain) / unit
    )


def _sample(layer: Layer, row: int, col: int) -> WindowSample | None:
    """Return the sample of the window around a pixel, or None if fewer than 16 cells are seen."""
    data, valid = layer.read(Window(row - SAMPLE_PX // 2, col - SAMPLE_PX // 2, SAMPLE_PX, SAMPLE_PX))
    grey, seen = luminance(data), nonzero_valid(data, valid) & ~blank(data)
    cells = _cells(grey, seen)
    if len(cells) < 16:
        return None
    low, middle, high = np.percentile(cells, [16, 50, 84])
    roughness = deviation(grey)[1:-1, 1:-1][seen[1:-1, 1:-1]]
    ends = (np.percentile(np.sort(values), end) for values, end in ((grey[seen], DARKEST), (roughness, SMOOTHEST)))
    return WindowSample(high - low, middle, gradient_floor(grey, seen, ROOF_SIGMA_PX), *ends)


def light_of(data: NDArray[Any], radiometry: Radiometry) -> FloatImage:
    """Compute the luminance (h, w) of bands (C, h, w) above the typical level, in contrast units."""
    light = luminance(data)
    light -= np.float32(radiometry.level)
    light *= np.float32(1 / radiometry.unit)
    return light


def edge_directions(light: FloatImage, valid: NDArray[np.bool_], radiometry: Radiometry) -> Spectrum:
    """Compute doubled edge directions (h, w) complex64, equal for light from the opposite side, weighted 0–1 against noise."""
    return orientation_field(light, valid, ROOF_SIGMA_PX, radiometry.noise)


def _cells(values: FloatImage, valid: NDArray[np.bool_]) -> FloatImage:
    side = SAMPLE_PX // CELL_PX
    shape = (side, CELL_PX, side, CELL_PX)
    full = valid.reshape(shape).all(axis=(1, 3))
    return values.reshape(shape).mean(axis=(1, 3))[full]


FLOOR_M = 3.5  # side of the window in which the smoothest spot is looked for
SMALLEST_ROUGHNESS = np.float32(0.003)  # contrast units; about the step of an 8-bit image


@dataclass(frozen=True)
class Maps:
    """Per-pixel measures (h, w) of a block in contrast units; log_floor : log2 of the minimum `rough` within 3.5 m."""

    light: FloatImage
    along_row: FloatImage
    along_col: FloatImage
    rough: FloatImage
    log_floor: FloatImage
    bands: NDArray[Any]
    valid: NDArray[np.bool_]
    blank: NDArray[np.bool_]
    radiometry: Radiometry

    @cached_property
    def directions(self) -> Spectrum:
        """`edge_directions` of the block."""
        return edge_directions(self.light, self.valid, self.radiometry)


def measure_maps(data: NDArray[Any], valid: NDArray[np.bool_], radiometry: Radiometry, gsd_m: float) -> Maps:
    """Compute all maps of a block (C, h, w), whose outer 8 pixels must not be used; peak memory 10 × the block in float32."""
    valid = nonzero_valid(data, valid)
    empty = blank(data) & valid
    valid &= ~empty
    light = light_of(data, radiometry)
    if not valid.all():
        light[~valid] = light[valid].mean() if valid.any() else 0
        whole = valid.copy()
        whole[1:-1] &= valid[:-2] & valid[2:]
        whole[:, 1:-1] &= valid[:, :-2] & valid[:, 2:]
        valid = whole
    rough = deviation(light)
    along_row, along_col = gradient(light)
    window_px = 2 * max(1, round(FLOOR_M / gsd_m / 2 - 0.25)) + 1
    floor = minimum(rough, window_px)
    floor += SMALLEST_ROUGHNESS
    return Maps(light, along_row, along_col, rough, np.log2(floor, out=floor), data, valid, empty, radiometry)
