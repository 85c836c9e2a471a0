"""Outlines as shapes on the ground: which can be buildings, their order and their areas."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Geometries, Indices, Mask
from deepnets4eo.grid import Grid, pixel_areas_m2

LARGEST_M2 = 2e6  # the largest buildings on Earth cover a little over one square kilometre
# An outline is that of a site or district where it holds so many others, not smaller than the median of all, each at most a
# tenth of its area, and open ground between them. Halls hold smaller sheds; blocks and malls are filled by their parts.
MIN_ENCLOSED = 5
TIMES_LARGER = 10
MIN_WIDTH = 1e-3  # area by squared length of an outline that counts for the median: slivers make no site of a house
MAX_FILLED_SHARE = 0.5  # share of an outline's area that all the outlines in it take
SAME_GROUND_SHARE = 0.5  # share of the smaller of two outlines that the larger covers where both are of one building
SHED = 0.1  # of the largest part's area: smaller parts of an outline are no houses
MANY_PARTS, SLIT = (
    5,
    0.05,
)  # detached parts that no single building has; a gap between parts of one, in widths of a house
HALF_TURN = 180.0


def larger_than_buildings(outlines: Geometries, pixel_m: float) -> Mask:
    """Return (N,) whether an outline, in pixels of `pixel_m` metres, covers more than any building."""
    too_large: Mask = shapely.area(outlines) * pixel_m**2 > LARGEST_M2
    return too_large


def encloses_others(outlines: Geometries) -> Mask:
    """Return (N,) bool: whether an outline, such as a district's, encloses many others with open ground between them."""
    area = shapely.area(outlines)
    enclosing = np.zeros(len(outlines), bool)
    wide = area > MIN_WIDTH * shapely.length(outlines) ** 2
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
        enclosing[number] = houses.sum() >= MIN_ENCLOSED and filled <= MAX_FILLED_SHARE
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
    """Return (N,) bool: outlines on the ground of another one, so that both are of the same building.

    Such are outlines of a second source, roofs over ground floors, and parts of a building next to the whole. The smaller
    outline counts as the repeated one, of equal ones the later. Outlines that enclose other buildings repeat none.
    """
    repeated = np.zeros(len(outlines), bool)
    usable = shapely.is_valid(outlines) & (shapely.area(outlines) > 0)
    positions = np.flatnonzero(usable & ~encloses_others(outlines))
    first, second = shapely.STRtree(outlines[positions]).query(outlines[positions])  # by bounding boxes
    pairs = positions[np.column_stack([first, second])[first < second]]
    area = shapely.area(outlines)
    least = SAME_GROUND_SHARE * area[pairs].min(axis=1)
    pairs, least = _where(_box_overlap(outlines, pairs) >= least, pairs, least)
    shared = shapely.area(shapely.intersection(outlines[pairs[:, 0]], outlines[pairs[:, 1]]))
    (pairs,) = _where(shared >= least, pairs)
    earlier, later = pairs.T
    repeated[np.where(area[later] <= area[earlier], later, earlier)] = True
    return repeated


def _where(keep: Mask, *rows: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    return tuple(values[keep] for values in rows)


def _box_overlap(outlines: Geometries, pairs: Indices) -> Floats:
    """Return (P,) the area that the bounding boxes of each pair share."""
    boxes = shapely.bounds(outlines)[pairs]
    sides = boxes[:, :, 2:].min(axis=1) - boxes[:, :, :2].max(axis=1)
    return np.asarray(np.maximum(sides, 0).prod(axis=1))


def houses_of_rows(outlines: Geometries, *, in_degrees: bool) -> Indices:
    """Return (N,) how many separate houses each outline consists of, 1 for most outlines.

    Parts are separate houses if their distance exceeds the width of a house, or if there are many. Sheds do not count.
    """
    houses = np.ones(len(outlines), np.intp)
    parts, row = shapely.get_parts(outlines, return_index=True)
    several = np.flatnonzero(np.bincount(row, minlength=len(outlines)) > 1)
    for number, start, stop in zip(several, *np.searchsorted(row, [several, several + 1]), strict=True):
        members = parts[start:stop]
        houses[number] = _count_houses(shapely.transform(members, _even_degrees) if in_degrees else members)
    return houses


def _even_degrees(lonlat: Floats) -> Floats:
    """Degrees (N, 2) of one place, on one side of 180°, with degrees of longitude as short as they are on the ground."""
    lon, lat = lonlat.T
    lon = np.mod(lon, 2 * HALF_TURN) if np.ptp(lon) > HALF_TURN else lon
    return np.column_stack([lon * np.cos(np.radians(lat.mean())), lat])


def _count_houses(parts: Geometries) -> int:
    """Return the number of houses that the parts (P,) of one outline are."""
    area = shapely.area(parts)
    parts, area = _where(area >= SHED * area.max(), parts, area)
    width = float(np.sqrt(np.median(area)))
    touching = _groups(parts, SLIT * width)
    return touching if touching >= MANY_PARTS else _groups(parts, width)


def _groups(parts: Geometries, distance: float) -> int:
    """Return the number of groups of parts whose neighbours are within a distance of each other."""
    from scipy.sparse import coo_array  # linear algebra with it, which most footprints do not need
    from scipy.sparse.csgraph import connected_components

    near = shapely.STRtree(parts).query(parts, predicate="dwithin", distance=distance)
    graph = coo_array((np.ones(near.shape[1]), tuple(near)), shape=(len(parts), len(parts)))
    return int(connected_components(graph, directed=False)[0])


def without(outlines: Geometries, unwanted: Mask) -> Geometries:
    """Return the outlines (N,) with unwanted outlines emptied."""
    return np.where(unwanted, shapely.Polygon(), outlines) if unwanted.any() else outlines


def order_by_place(*keys: NDArray[np.number[Any]]) -> Indices:
    """Numbers (N,) of outlines in the order of their keys, (N,) or (N, K)."""
    order: Indices = np.lexsort(np.column_stack(keys).T[::-1])
    return order


def outline_areas_m2(frame: gpd.GeoDataFrame) -> Floats:
    """Return (N,) the ground area of each row: geodesic or scaled at its centre, NaN without a CRS."""
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
