"""Outlines as shapes on the ground: which can be buildings, their order and their areas."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Geometries, Indices, Mask
from deepnets4eo.grid import Grid, pixel_areas_m2

LARGEST_M2 = 2e6  # the largest buildings on Earth cover a little over one square kilometre
# An outline is that of a site or district where it holds so many others, not smaller than the median of all, each at most a
# tenth of its area, and open ground between them. Halls hold smaller sheds; blocks and malls are filled by their parts.
LEAST_ENCLOSED = 5
TIMES_LARGER = 10
LEAST_WIDTH = 1e-3  # area by squared length of an outline that counts for the median: slivers make no site of a house
MOST_FILLED = 0.5  # share of an outline's area that all the outlines in it take


def larger_than_buildings(outlines: Geometries, pixel_m: float) -> Mask:
    """(N,) bool: which outlines, in pixels of `pixel_m` metres, cover more than any building."""
    too_large: Mask = shapely.area(outlines) * pixel_m**2 > LARGEST_M2
    return too_large


def encloses_others(outlines: Geometries) -> Mask:
    """(N,) bool: outlines around many others with open ground between, as those of districts."""
    area = shapely.area(outlines)
    enclosing = np.zeros(len(outlines), bool)
    wide = area > LEAST_WIDTH * shapely.length(outlines) ** 2
    if not wide.any():
        return enclosing
    median = np.median(area[wide])
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


def _inside(outlines: Geometries, large: Indices) -> tuple[Indices, Indices]:
    """Pairs (P,) of a position in `large`, ascending, and the number of an outline inside that one."""
    near, position = shapely.STRtree(outlines[large]).query(outlines)  # by bounding boxes
    numbers, of_point = np.unique(near, return_inverse=True)
    x, y = shapely.get_coordinates(shapely.point_on_surface(outlines[numbers])).T
    shapely.prepare(outlines[large])
    holds = shapely.contains_xy(outlines[large[position]], x[of_point], y[of_point])
    order = np.argsort(position[holds], kind="stable")
    return position[holds][order], near[holds][order]


def repeated_outlines(outlines: Geometries) -> Mask:
    """(N,) bool: which outlines are the same, point by point, as one before them."""
    repeated = np.zeros(len(outlines), bool)
    boxes = pd.DataFrame(shapely.bounds(outlines).reshape(-1, 4)).dropna()
    several = boxes.index[boxes.duplicated(keep=False)].to_numpy(np.intp)
    repeated[several] = pd.Index(shapely.to_wkb(shapely.normalize(outlines[several]))).duplicated()
    return repeated


def without(outlines: Geometries, unwanted: Mask) -> Geometries:
    """The outlines (N,), empty where they are unwanted."""
    return np.where(unwanted, shapely.Polygon(), outlines) if unwanted.any() else outlines


def order_by_place(*keys: NDArray[np.number[Any]]) -> Indices:
    """Numbers (N,) of outlines in the order of their keys, (N,) or (N, K)."""
    order: Indices = np.lexsort(np.column_stack(keys).T[::-1])
    return order


def outline_areas_m2(frame: gpd.GeoDataFrame) -> Floats:
    """(N,) ground area of each row: geodesic or scaled at its centre, NaN without a CRS."""
    if frame.crs is None:
        return np.full(len(frame), np.nan)
    if frame.crs.is_geographic:
        geod = frame.crs.get_geod()
        return np.array(
            [
                abs(geod.geometry_area_perimeter(shape)[0])
                for shape in shapely.orient_polygons(frame.geometry.to_numpy())
            ],
            float,
        )
    units = Grid((1, 1), Affine.identity(), frame.crs)
    return np.asarray(frame.geometry.area.to_numpy(float) * pixel_areas_m2(units, _centres(frame)))


def _centres(frame: gpd.GeoDataFrame) -> Floats:
    bounds = shapely.bounds(frame.geometry.to_numpy())
    return np.asarray((bounds[:, :2] + bounds[:, 2:]) / 2)
