"""Heights above ground (nDSM) and slopes of arrays, and which heights are possible."""

from __future__ import annotations

import logging
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, check_no_mask
from deepnets4eo.errors import InputError
from deepnets4eo.terrain.ground_filter import MAX_BUILDING_M, ground


class PlausibleHeight:
    """Heights of the ground: from below the shore of the Dead Sea (-430 m) to above Everest (8849 m)."""

    lowest_m: ClassVar[float] = -500.0
    highest_m: ClassVar[float] = 9000.0


BELOW_M = 2.0  # no ground lies farther below its terrain
MAX_BELOW = 0.05  # of the pixels so far below, to be named
LOWEST_GROUND_M = 3.0  # above which 95 % of a site seldom lies
SURFACE_M = 30.0  # no site has 95 % of its ground under buildings or trees of this height
_log = logging.getLogger(__name__)


def ndsm(
    dsm: NDArray[np.floating],
    dtm: NDArray[np.floating] | None = None,
    *,
    gsd_m: float = 1.0,
    max_building_m: float = MAX_BUILDING_M,
) -> FloatImage:
    """Compute heights above ground from a surface model.

    Parameters
    ----------
    dsm : (h, w) surface heights, metres; impossible ones count as NaN, with a warning
    dtm : (h, w) terrain heights, metres; without them the ground is estimated
    gsd_m, max_building_m : how the ground is estimated, see `ground`

    Returns
    -------
    (h, w) float32 metres, NaN if unknown; at least 0 if the ground is estimated

    Raises
    ------
    InputError
        For shapes that differ, arrays with a mask, or a surface unknown everywhere without terrain.

    Examples
    --------
    >>> ndsm(np.array([[5.0, 9.0]]), np.array([[4.0, np.nan]])).tolist()
    [[1.0, nan]]
    """
    check_no_mask(dsm, "dsm")
    check_no_mask(dtm, "dtm")
    upper = _drop_impossible(dsm, "dsm")
    if dtm is None:
        terrain = ground(upper, gsd_m, max_building_m=max_building_m)
        return np.maximum(upper - terrain, 0).astype(np.float32)  # only single wrong pixels lie below their ground
    if dtm.shape != dsm.shape:
        raise InputError(f"the dsm has the shape {dsm.shape}, the dtm {dtm.shape}. Warp one onto the other's grid.")
    return (upper - _drop_impossible(dtm, "dtm")).astype(np.float32)


def impossible(heights: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return where heights are known but below -500 m or above 9000 m: spikes, and untagged no data.

    >>> impossible(np.array([-9999.0, -430.0, 8849.0, 12000.0, np.nan])).tolist()
    [True, False, False, True, False]"""
    return ~np.isnan(heights) & ~((heights >= PlausibleHeight.lowest_m) & (heights <= PlausibleHeight.highest_m))


def check_above_ground(heights: NDArray[np.floating], source: str, remedy: str) -> None:
    """Refuse heights (n,) that seem to be above the sea, or below the ground. Raises InputError that ends in the remedy."""
    low, high = np.percentile(heights, (5, 95)).tolist() if heights.size else (0.0, 0.0)
    if low > SURFACE_M:
        raise InputError(
            f"{source}: 95 % of the heights are above {low:.0f} m; they seem to be above the sea (DSM), expected above ground "
            f"(nDSM). {remedy}"
        )
    if high < -BELOW_M:
        raise InputError(
            f"{source}: 95 % of the heights are below {high:.0f} m; expected heights above ground (nDSM), which are 0 and more. {remedy}"
        )


def warn_of_shifted_ground(heights: NDArray[np.floating], name: str) -> None:
    """Warn if many heights above ground (n,) are below it, or hardly any is as low as ground."""
    if not heights.size:
        return
    below, low = float((heights < -BELOW_M).mean()), float(np.percentile(heights, 5))
    if below > MAX_BELOW or low > LOWEST_GROUND_M:
        what = (
            f"{below:.0%} of the heights above ground are below -{BELOW_M:g} m"
            if below > MAX_BELOW
            else f"95 % of the heights above ground are more than {low:.1f} m"
        )
        _log.warning(
            "%s: %s. Check that surface and terrain model are given in this order, in one unit, and refer to one vertical datum.", name, what
        )  # fmt: skip


def warn_of_impossible(count: int, name: str) -> None:
    """Log how many heights of a raster are impossible, if any."""
    if count:
        _log.warning(
            "%s: %d heights outside %g to %g m are read as no data. If there are many, check its nodata value, and that "
            "heights are in metres.", name, count, PlausibleHeight.lowest_m, PlausibleHeight.highest_m,
        )  # fmt: skip


def _drop_impossible(heights: NDArray[np.floating], name: str) -> NDArray[np.floating]:
    wrong = impossible(heights)
    warn_of_impossible(int(wrong.sum()), name)
    return np.where(wrong, np.nan, heights)


def slope_deg(heights: NDArray[np.floating], gsd_m: tuple[float, float]) -> FloatImage:
    """Return the steepness of a surface, see `surface_gradient`.

    Parameters
    ----------
    heights : (h, w) metres, NaN if unknown
    gsd_m : ground size of a pixel along rows' step and columns' step, metres, as from `grid.gsd_m`

    Returns
    -------
    (h, w) float32 degrees, 0 flat, below 90; NaN for pixels of unknown height

    Examples
    --------
    >>> slope_deg(np.arange(9.0).reshape(3, 3) % 3, (1.0, 1.0))[1].tolist()
    [45.0, 45.0, 45.0]
    """
    return np.degrees(np.arctan(np.hypot(*surface_gradient(heights, gsd_m)))).astype(np.float32)


def surface_gradient(heights: NDArray[np.floating], gsd_m: tuple[float, float]) -> FloatImage:
    """Return the rise of a surface per metre, to the right and down.

    Differences over three rows or columns, weighted 1, 2, 1. At edges and next to gaps the known neighbours count, so
    that a plane has its slope everywhere.

    Source: Horn (1981), Hill shading and the reflectance map, Proc. IEEE 69(1).

    Parameters
    ----------
    heights : (h, w) metres, NaN if unknown
    gsd_m : ground size of a pixel along rows' step and columns' step, metres, as from `grid.gsd_m`

    Returns
    -------
    (2, h, w) float32, to the right and down; NaN for pixels of unknown height

    Examples
    --------
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
