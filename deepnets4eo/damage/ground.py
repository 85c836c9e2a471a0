"""Areas and neighbourhoods of buildings on the ground, from their outlines.

Takes outlines in any CRS, or in plain pixels without one: their area is then not known, and a pixel counts as a metre.
"""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.products.counting import blocks_of
from deepnets4eo.damage.site_estimates import BuildingGround
from deepnets4eo.grid import Grid, metres_on_the_ground, pixel_areas_m2


def building_ground(outlines: NDArray[np.object_], crs: Any) -> BuildingGround:
    """Area and block of each of N outlines. crs : of the outlines, None for plain pixels."""
    frame = gpd.GeoDataFrame(geometry=outlines, crs=None if crs is None else crs.to_wkt())
    if len(frame) == 0:
        return BuildingGround(np.zeros(0), np.zeros(0, np.intp))
    return BuildingGround(outline_areas_m2(frame), blocks_of(np.nan_to_num(centres_m(frame)))[0])


def centres_m(frame: gpd.GeoDataFrame) -> Floats:
    """(N, 2) where buildings are, in metres good enough to cut blocks (pixels count as metres without CRS)."""
    xy = _centres(frame)
    if frame.crs is not None and frame.crs.is_geographic:
        return np.asarray(xy * np.array([np.cos(np.radians(np.nanmean(xy[:, 1]))), 1.0]) * 111_320.0)
    if frame.crs is not None and np.isfinite(xy).any():
        return np.asarray(xy * metres_on_the_ground(frame.crs, tuple(np.nanmean(xy, axis=0))))
    return np.asarray(xy)


def outline_areas_m2(frame: gpd.GeoDataFrame) -> Floats:
    """(N,) ground area of each row: geodesic where the CRS is geographic, scaled at its centre where projected, NaN without a CRS."""
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
