"""How bright and how contrasty an image is, measured once from windows spread over its buildings.

Everything that follows is expressed in the image's own contrast unit, so that sensors, stretches and light cancel.
Takes a layer and window positions; an image without contrast gets a unit of its smallest step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.damage.evidence.filters import maximum, minimum
from deepnets4eo.footprints.outlines import order_by_place
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.tiling.spread import spread_indices

SAMPLE_PX = 256
CELL_PX = 8  # contrast is that of 4 m cells: coarser than the texture that is measured with it
MAX_SAMPLES = 32
BLANK_PX = 31  # side of a square of one single value that no ground shows, not even a saturated roof


@dataclass(frozen=True)
class Radiometry:
    """Typical luminance and contrast of an image, in its own counts.

    level : median luminance; unit : median over windows of the spread (84th − 16th percentile) of cell luminances.
    """

    level: float
    unit: float


def luminance(data: NDArray[Any]) -> FloatImage:
    """Mean of the (at most three) bands (C, h, w): (h, w) float32."""
    return data.astype(np.float32).mean(axis=0)


def nonzero_valid(data: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Valid pixels that are not exactly 0 in every band: collars are often left without a nodata value."""
    return valid & (data != 0).any(axis=0)


def blank(data: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels (h, w) in a square of 31 × 31 pixels whose values are exactly one and the same in every band.

    data : (C, h, w). No camera records that: it is undeclared nodata, or a saturated or lost block.
    """
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


def measure(layer: Layer, centres: NDArray[np.float64]) -> Radiometry:
    """Radiometry of a layer from up to 32 windows around (row, col) positions, whatever their order.

    Peak memory: one window of 256² pixels.
    """
    chosen = order_by_place(centres)[spread_indices(len(centres), MAX_SAMPLES, round_down=True)]
    spreads, levels = [], []
    for row, col in centres[chosen]:
        data, valid = layer.read(Window(int(row) - SAMPLE_PX // 2, int(col) - SAMPLE_PX // 2, SAMPLE_PX, SAMPLE_PX))
        cells = _cells(luminance(data), nonzero_valid(data, valid) & ~blank(data))
        if len(cells) >= 16:
            low, middle, high = np.percentile(cells, [16, 50, 84])
            spreads.append(high - low)
            levels.append(middle)
    if not spreads:
        return Radiometry(0.0, 1.0)
    return Radiometry(
        float(np.median(levels)), max(float(np.median(spreads)), 1e-6 * (1 + abs(float(np.median(levels)))))
    )


def _cells(values: FloatImage, valid: NDArray[np.bool_]) -> FloatImage:
    side = SAMPLE_PX // CELL_PX
    shape = (side, CELL_PX, side, CELL_PX)
    full = valid.reshape(shape).all(axis=(1, 3))
    return values.reshape(shape).mean(axis=(1, 3))[full]
