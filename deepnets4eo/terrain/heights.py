"""Heights above ground (nDSM) of arrays, and which heights are possible.

Takes a surface model, with a terrain model or without; refuses terrain that does not lie on the same pixels.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, check_no_mask
from deepnets4eo.errors import InputError
from deepnets4eo.terrain.ground_filter import MAX_BUILDING_M, Method, ground

LOWEST_M, HIGHEST_M = -500.0, 9000.0  # from below the shore of the Dead Sea (-430 m) to above Everest (8849 m)

_log = logging.getLogger(__name__)


def ndsm(
    dsm: NDArray[np.floating],
    dtm: NDArray[np.floating] | None = None,
    *,
    gsd_m: float = 1.0,
    method: Method = "zhang",
    max_building_m: float = MAX_BUILDING_M,
) -> FloatImage:
    """Compute heights above ground from a surface model.

    Parameters
    ----------
    dsm
        (h, w) surface heights, metres; NaN where unknown. Heights of no site on Earth count as NaN, with a warning.
    dtm
        (h, w) terrain heights, metres; without them the ground is estimated, see `ground`.
    gsd_m
        Ground size of a pixel, metres, for the estimate.
    method, max_building_m
        How the ground is estimated, see `ground`.

    Returns
    -------
    (h, w) float32 metres; NaN where surface or terrain is NaN. Nothing lies below 0 where the ground is estimated.

    Raises
    ------
    InputError
        Shapes that differ, arrays with a mask, or a surface that is unknown everywhere and has no terrain model.

    >>> ndsm(np.array([[5.0, 9.0]]), np.array([[4.0, np.nan]])).tolist()
    [[1.0, nan]]
    """
    check_no_mask(dsm, "dsm")
    check_no_mask(dtm, "dtm")
    upper = _drop_impossible(dsm, "dsm")
    if dtm is None:
        terrain = ground(upper, gsd_m, method=method, max_building_m=max_building_m)
        return np.maximum(upper - terrain, 0).astype(np.float32)  # only single wrong pixels lie below their ground
    if dtm.shape != dsm.shape:
        raise InputError(f"the dsm has the shape {dsm.shape}, the dtm {dtm.shape}. Warp one onto the other's grid.")
    return (upper - _drop_impossible(dtm, "dtm")).astype(np.float32)


def impossible(heights: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where heights are known but none of this Earth, below -500 m or above 9000 m: spikes, and untagged no data.

    >>> impossible(np.array([-9999.0, -430.0, 8849.0, 12000.0, np.nan])).tolist()
    [True, False, False, True, False]
    """
    return ~np.isnan(heights) & ~((heights >= LOWEST_M) & (heights <= HIGHEST_M))


def warn_of_impossible(count: int, name: str) -> None:
    """Log how many heights of a raster are impossible, if any."""
    if count:
        _log.warning(
            "%s: %d heights outside %g to %g m are read as no data. If there are many, check its nodata value, and that "
            "heights are in metres.", name, count, LOWEST_M, HIGHEST_M,
        )  # fmt: skip


def _drop_impossible(heights: NDArray[np.floating], name: str) -> NDArray[np.floating]:
    wrong = impossible(heights)
    warn_of_impossible(int(wrong.sum()), name)
    return np.where(wrong, np.nan, heights)
