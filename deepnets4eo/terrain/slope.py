"""How steep a surface is, from its heights and the size of their pixels.

Takes heights with NaN where unknown, on pixels that need not be square; returns NaN only where the height is unknown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage


def slope_deg(heights: NDArray[np.floating], gsd_m: tuple[float, float]) -> FloatImage:
    """Steepness of a surface.

    Parameters
    ----------
    heights
        (h, w) metres, NaN where unknown.
    gsd_m
        Ground size of a pixel along rows' step and columns' step, metres, as from `grid.gsd_m`.

    Returns
    -------
    (h, w) float32 degrees, 0 flat, below 90; NaN where the height is unknown. See `surface_gradient`.

    >>> slope_deg(np.arange(9.0).reshape(3, 3) % 3, (1.0, 1.0)).tolist()
    [[45.0, 45.0, 45.0], [45.0, 45.0, 45.0], [45.0, 45.0, 45.0]]
    """
    return np.degrees(np.arctan(np.hypot(*surface_gradient(heights, gsd_m)))).astype(np.float32)


def surface_gradient(heights: NDArray[np.floating], gsd_m: tuple[float, float]) -> FloatImage:
    """Rise of a surface per metre, to the right and down.

    Horn (1981), Hill shading and the reflectance map, Proc. IEEE 69(1): differences over three rows or columns, weighted
    1, 2, 1. At edges and beside gaps the known neighbours are used, from one side where the other is missing, so that a
    plane has its slope everywhere; a single pixel is flat.

    Parameters
    ----------
    heights
        (h, w) metres, NaN where unknown.
    gsd_m
        Ground size of a pixel along rows' step and columns' step, metres, as from `grid.gsd_m`.

    Returns
    -------
    (2, h, w) float32, along columns (to the right) and along rows (down); NaN where the height is unknown.

    >>> surface_gradient(np.arange(9.0).reshape(3, 3), (1.0, 1.0))[:, 1, 1].tolist()
    [1.0, 3.0]
    """
    around = np.pad(heights.astype(np.float32), 1, constant_values=np.nan)
    down_m, right_m = gsd_m
    rises = np.stack([_rise(around) / np.float32(right_m), _rise(around.T).T / np.float32(down_m)])
    return np.where(np.isnan(heights), np.float32(np.nan), rises)


def _rise(around: FloatImage) -> FloatImage:
    """Rise a pixel to the right (h, w) of heights with a border of one pixel, (h + 2, w + 2)."""
    steps = np.diff(around, axis=1)
    before, after = steps[:, :-1], steps[:, 1:]
    central = (before + after) / 2
    rows = np.where(np.isnan(before), after, np.where(np.isnan(after), before, central))
    known = (~np.isnan(rows)).astype(np.float32)
    total, weight = _weighted_sum(np.nan_to_num(rows, copy=False)), _weighted_sum(known)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)


def _weighted_sum(rows: FloatImage) -> FloatImage:
    return rows[:-2] + 2 * rows[1:-1] + rows[2:]
