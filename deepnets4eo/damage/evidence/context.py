"""What lies around a building: means over the open ground within 20 m and 40 m, buildings left out.

Takes the maps of a block on cells of 8 × 8 pixels. This is context, not the building's own evidence, and its columns
say so in their name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.evidence.filters import Map, box, minimum
from deepnets4eo.damage.evidence.outlines import Ints

CELL_PX = 8
NEAR_M, FAR_M = 20.0, 40.0
NO_GROUND = np.float32(1e9)


def open_means(
    values: list[Map], open_ground: NDArray[np.bool_], cells: tuple[Ints, Ints], radius_m: float, gsd_m: float
) -> NDArray[np.float64]:
    """Means of K maps over open ground in squares around N cells: (N, K), NaN where there is none.

    open_ground : (h, w) bool, sides multiples of 8 pixels; cells : (row, col) numbers of the centre cells.
    """
    side = window_cells(radius_m, gsd_m)
    weight = _cell_mean(open_ground.astype(np.float32))
    share = box(weight, side)[cells].astype(np.float64)
    columns = [box(_cell_mean(np.where(open_ground, value, 0)), side)[cells] for value in values]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share[:, None] > 1e-3, np.column_stack(columns) / share[:, None], np.nan)


def lowest_ground(height: Map, open_ground: NDArray[np.bool_], cells: tuple[Ints, Ints], gsd_m: float) -> Map:
    """Lowest fully open cell within 20 m: (N,), NaN where there is none."""
    full = _cell_mean(open_ground.astype(np.float32)) > 0.99
    lowest = minimum(np.where(full, _cell_mean(height), NO_GROUND), window_cells(NEAR_M, gsd_m))[cells]
    return np.where(lowest < NO_GROUND, lowest, np.float32(np.nan))


def window_cells(radius_m: float, gsd_m: float) -> int:
    """Odd number of cells across a square of some half side."""
    return 2 * max(1, round(radius_m / (CELL_PX * gsd_m))) + 1


def _cell_mean(values: Map) -> Map:
    rows, cols = values.shape[0] // CELL_PX, values.shape[1] // CELL_PX
    return values.reshape(rows, CELL_PX, cols, CELL_PX).mean(axis=(1, 3), dtype=np.float32)
