"""What is measured at every pixel of one image: light, its derivatives and its roughness, in contrast units.

Takes a block of up to three bands with its validity. Roughness is the local standard deviation; its floor is the
smoothest spot nearby: a roof, even a patched one, has smooth planes everywhere, rubble has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.damage.evidence.filters import box, deviation, gradient, minimum
from deepnets4eo.damage.evidence.radiometry import Radiometry, blank, luminance, nonzero_valid

FLOOR_M = 3.5  # side of the window in which the smoothest spot is looked for
SMALLEST_ROUGHNESS = np.float32(0.003)  # contrast units; about the step of an 8-bit image


@dataclass(frozen=True)
class Maps:
    """Per-pixel measures of a block, each (h, w) float32.

    light : luminance above the image's typical level; along_row, along_col : its derivatives per pixel;
    rough : standard deviation in 3 × 3 pixels; log_floor : log2 of the smallest `rough` within 3.5 m
    (all in contrast units). bands : (C, h, w) as read; valid : (h, w) bool; blank : (h, w) bool, one single value
    over a wide square, not valid either.
    """

    light: FloatImage
    along_row: FloatImage
    along_col: FloatImage
    rough: FloatImage
    log_floor: FloatImage
    bands: NDArray[Any]
    valid: NDArray[np.bool_]
    blank: NDArray[np.bool_]

    @cached_property
    def soft_edge(self) -> FloatImage:
        """Square root of edge strength, averaged over 3 × 3 pixels: what edges are compared by."""
        energy = self.along_row * self.along_row
        energy += self.along_col * self.along_col
        return box(np.sqrt(np.sqrt(energy)), 3)


def measure_maps(data: NDArray[Any], valid: NDArray[np.bool_], radiometry: Radiometry, gsd_m: float) -> Maps:
    """All maps of a block (C, h, w); peak memory some 10 × the block in float32. The outer 8 pixels are not to be used."""
    valid = nonzero_valid(data, valid)
    empty = blank(data) & valid
    valid &= ~empty
    light = luminance(data)
    light -= np.float32(radiometry.level)
    light *= np.float32(1 / radiometry.unit)
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
    return Maps(light, along_row, along_col, rough, np.log2(floor, out=floor), data, valid, empty)
