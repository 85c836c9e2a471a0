"""Outlines that were traced without the border between them grow into it, each up to the middle.

Takes outlines and the regions of the border class in metres; returns the outlines in their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

SLIVER_M = 0.05  # closes the cracks between an outline and what it grew by


def grow_into_borders(outlines: NDArray[Any], borders: NDArray[Any], reach_m: float) -> NDArray[Any]:
    """Add to each outline what of the borders lies near it.

    Parameters
    ----------
    outlines
        (N,) polygons, metres.
    borders
        (B,) polygons of the border class, metres.
    reach_m
        How far an outline grows: half the width of the borders.

    Returns
    -------
    (N,) valid polygons; none overlaps another by more than it did, earlier ones grow first.

    Examples
    --------
    >>> houses = np.array([shapely.box(0, 0, 8, 8), shapely.box(10, 0, 18, 8)])
    >>> grown = grow_into_borders(houses, np.array([shapely.box(8, 0, 10, 8)]), 1.0)
    >>> [round(float(area)) for area in shapely.area(grown)]
    [72, 72]
    """
    grown = outlines.copy()
    if not len(outlines) or not len(borders):
        return grown
    near, border = shapely.STRtree(borders).query(outlines, predicate="dwithin", distance=SLIVER_M)
    tree = shapely.STRtree(outlines)
    for row in np.unique(near):
        room = shapely.union_all(borders[border[near == row]])
        reach = shapely.buffer(outlines[row], reach_m, join_style="mitre")
        beside = tree.query(shapely.buffer(outlines[row], 2 * reach_m))
        others = shapely.union_all(grown[beside[beside != row]])
        added = shapely.difference(shapely.intersection(room, reach), others)
        with np.errstate(divide="ignore", invalid="ignore"):  # sides of next to no length; the result is made valid
            wider = shapely.buffer(shapely.union(outlines[row], added), SLIVER_M, join_style="mitre")
            grown[row] = _largest(shapely.buffer(wider, -SLIVER_M, join_style="mitre"), outlines[row])
    return grown


def _largest(shape: Any, instead: Any) -> Any:
    """The largest polygon of a shape, valid; where there is none, what it grew from."""
    # A polygon that shrank can touch itself: a union with it would fail. Made valid, parts can have parts of their own.
    pieces = shapely.get_parts(shapely.get_parts(shapely.make_valid(shape)))
    pieces = pieces[(shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(pieces)]
    return pieces[np.argmax(shapely.area(pieces))] if len(pieces) else instead
