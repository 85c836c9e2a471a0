"""The table of objects: length, width, heading and area of outlines on pixel corners, in map coordinates.

Takes outlines in pixels (x = column, y = row) and their grid; pure geometry.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.grid import Grid, gsd_m, transform_shapes
from deepnets4eo.polygons.boxes import boxes_around, outlines
from deepnets4eo.polygons.smoothing import without_stairs

if TYPE_CHECKING:
    import geopandas as gpd


def object_table(polygons: NDArray[Any], grid: Grid, class_name: str, *, boxes: bool) -> gpd.GeoDataFrame:
    """Return objects with their measures, as `extract_objects` describes them.

    polygons : (N,) Polygons and MultiPolygons. boxes : the geometry is the smallest rectangle, not the outline

    Rectangles are computed of outlines whose one-pixel stairs are cut at mid-side: around the pixels' corners a slanted
    object would be up to 0.4 pixels too long and wide.
    """
    import geopandas as gpd

    row_m, col_m = gsd_m(grid)
    metric = transform_shapes(Affine.scale(col_m, row_m), _smooth(polygons))
    around = boxes_around(metric)
    shapes = transform_shapes(Affine.scale(1 / col_m, 1 / row_m), outlines(around)) if boxes else polygons
    ground = transform_shapes(grid.affine, shapes)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    height, width = grid.shape
    return gpd.GeoDataFrame(
        {
            "id": np.array([str(number) for number in range(1, len(polygons) + 1)], object),
            "class": np.full(len(polygons), class_name, object),
            "area_m2": shapely.area(polygons).astype(float) * row_m * col_m,
            "length_m": around[:, 2],
            "width_m": around[:, 3],
            "heading_deg": heading_deg(around[:, 4], grid),
            "cut": (left <= 0) | (top <= 0) | (right >= width) | (bottom >= height),
        },
        geometry=ground,
        crs=grid.crs.proj if grid.crs is not None else None,
    )


def heading_deg(radians: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Return clockwise angles from north (grid north), 0–180, of directions in pixels from columns towards rows.

    Without a CRS north is the image's top.

    >>> from deepnets4eo.rasters.scene import Layer
    >>> heading_deg(np.array([0.0, math.pi / 2, math.pi / 4]), Layer.open(np.zeros((9, 9))).grid).tolist()
    [90.0, 0.0, 135.0]
    """
    row_m, col_m = gsd_m(grid)
    cols, rows = np.cos(radians) / col_m, np.sin(radians) / row_m
    if grid.crs is None:
        east, north = cols, -rows
    else:
        a = grid.affine
        east, north = a.a * cols + a.b * rows, a.d * cols + a.e * rows
        if grid.crs.geographic:
            _, latitude = a * (grid.shape[1] / 2, grid.shape[0] / 2)
            east = east * math.cos(math.radians(latitude))
    return np.asarray(np.round(np.degrees(np.arctan2(east, north)), 6) % 180.0, np.float64)


def _smooth(polygons: NDArray[Any]) -> NDArray[Any]:
    """Return outlines without stairs; those of several parts part by part."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    smooth = without_stairs(parts)
    if len(parts) == len(polygons):
        return smooth
    return np.array([shapely.multipolygons(smooth[owner == index]) for index in range(len(polygons))], object)
