"""The ground in the post image that is assessed, and the ground without outlines, from an overview."""

from __future__ import annotations

import json
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import rasterio.features
import scipy
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, shape

from deepnets4eo.damage.images.dates import known_or_assumed_gsd_m
from deepnets4eo.damage.structure.maps import nonzero_valid
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.rasters import Layer
from deepnets4eo.zonal import CHUNK

OVERVIEW_PX = 1024
NEAR_M = 50.0  # ground farther from every outline than that was not looked at
NEAR_AFTER_M = 10.0  # the same where outlines come from the image after: rubble stands between buildings that are left


@dataclass(frozen=True)
class Extents:
    """Clear ground near an assessed outline, and ground further from every outline, one row each."""

    assessed: gpd.GeoDataFrame
    without_outlines: gpd.GeoDataFrame


def map_extents(
    post: Layer,
    cloud_mask: Layer | None,
    outlines: NDArray[np.object_],
    assessed: NDArray[np.bool_],
    *,
    of_after: bool = False,
) -> Extents:
    """Return the part of the post image that was assessed, and the part without an outline near by.

    outlines : (N,); assessed : (N,); of_after : whether the outlines come from the image after the event."""
    near_m = NEAR_AFTER_M if of_after else NEAR_M
    data, valid, coarse = post.thumbnail(OVERVIEW_PX)
    seen = nonzero_valid(data, valid)
    if cloud_mask is not None:
        cloud, known = cloud_mask.on(coarse, "nearest").read()
        seen = seen & known & (cloud[0] == 0)
    near_assessed = _near(outlines[assessed], coarse, near_m)
    near_any = near_assessed | _near(outlines[~assessed], coarse, near_m)
    crs = None if post.grid.crs is None else post.grid.crs.to_wkt()
    return Extents(
        *(
            gpd.GeoDataFrame(geometry=[_polygon(part, coarse)], crs=crs)
            for part in (seen & near_assessed, seen & ~near_any)
        )
    )


def _near(outlines: NDArray[np.object_], grid: Grid, near_m: float) -> NDArray[np.bool_]:
    """Return (h, w) cells of the grid within some metres of an outline."""
    present, touched = outlines[~shapely.is_empty(outlines)], np.zeros(tuple(grid.shape), np.uint8)
    boxes = np.floor(shapely.bounds(transform_shapes(~grid.affine, present))).astype(int)
    first, last = boxes[:, 1::-1], boxes[:, :1:-1]
    inside = ((first >= 0) & (last < touched.shape)).all(axis=1)
    one_piece = shapely.get_type_id(present) == shapely.GeometryType.POLYGON
    small = inside & one_piece & (np.prod(last - first + 1, axis=1) <= 2)  # in one cell or two, which it touches
    for cells in (first[small], last[small]):
        touched[tuple(cells.T)] = 1
    larger = present[~small]
    for start in range(0, len(larger), CHUNK):
        texts = shapely.to_geojson(larger[start : start + CHUNK])  # twice as fast as the shapes themselves
        rasterio.features.rasterize(map(json.loads, texts), out=touched, transform=grid.affine, all_touched=True)
    if not touched.any():
        return np.zeros(touched.shape, bool)
    size_m = known_or_assumed_gsd_m(grid)
    return np.asarray(scipy.ndimage.distance_transform_edt(touched == 0, sampling=size_m) <= near_m)


def _polygon(cells: NDArray[np.bool_], grid: Grid) -> shapely.Geometry:
    pieces = rasterio.features.shapes(cells.astype(np.uint8), mask=cells, transform=grid.affine)
    outline = shapely.union_all([shape(piece) for piece, _ in pieces])
    return outline if not outline.is_empty else MultiPolygon()
