"""What lies around a building: means over the open ground within 20 m, buildings left out.

Takes the maps of a block on cells of 8 × 8 pixels. This is the neighbourhood that a building is compared with; where
it is evidence by itself, the column says context in its name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Indices
from deepnets4eo.damage.evidence.filters import box, cell_sums, minimum

CELL_PX = 8
NEAR_M = 20.0
LEAST_OPEN = 1e-3  # share of open ground below which there is none
NO_GROUND = np.float32(1e9)


def open_means(
    values: Sequence[NDArray[np.generic]], open_ground: NDArray[np.bool_], cells: tuple[Indices, Indices], gsd_m: float
) -> NDArray[np.float64]:
    """Means of K maps over open ground in squares around N cells: (N, K), NaN where there is none.

    open_ground : (h, w) bool, sides multiples of 8 pixels; cells : (row, col) numbers of the centre cells.
    """
    side = window_cells(gsd_m)
    share = box(cell_sums(open_ground, CELL_PX), side)[cells].astype(np.float64)
    columns = [box(cell_sums(value * open_ground, CELL_PX), side)[cells] for value in values]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share[:, None] > LEAST_OPEN * CELL_PX**2, np.column_stack(columns) / share[:, None], np.nan)


def lowest_ground(
    height: FloatImage, open_ground: NDArray[np.bool_], cells: tuple[Indices, Indices], gsd_m: float
) -> NDArray[np.float64]:
    """Lowest fully open cell within 20 m: (N,), NaN where there is none."""
    full = cell_sums(open_ground, CELL_PX) == CELL_PX**2
    mean = cell_sums(np.where(open_ground, height, 0), CELL_PX) / np.float32(CELL_PX**2)
    lowest = minimum(np.where(full, mean, NO_GROUND), window_cells(gsd_m))[cells].astype(np.float64)
    return np.where(lowest < NO_GROUND, lowest, np.nan)


def window_cells(gsd_m: float) -> int:
    """Odd number of cells across a square that reaches 20 m to either side."""
    return 2 * max(1, round(NEAR_M / (CELL_PX * gsd_m))) + 1
