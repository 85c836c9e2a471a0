"""Which pixels a rectangle of a plan can cover, row by row, in compiled loops.

Painters visit these alone: the box around a long road at 45 degrees is the whole image, the road a hundredth of it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_LEAST = np.float32(1e-5)


@njit(cache=True, nogil=True, error_model="numpy")
def rows_of(cos, sin, half_a, half_b, y_m, gsd_m, rows):  # type: ignore[no-untyped-def]
    """Return the first row, and the one after the last, of the pixels that a rectangle can cover; `half_a` and `half_b`
    are half its length and width, `y_m` its middle, metres."""
    reach = abs(sin) * half_a + abs(cos) * half_b
    return max(int((y_m - reach) / gsd_m), 0), min(int((y_m + reach) / gsd_m) + 2, rows)


@njit(cache=True, nogil=True, error_model="numpy")
def columns_of(cos, sin, half_a, half_b, x_m, dy_m, gsd_m, cols):  # type: ignore[no-untyped-def]
    """Return the first column, and the one after the last, that a rectangle can cover in the row `dy_m` below its
    middle; none where it does not reach the row."""
    low, high = -half_a - half_b, half_a + half_b
    if abs(cos) > _LEAST:
        middle, reach = -sin * dy_m / cos, half_a / abs(cos)
        low, high = max(low, middle - reach), min(high, middle + reach)
    if abs(sin) > _LEAST:
        middle, reach = cos * dy_m / sin, half_b / abs(sin)
        low, high = max(low, middle - reach), min(high, middle + reach)
    return max(int((x_m + low) / gsd_m - 1), 0), min(int((x_m + high) / gsd_m) + 2, cols)
