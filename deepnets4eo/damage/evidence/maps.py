"""What is measured at every pixel of one image: light, edges, roughness and colour, in contrast units.

Takes a block of up to three bands with its validity. Roughness is the local standard deviation; its floor is the
smoothest spot nearby: a roof, even a patched one, has smooth planes everywhere, rubble has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.evidence.filters import Map, box, gradient, minimum
from deepnets4eo.damage.evidence.radiometry import Radiometry, lit, luminance

FLOOR_M = 3.5  # side of the window in which the smoothest spot is looked for
FILTER_REACH_PX = 8  # pixels from the border of a block that filters spoil


@dataclass(frozen=True)
class Maps:
    """Per-pixel measures of a block, each (h, w) float32.

    light : luminance above the image's typical level; along_row, along_col : its derivatives per pixel;
    edge : their length; rough : standard deviation in 3 × 3 pixels; floor : the smallest `rough` within 3.5 m
    (all in contrast units); red, green, blue : shares of the colour, summing to 1; valid : (h, w) bool
    """

    light: Map
    along_row: Map
    along_col: Map
    edge: Map
    rough: Map
    floor: Map
    red: Map
    green: Map
    blue: Map
    valid: NDArray[np.bool_]


def measure_maps(data: NDArray[Any], valid: NDArray[np.bool_], radiometry: Radiometry, gsd_m: float) -> Maps:
    """All maps of a block (C, h, w); peak memory some 16 × the block in float32."""
    valid = lit(data, valid)
    light = (luminance(data) - np.float32(radiometry.level)) * np.float32(1 / radiometry.unit)
    light[~valid] = light[valid].mean() if valid.any() else 0
    detail = light - box(light, 9)
    mean = box(detail, 3)
    rough = np.sqrt(np.maximum(box(detail * detail, 3) - mean * mean, 0))
    along_row, along_col = gradient(light)
    red, green, blue = _colour_shares(data)
    window_px = 2 * max(1, round(FLOOR_M / gsd_m / 2 - 0.25)) + 1
    return Maps(
        light=light,
        along_row=along_row,
        along_col=along_col,
        edge=np.hypot(along_row, along_col),
        rough=rough,
        floor=minimum(rough, window_px),
        red=red,
        green=green,
        blue=blue,
        valid=valid & (box(valid.astype(np.float32), 3) > 0.999),
    )


def _colour_shares(data: NDArray[Any]) -> tuple[Map, Map, Map]:
    """Shares of the three bands; a third each where there are fewer."""
    if len(data) < 3:
        third = np.full(data.shape[1:], 1 / 3, np.float32)
        return third, third, third
    bands = np.maximum(data[:3].astype(np.float32), 0)
    total = bands.sum(axis=0) + np.float32(1e-6)
    return bands[0] / total, bands[1] / total, bands[2] / total
