"""Where buildings were assessed, as a polygon: what the post image shows and no cloud hides.

Takes the post layer and an optional cloud mask; drawn from an overview, to about a thousandth of the image's side.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from shapely.geometry import MultiPolygon, shape

from deepnets4eo.scene import Layer

OVERVIEW_PX = 1024


def assessed_extent(post: Layer, cloud_mask: Layer | None) -> gpd.GeoDataFrame:
    """One row: the (multi)polygon of the post image's valid, cloud-free area, in its CRS; empty where nothing is."""
    _, seen, coarse = post.thumbnail(OVERVIEW_PX)
    if cloud_mask is not None:
        cloud, known = cloud_mask.on(coarse, "nearest").read()
        seen = seen & ~((cloud[0] != 0) & known)
    pieces = rasterio.features.shapes(seen.astype(np.uint8), mask=seen, transform=coarse.affine)
    outline = shapely.union_all([shape(piece) for piece, _ in pieces])
    crs = None if post.grid.crs is None else post.grid.crs.to_wkt()
    return gpd.GeoDataFrame(geometry=[outline if not outline.is_empty else MultiPolygon()], crs=crs)
