"""Features of cells without any weights: means, spreads and textures of bands and of normalised differences.

Takes windows of one date; returns one row of features a cell, and the share of its pixels that is valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.series.cells import CellGrid
from deepnets4eo.rasters.band_roles import normalised_difference, role_indices

INDICES = {"ndvi": ("nir", "red"), "ndwi": ("green", "nir"), "grvi": ("green", "red")}  # Rouse; McFeeters; Tucker


class CellFeatures(Protocol):
    """What describes a cell at a date."""

    names: list[str]

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid) -> NDArray[np.float32]:
        """image : (C, h, w) and valid : (h, w), whole cells → (F, rows, cols) of cells"""


class SpectralTexture:
    """Mean and standard deviation of bands and indices, and the mean step between neighbouring pixels of each band.

    names of the bands : indices are made of those whose names are known (red, green, nir).

    >>> features = SpectralTexture(["red", "nir"])
    >>> features.names
    ['red mean', 'red sd', 'nir mean', 'nir sd', 'ndvi mean', 'ndvi sd', 'red step', 'nir step']
    """

    def __init__(self, band_names: Sequence[str]) -> None:
        roles = role_indices(list(band_names))
        self._pairs = {
            name: (roles[plus], roles[minus])
            for name, (plus, minus) in INDICES.items()
            if plus in roles and minus in roles
        }
        images = [*band_names, *self._pairs]
        self.names = [f"{name} {what}" for name in images for what in ("mean", "sd")]
        self.names += [f"{name} step" for name in band_names]

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid) -> NDArray[np.float32]:
        """image : (C, h, w) and valid : (h, w) → (F, rows, cols); what is not valid does not count"""
        weights = None if valid.all() else valid.astype(np.float32)
        if weights is not None:
            image = np.where(valid, image, np.float32(0))  # what is not valid may be NaN
        number = cell_sums(np.ones_like(valid, np.float32) if weights is None else weights, cells)
        values: list[NDArray[np.float32]] = []
        for band in self._images(image):
            values += _mean_and_sd(band, weights, number, cells)
        return np.stack([*values, *(_step(band, weights, cells) for band in image)]).astype(np.float32)

    def _images(self, image: FloatImage) -> list[FloatImage]:
        indices = [normalised_difference(image[plus], image[minus]) for plus, minus in self._pairs.values()]
        return [*image, *(np.nan_to_num(index) for index in indices)]


def cell_sums(values: FloatImage, cells: CellGrid) -> NDArray[np.float32]:
    """Sums of pixels (h, w) over cells, (rows, cols)."""
    stride = cells.stride_px
    rows, cols = (side // stride for side in values.shape)
    down = values[: rows * stride, : cols * stride].reshape(rows, stride, cols * stride).sum(axis=1)
    return _join(down.reshape(rows, cols, stride).sum(axis=2), cells)


def _join(sums: NDArray[np.float32], cells: CellGrid) -> NDArray[np.float32]:
    """Sums of cells from sums of the squares of a stride, of which a cell has several where cells overlap."""
    pieces = cells.cell_px // cells.stride_px
    for axis in (0, 1):
        length = sums.shape[axis] - pieces + 1
        sums = np.sum([np.take(sums, range(start, start + length), axis=axis) for start in range(pieces)], axis=0)
    return np.asarray(sums, np.float32)


def _mean_and_sd(
    band: FloatImage, weights: FloatImage | None, number: NDArray[np.float32], cells: CellGrid
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    count = band.size if weights is None else max(float(weights.sum()), 1)
    middle = np.float32(band.sum(dtype=np.float64) / count)
    centred = band - middle  # else squares lose their digits in float32
    if weights is not None:
        centred *= weights
    most = np.maximum(number, 1)
    mean = cell_sums(centred, cells) / most
    variance = cell_sums(np.square(centred), cells) / most - np.square(mean)
    return mean + middle, np.sqrt(np.maximum(variance, 0))


def _step(band: FloatImage, weights: FloatImage | None, cells: CellGrid) -> NDArray[np.float32]:
    """Mean size of the steps to the pixels below and to the right, where both are valid and in one square of the stride."""
    ones = np.ones_like(band) if weights is None else weights
    (down, down_count), (right, right_count) = (_steps(band, ones, cells, axis) for axis in (0, 1))
    mean = _join(down + right, cells) / np.maximum(_join(down_count + right_count, cells), 1)
    return np.asarray(mean, np.float32)


def _steps(
    band: FloatImage, weights: FloatImage, cells: CellGrid, axis: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sum and number of the steps along an axis in each square of the stride."""
    stride = cells.stride_px
    rows, cols = (side // stride for side in band.shape)
    shape = (rows, stride, cols * stride) if axis == 0 else (rows * stride, cols, stride)
    values, known = (each[: rows * stride, : cols * stride].reshape(shape) for each in (band, weights))
    along = 1 + axis  # the pixels of a square, along the axis
    both = np.delete(known, 0, along) * np.delete(known, -1, along)
    sums = [np.sum(each, axis=along, dtype=np.float32) for each in (np.abs(np.diff(values, axis=along)) * both, both)]
    if axis == 0:
        first, second = (each.reshape(rows, cols, stride).sum(axis=2) for each in sums)
    else:
        first, second = (each.reshape(rows, stride, cols).sum(axis=1) for each in sums)
    return first, second
