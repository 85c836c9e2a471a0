"""Which outlines can be buildings: one larger than any building, or around many others, is not measured, nor does it
count as built ground.

Kernels on arrays; inputs are trusted.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices

LARGEST_M2 = 2e6  # the largest buildings on Earth cover a little over one square kilometre
# An outline is that of a site or district where it holds so many others, not smaller than the median of all, each at most a
# tenth of its area, and open ground between them. Halls hold smaller sheds; blocks and malls are filled by their parts.
LEAST_ENCLOSED = 5
TIMES_LARGER = 10
MOST_FILLED = 0.5  # share of an outline's area that all the outlines in it take


def larger_than_buildings(outlines: NDArray[np.object_], pixel_m: float) -> NDArray[np.bool_]:
    """(N,) bool: outlines that cover more than any building does.

    outlines : (N,) polygons in pixels; pixel_m : size of a pixel, metres.

    >>> larger_than_buildings(np.array([shapely.box(0, 0, 30, 20), shapely.box(0, 0, 8000, 8000)]), 0.5).tolist()
    [False, True]
    """
    too_large: NDArray[np.bool_] = shapely.area(outlines) * pixel_m**2 > LARGEST_M2
    return too_large


def encloses_others(outlines: NDArray[np.object_]) -> NDArray[np.bool_]:
    """(N,) bool: outlines around many others with open ground between them, such as those of sites and districts.

    outlines : (N,) polygons in any coordinates; one lies in another where a point of its inside does. Cost: 447,000 outlines
    take a few seconds.

    >>> houses = [shapely.box(x, 0, x + 10, 10) for x in range(0, 200, 20)]
    >>> encloses_others(np.array([*houses, shapely.box(-5, -5, 200, 30)])).nonzero()[0].tolist()
    [10]
    """
    area = shapely.area(outlines)
    enclosing = np.zeros(len(outlines), bool)
    if not (area > 0).any():
        return enclosing
    median = np.median(area[area > 0])
    large = np.flatnonzero(area >= TIMES_LARGER * median)
    large = large[np.argsort(area[large], kind="stable")]
    around, inner = _inside(outlines, large)
    smaller = area[inner] < area[large[around]]
    around, inner = around[smaller], inner[smaller]
    starts = np.searchsorted(around, np.arange(len(large) + 1))
    for position, number in enumerate(large):  # from the smallest on: sites within a district do not fill it
        members = inner[starts[position] : starts[position + 1]]
        members = members[~enclosing[members]]
        houses = (area[members] >= median) & (TIMES_LARGER * area[members] <= area[number])
        filled = area[members].sum() / area[number]
        enclosing[number] = houses.sum() >= LEAST_ENCLOSED and filled <= MOST_FILLED
    return enclosing


def _inside(outlines: NDArray[np.object_], large: Indices) -> tuple[Indices, Indices]:
    """Pairs (P,) of a position in `large`, ascending, and the number of an outline that has a point of its inside in that one."""
    near, position = shapely.STRtree(outlines[large]).query(outlines)  # by bounding boxes
    numbers, of_point = np.unique(near, return_inverse=True)
    x, y = shapely.get_coordinates(shapely.point_on_surface(outlines[numbers])).T
    shapely.prepare(outlines[large])
    holds = shapely.contains_xy(outlines[large[position]], x[of_point], y[of_point])
    order = np.argsort(position[holds], kind="stable")
    return position[holds][order], near[holds][order]


def without(outlines: NDArray[np.object_], unwanted: NDArray[np.bool_]) -> NDArray[np.object_]:
    """The outlines (N,), empty where they are unwanted."""
    return np.where(unwanted, shapely.Polygon(), outlines) if unwanted.any() else outlines
