"""A simple random sample of pixels in each stratum of a raster, drawn in two passes in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, Floats, Indices
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.metrics import allocate_looks

ALIKE = 1e-3  # share by which the areas of pixels of one map projection differ, which change no estimate
EQUAL_SHARE = 0.5  # of the looks go to all classes alike, the others by area


@dataclass(frozen=True)
class PixelSample:
    """Pixels drawn from S strata, in the order of looking: any first part is a stratified random sample, too.

    Parameters
    ----------
    row, col : (n,) int, of the raster
    stratum : (n,) int
    pixels : (S,) int, of each stratum of the raster
    hectares : (S,) float, their area; None without a CRS
    areas : (n,) float, hectares of each drawn pixel; None if all pixels have the same area
    """

    row: Indices
    col: Indices
    stratum: Indices
    pixels: Indices
    hectares: Floats | None
    areas: Floats | None = None


def share_out(pixels: Indices, looks: int) -> Indices:
    """Return (S,) how many pixels are drawn in each class of (S,) pixels: half of them the same number each, half by area."""
    minimum = max(2, int(looks * EQUAL_SHARE / max((pixels > 0).sum(), 1)))
    return allocate_looks(pixels, np.ones(len(pixels)), looks, minimum)


def draw_pixels(
    strata: Callable[[Window], ByteImage],
    grid: Grid,
    windows: list[Window],
    number: int,
    looks_of: Callable[[Indices], Indices],
    seed: int,
) -> PixelSample:
    """Draw pixels without replacement. Errors: InputError without a pixel in any stratum.

    Parameters
    ----------
    strata : window → (h, w) uint8, stratum 0 … S − 1 or any higher value for none
    grid, windows : of the raster, and blocks that cover it
    number : S, at most 255
    looks_of : (S,) pixels of the strata → (S,) how many are drawn in each
    seed : of the draw
    """
    ground, counted, hectares = GroundArea(grid), list[Indices](), np.zeros(number)
    for window in windows:
        values = strata(window)
        counted.append(np.bincount(values.ravel(), minlength=256)[:number])
        hectares += ground.by_value(window, values, number)
    counts = np.stack(counted)
    pixels = counts.sum(axis=0)
    if not pixels.any():
        raise InputError("no pixel can be drawn: the map is nodata or void everywhere. Give another map.")
    rng = np.random.default_rng(seed)
    wanted = looks_of(pixels)
    parts = [
        _locate(strata, windows, counts[:, index], index, rng.choice(pixels[index], wanted[index], replace=False))
        for index in range(number)
        if wanted[index]
    ]
    row, col, stratum, turn = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(turn + rng.random(len(turn)) * 1e-9)
    row, col = row[order], col[order]
    drawn = (Window(int(top), int(left), 1, 1) for top, left in zip(row, col, strict=True))
    areas = np.array([ground.pixels(window)[0, 0] for window in drawn])
    alike = np.allclose(areas, areas[0], rtol=ALIKE, atol=0)
    return PixelSample(
        row, col, stratum[order], pixels, None if grid.crs is None else hectares, None if alike else areas
    )


def _locate(
    strata: Callable[[Window], ByteImage], windows: list[Window], counts: Indices, stratum: int, ranks: Indices
) -> tuple[Indices, Indices, Indices, NDArray[np.float64]]:
    """Return rows, columns, strata and turns (0–1) of the pixels with these ranks, in the order of the ranks."""
    first = np.cumsum(counts) - counts
    window_of = np.searchsorted(first, ranks, side="right") - 1
    row, col = np.zeros(len(ranks), np.int64), np.zeros(len(ranks), np.int64)
    for number in np.unique(window_of):
        these, window = window_of == number, windows[number]
        inside = np.argwhere(strata(window) == stratum)[ranks[these] - first[number]]
        row[these], col[these] = inside[:, 0] + window.row, inside[:, 1] + window.col
    return row, col, np.full(len(ranks), stratum), (np.arange(len(ranks)) + 0.5) / len(ranks)
