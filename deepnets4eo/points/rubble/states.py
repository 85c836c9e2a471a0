"""The state of a building from its heights: standing, partly collapsed, collapsed, or cleared.

Rules in use for laser scans and surface models, to be tuned by site; Turker & Cetinkaya (2005) found 84 % of collapsed
buildings with one threshold, and that its choice matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.points.rubble.vocabulary import CLEARED, COLLAPSED, PARTLY, STANDING, UNKNOWN

COLLAPSED_SHARE = 0.5  # of the plan that has come down
PARTLY_SHARE = 0.1
LEAST_LOSS_M, LOSS_SHARE = (
    2.5,
    0.3,
)  # mean loss from which a building is collapsed: the greater of a storey and 0.3 height
LOW_SHARE = (
    0.5  # of the plan that must lie as low as a heap for a mean fall to say that a building is gone without debris
)
HEAP_SHARE = 0.25  # of what has come down that must be heaps, else the site is cleared


def states_of(
    collapsed_share: NDArray[np.float64],
    rubble_share: NDArray[np.float64],
    loss_m: NDArray[np.float64],
    height_m: NDArray[np.float64],
    known: NDArray[np.bool_],
    low_share: NDArray[np.float64] | None = None,
) -> NDArray[np.object_]:
    """State of each building; a mean fall alone collapses none, as the height that it is measured from may be wrong.

    Parameters
    ----------
    collapsed_share
        (N,) share of the plan whose surface has fallen, 0–1.
    rubble_share
        (N,) share of the plan where debris lies, 0–1.
    loss_m, height_m
        (N,) mean fall of the surface, and mean height before; NaN where unknown.
    known
        (N,) whether enough of the building was measured.
    low_share
        (N,) share of the plan whose surface is no higher than a heap, 0–1; None where it was not measured.

    Returns
    -------
    (N,) words of `STATES`.
    """
    with np.errstate(invalid="ignore"):
        fallen = loss_m >= np.maximum(LEAST_LOSS_M, LOSS_SHARE * height_m)
        seen = collapsed_share >= PARTLY_SHARE
        if low_share is not None:
            seen |= low_share >= LOW_SHARE
        collapsed = (collapsed_share >= COLLAPSED_SHARE) | (fallen & seen)
        cleared = collapsed & (rubble_share < HEAP_SHARE * collapsed_share)
        rules = [(collapsed_share >= PARTLY_SHARE, PARTLY), (collapsed, COLLAPSED), (cleared, CLEARED)]
    state = np.full(len(known), STANDING, dtype=object)
    for rule, word in rules:
        state[rule] = word
    state[~known | ~np.isfinite(collapsed_share)] = UNKNOWN
    return state


def destroyed_share(
    collapsed_share: NDArray[np.float64],
    loss_m: NDArray[np.float64],
    height_m: NDArray[np.float64],
    state: NDArray[np.object_],
) -> NDArray[np.float64]:
    """Return the share (N,) 0–1 of each building that came down, NaN where unknown: of the plan, and of a collapsed
    building at least the share of its height, since smooth heaps of post alone are no part of the collapsed plan
    though the building is gone.

    >>> state = np.array([COLLAPSED, STANDING], object)
    >>> destroyed_share(np.array([0.0, 0.05]), np.array([6.5, 0.1]), np.array([8.0, 8.0]), state).tolist()
    [0.8125, 0.05]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        of_height = np.clip(loss_m / height_m, 0, 1)
    down = np.isin(state, (COLLAPSED, CLEARED))
    return np.where(down, np.fmax(collapsed_share, of_height), collapsed_share)
